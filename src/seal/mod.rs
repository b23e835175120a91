//! Sealed messages: what the service says ends with an HMAC, so that a client notices if
//! something on the way has changed it.
//!
//! It guards against what stands between, not against other readers: whoever may read a
//! session is told its key. The key of a session is another one in each epoch.

mod key;
mod policy;
mod secret;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use self::key::{KeyScope, SealKey};
pub use self::policy::{Switches, TenantPolicy};
pub use self::secret::SealSecret;
use crate::domain::id::{SessionKey, TenantId};
use crate::wire::frame;
use crate::wire::sealed::{SEAL_BYTES, is_sealed};

/// Seals what tenants want sealed. Without a secret it seals nothing, at no cost.
#[derive(Clone, Default)]
pub struct Sealing(Option<Arc<Sealer>>);

struct Sealer {
    secret: SealSecret,
    policy: Arc<dyn TenantPolicy>,
}

impl fmt::Debug for Sealing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sealing").field("has_secret", &self.0.is_some()).finish()
    }
}

impl Sealing {
    /// Sealing by `secret`, for the tenants that `policy` names.
    pub fn new(secret: SealSecret, policy: Arc<dyn TenantPolicy>) -> Self {
        Self(Some(Arc::new(Sealer { secret, policy })))
    }

    /// Whether anything can be sealed at all.
    pub const fn has_secret(&self) -> bool {
        self.0.is_some()
    }

    /// Whether what this tenant is told is sealed.
    pub fn is_on(&self, tenant: &TenantId) -> bool {
        self.0.as_ref().is_some_and(|sealer| sealer.policy.is_sealed(tenant))
    }

    /// The key of that scope, whether or not it is in use; `None` without a secret.
    pub fn key(&self, scope: KeyScope<'_>) -> Option<SealKey> {
        self.0.as_ref().map(|sealer| SealKey::of(&sealer.secret, scope))
    }

    /// A JSON object as the tenant wants it: sealed, or as it is.
    pub fn object(&self, scope: KeyScope<'_>, object: Bytes) -> Bytes {
        match self.key_in_use(scope) {
            Some(key) => key.sealed(&object),
            None => object,
        }
    }

    /// The frames of one write, each on a line of its own, as the tenant wants them.
    pub fn message(&self, key: &SessionKey, epoch: i64, frames: Bytes) -> Bytes {
        let Some(seal) = self.key_in_use(KeyScope::Session(key, epoch)) else { return frames };
        let mut out = Vec::with_capacity(frames.len() + 2 * SEAL_BYTES);
        for line in frame::lines(&frames) {
            if !out.is_empty() {
                out.push(b'\n');
            }
            seal.seal_into(&mut out, &line);
        }
        out.into()
    }

    /// Frames that some writer has not sealed, now sealed; `None` where nothing is to be done.
    pub fn reseal(&self, scope: KeyScope<'_>, frames: &[Bytes]) -> Option<Box<[Bytes]>> {
        let sealer = self.0.as_ref()?;
        if frames.iter().all(|frame| is_sealed(frame)) || !sealer.policy.is_sealed(scope.tenant()) {
            return None;
        }
        let key = SealKey::of(&sealer.secret, scope);
        let resealed = |frame: &Bytes| if is_sealed(frame) { frame.clone() } else { key.sealed(frame) };
        Some(frames.iter().map(resealed).collect())
    }

    fn key_in_use(&self, scope: KeyScope<'_>) -> Option<SealKey> {
        let sealer = self.0.as_ref().filter(|sealer| sealer.policy.is_sealed(scope.tenant()))?;
        Some(SealKey::of(&sealer.secret, scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::SessionId;

    fn session(name: &str) -> SessionKey {
        SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new(name).unwrap() }
    }

    fn sealing() -> (Sealing, Arc<Switches>) {
        let switches = Arc::new(Switches::default());
        (Sealing::new(SealSecret::new(&[7; 32]), Arc::clone(&switches) as _), switches)
    }

    const FRAMES: &[u8] = b"{\"type\":\"A\",\"payload\":{}}\n{\"type\":\"B\",\"payload\":{}}";

    #[test]
    fn a_message_is_sealed_frame_by_frame_and_only_for_who_wants_it() {
        let (sealing, switches) = sealing();
        let (key, frames) = (session("s"), Bytes::from_static(FRAMES));
        assert_eq!(sealing.message(&key, 1, frames.clone()), frames);
        assert_eq!(Sealing::default().message(&key, 1, frames.clone()), frames);
        switches.seal(&key.tenant, true);
        let sealed = sealing.message(&key, 1, frames.clone());
        let lines: Vec<_> = frame::lines(&sealed).collect();
        assert!(lines.len() == 2 && lines.iter().all(|line| is_sealed(line)));
        let seal = sealing.key(KeyScope::Session(&key, 1)).unwrap();
        assert!(lines.iter().all(|line| seal.verifies(line)));
        switches.seal(&key.tenant, false);
        assert_eq!(sealing.message(&key, 1, frames.clone()), frames);
    }

    #[test]
    fn what_is_sealed_already_stays_as_it_is() {
        let (sealing, switches) = sealing();
        let key = session("s");
        let scope = KeyScope::Session(&key, 1);
        let plain = Bytes::from_static(b"{\"type\":\"A\",\"payload\":{}}");
        assert!(sealing.reseal(scope, std::slice::from_ref(&plain)).is_none(), "nobody wants it");
        switches.seal(&key.tenant, true);
        let sealed = sealing.object(scope, plain.clone());
        assert!(sealing.reseal(scope, std::slice::from_ref(&sealed)).is_none());
        assert_eq!(*sealing.reseal(scope, &[sealed.clone(), plain]).unwrap(), [sealed.clone(), sealed]);
    }
}
