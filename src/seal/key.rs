//! One key of sealed messages: its derivation, its id, and what it seals.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ring::hmac;

use super::secret::SealSecret;
use crate::domain::id::{SessionKey, TenantId};
use crate::wire::sealed;

/// What a key is for.
#[derive(Debug, Clone, Copy)]
pub enum KeyScope<'a> {
    /// What is said of a session, in one epoch.
    Session(&'a SessionKey, i64),
    /// What is said of no session, or where its epoch is not known.
    Tenant(&'a TenantId),
}

impl<'a> KeyScope<'a> {
    /// Whose key it is.
    pub const fn tenant(self) -> &'a TenantId {
        match self {
            Self::Session(key, _) => &key.tenant,
            Self::Tenant(tenant) => tenant,
        }
    }

    /// A JSON list: no two scopes are written alike.
    fn info(self) -> String {
        match self {
            Self::Session(SessionKey { tenant, session }, epoch) => {
                format!(r#"["seal","{tenant}","{session}",{epoch}]"#)
            }
            Self::Tenant(tenant) => format!(r#"["seal","{tenant}"]"#),
        }
    }
}

/// A key, and its id.
#[derive(Debug)]
pub struct SealKey {
    bytes: [u8; 32],
    id: String,
    hmac: hmac::Key,
}

impl SealKey {
    /// The key of that scope. The first 32 bytes derived are the key, the next 8 its id.
    pub fn of(secret: &SealSecret, scope: KeyScope<'_>) -> Self {
        let derived: [u8; 40] = secret.derive(scope.info().as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&derived[..32]);
        let id = URL_SAFE_NO_PAD.encode(&derived[32..]);
        Self { bytes, id, hmac: hmac::Key::new(hmac::HMAC_SHA256, &bytes) }
    }

    /// Its id, as every sealed message names it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key itself in base64url, as those are told who may read.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes)
    }

    /// `object`, a JSON object with at least one member, with its seal.
    pub fn sealed(&self, object: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(object.len() + sealed::SEAL_BYTES);
        self.seal_into(&mut out, object);
        out.into()
    }

    /// The same, behind what `out` holds already.
    pub fn seal_into(&self, out: &mut Vec<u8>, object: &[u8]) {
        sealed::write(out, object, &self.id, |signed| {
            let mut tag = [0; 32];
            tag.copy_from_slice(hmac::sign(&self.hmac, signed).as_ref());
            tag
        });
    }

    /// Whether `message` was sealed with this key, and is as it was then.
    #[cfg(test)]
    pub(super) fn verifies(&self, message: &[u8]) -> bool {
        let length = sealed::inner_length(message);
        sealed::is_sealed(message) && self.sealed(&[&message[..length], b"}"].concat()) == message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::SessionId;

    #[test]
    fn each_scope_has_a_key_of_its_own() {
        let secret = SealSecret::new(&[1; 32]);
        let session = |tenant: &str, session: &str| SessionKey {
            tenant: TenantId::new(tenant).unwrap(),
            session: SessionId::new(session).unwrap(),
        };
        let (a, b, foreign) = (session("t", "a"), session("t", "b"), session("u", "a"));
        let scopes = [
            KeyScope::Session(&a, 1),
            KeyScope::Session(&a, 2),
            KeyScope::Session(&b, 1),
            KeyScope::Session(&foreign, 1),
            KeyScope::Tenant(&a.tenant),
            KeyScope::Tenant(&foreign.tenant),
        ];
        let keys: Vec<_> = scopes.iter().map(|scope| SealKey::of(&secret, *scope)).collect();
        let mut texts: Vec<_> = keys.iter().flat_map(|key| [key.text(), key.id().to_owned()]).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 2 * scopes.len());
        assert!(keys.iter().all(|key| key.id().len() == sealed::KEY_ID_BYTES));
    }

    #[test]
    fn every_altered_byte_and_a_cut_tail_show() {
        let tenant = TenantId::new("t").unwrap();
        let key = SealKey::of(&SealSecret::new(&[1; 32]), KeyScope::Tenant(&tenant));
        let message = key.sealed(br#"{"type":"PONG","payload":{"timestamp":5}}"#);
        assert!(key.verifies(&message));
        for place in 0..message.len() {
            let mut altered = message.to_vec();
            altered[place] ^= 1;
            assert!(!key.verifies(&altered), "byte {place}");
            assert!(!key.verifies(&message[..place]), "cut at {place}");
        }
    }
}
