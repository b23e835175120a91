//! From a token to a proven caller, and back.
//!
//! Pure: `now` is cluster time and handed in, so a token ends at the same instant on
//! every instance, without leeway.

mod denied;
mod ticket;
mod token;
mod token_cache;
mod validity;

use std::sync::Arc;

use jsonwebtoken::{DecodingKey, EncodingKey};

use crate::domain::id::{InvalidId, TenantId};
use crate::domain::principal::{Principal, Provenance, Role};
use crate::domain::time::Timestamp;
use token_cache::TokenCache;

pub use self::denied::Denied;
pub use self::ticket::{Ticket, TicketError, Tickets};
pub use self::token::Signed;
pub use self::validity::{NoRevocations, UNKNOWN, Validity};

/// Longer texts are refused before they cost a hash.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Why no token can be signed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no key to sign with")]
pub struct NoSigningKey;

/// Authenticates callers.
pub struct Authenticator {
    mode: Mode,
    validity: Arc<dyn Validity>,
}

enum Mode {
    /// No key: every caller is this one. The configuration allows that on loopback only.
    Open(Arc<Principal>),
    Keyed(Box<Keyed>),
}

struct Keyed {
    verify: DecodingKey,
    sign: EncodingKey,
    cache: TokenCache,
}

impl Authenticator {
    /// One that trusts tokens signed with `secret`; without a secret everyone is operator of tenant `local`.
    pub fn new(secret: Option<&[u8]>) -> Result<Self, InvalidId> {
        let mode = match secret {
            None => Mode::Open(Arc::new(local_operator()?)),
            Some(secret) => Mode::Keyed(Box::new(Keyed {
                verify: DecodingKey::from_secret(secret),
                sign: EncodingKey::from_secret(secret),
                cache: TokenCache::default(),
            })),
        };
        Ok(Self { mode, validity: Arc::new(NoRevocations) })
    }

    /// The same, where tokens may be revoked. In open mode there are none.
    pub fn with_validity(self, validity: Arc<dyn Validity>) -> Self {
        if self.is_open() { self } else { Self { validity, ..self } }
    }

    /// Whether callers are still good, once they are proven.
    pub fn validity(&self) -> &Arc<dyn Validity> {
        &self.validity
    }

    /// Whether callers need no token.
    pub const fn is_open(&self) -> bool {
        matches!(self.mode, Mode::Open(_))
    }

    /// How many verified tokens are cached.
    pub fn cached(&self) -> usize {
        match &self.mode {
            Mode::Open(_) => 0,
            Mode::Keyed(keyed) => keyed.cache.len(),
        }
    }

    /// Who `token` proves the caller to be at `now`.
    pub fn authenticate(&self, token: Option<&str>, now: Timestamp) -> Result<Arc<Principal>, Denied> {
        let Keyed { verify, cache, .. } = match &self.mode {
            Mode::Open(everyone) => return Ok(Arc::clone(everyone)),
            Mode::Keyed(keyed) => &**keyed,
        };
        let token = token.filter(|token| !token.is_empty()).ok_or(Denied::Missing)?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Denied::Invalid);
        }
        if let Some(principal) = cache.get(token) {
            return self.still_valid(principal, now);
        }
        let principal = Arc::new(token::verify(token, verify, now)?);
        cache.insert(token, Arc::clone(&principal));
        self.still_valid(principal, now)
    }

    /// A principal that was proven before, if its token has neither ended nor been revoked.
    pub fn still_valid(&self, principal: Arc<Principal>, now: Timestamp) -> Result<Arc<Principal>, Denied> {
        if principal.expires_at.is_some_and(|end| now >= end) {
            return Err(Denied::Expired);
        }
        self.validity.check(&principal, now)?;
        Ok(principal)
    }

    /// A token that proves `principal` until `expires_at`.
    pub fn sign(&self, principal: &Principal, expires_at: Timestamp) -> Result<Signed, NoSigningKey> {
        match &self.mode {
            Mode::Open(_) => Err(NoSigningKey),
            Mode::Keyed(keyed) => token::sign(principal, expires_at, &keyed.sign).ok_or(NoSigningKey),
        }
    }
}

fn local_operator() -> Result<Principal, InvalidId> {
    Ok(Principal {
        tenant: TenantId::new("local")?,
        subject: "local".to_owned(),
        role: Role::Operator,
        participant_id: None,
        sessions: None,
        locations: None,
        expires_at: None,
        provenance: Provenance::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a key of thirty-two bytes or more";
    const NOW: Timestamp = Timestamp::from_ms(1_767_225_600_000);

    fn keyed() -> Authenticator {
        Authenticator::new(Some(SECRET)).unwrap()
    }

    #[test]
    fn open_mode_makes_everyone_operator_of_local() {
        let open = Authenticator::new(None).unwrap();
        for token in [None, Some("whatever")] {
            let principal = open.authenticate(token, NOW).unwrap();
            assert_eq!((principal.tenant.as_str(), principal.role), ("local", Role::Operator));
            assert_eq!(open.sign(&principal, NOW), Err(NoSigningKey));
        }
    }

    #[test]
    fn a_signed_token_proves_its_principal_until_its_end_and_no_longer() {
        let auth = keyed();
        let end = NOW + 60_000;
        let operator = Principal { expires_at: Some(end), ..local_operator().unwrap() };
        let signed = auth.sign(&operator, end).unwrap();
        assert_eq!(signed.expires_at, end);
        // The first is verified, the others come from the cache.
        for at in [NOW, NOW + 1, end - 1] {
            assert_eq!(*auth.authenticate(Some(&signed.token), at).unwrap(), operator);
        }
        assert_eq!(auth.authenticate(Some(&signed.token), end), Err(Denied::Expired));
        assert_eq!(keyed().authenticate(Some(&signed.token), end), Err(Denied::Expired));
    }

    #[test]
    fn an_end_is_never_later_than_asked_for() {
        let signed = keyed().sign(&local_operator().unwrap(), NOW + 1_999).unwrap();
        assert_eq!(signed.expires_at, NOW + 1_000);
    }

    #[test]
    fn no_token_is_missing_and_nonsense_is_invalid() {
        let auth = keyed();
        for none in [None, Some("")] {
            assert_eq!(auth.authenticate(none, NOW), Err(Denied::Missing));
        }
        for bad in ["x", "a.b.c", "..", "é.é.é", &"a".repeat(MAX_TOKEN_BYTES + 1)] {
            assert_eq!(auth.authenticate(Some(bad), NOW), Err(Denied::Invalid));
        }
    }

    #[test]
    fn another_key_proves_nothing() {
        let other = Authenticator::new(Some(b"another key of thirty-two bytes, or more")).unwrap();
        let signed = other.sign(&local_operator().unwrap(), NOW + 60_000).unwrap();
        assert_eq!(keyed().authenticate(Some(&signed.token), NOW), Err(Denied::Invalid));
    }
}
