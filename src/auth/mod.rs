//! From a token to a proven caller, and back.
//!
//! `now` is cluster time and handed in, so a token ends at the same instant on every instance,
//! without leeway. The keys come from the tasks in [`sources`] and are swapped as a whole.

mod denied;
mod der;
mod jwks;
mod jws;
mod key;
mod key_fault;
mod key_list;
mod key_set;
mod pem;
mod refresh;
mod rules;
pub mod sources;
mod ticket;
mod token;
mod token_cache;
mod validity;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use crate::domain::id::{InvalidId, TenantId};
use crate::domain::principal::{Principal, Provenance, Role};
use crate::domain::time::Timestamp;
use jws::Jws;
use key_set::{KeyRing, KeySet};
use token_cache::TokenCache;

pub use self::denied::Denied;
pub use self::key::{Key, MIN_DIFFERENT_BYTES, MIN_SECRET_BYTES, is_strong_secret};
pub use self::key_fault::KeyFault;
pub use self::key_set::{KeyChange, Source};
pub use self::refresh::Refresh;
pub use self::rules::TokenRules;
pub use self::ticket::{Ticket, TicketError, Tickets};
pub use self::token::Signed;
pub use self::validity::{NoRevocations, UNKNOWN, Validity};

/// Longer texts are refused before they cost a hash.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Why no token can be signed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no key to sign with")]
pub struct NoSigningKey;

/// Why callers cannot be authenticated.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The identifiers of open mode are invalid.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The secret cannot be used.
    #[error("{0}")]
    Key(#[from] KeyFault),
}

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
    rules: TokenRules,
    keys: KeyRing,
    cache: TokenCache,
    refresh: Option<Arc<Refresh>>,
    losses: Losses,
}

/// How often keys have gone: a number for those who look often, and a channel for those who wait.
#[derive(Default)]
struct Losses {
    count: AtomicU64,
    told: watch::Sender<u64>,
}

impl Authenticator {
    /// One that trusts tokens signed with `secret`; without a secret everyone is operator of tenant `local`.
    pub fn new(secret: Option<&[u8]>) -> Result<Self, SetupError> {
        let Some(secret) = secret else { return Self::open() };
        let keyed = Self::keyed(TokenRules::default(), None);
        keyed.replace(Source::Secret, vec![Arc::new(Key::secret(secret)?)]);
        Ok(keyed)
    }

    /// One to which everyone is operator of tenant `local`.
    pub fn open() -> Result<Self, SetupError> {
        Ok(Self::of(Mode::Open(Arc::new(local_operator()?))))
    }

    /// One that trusts no token until it gets keys. With `refresh`, an unknown key is asked for.
    pub fn keyed(rules: TokenRules, refresh: Option<Arc<Refresh>>) -> Self {
        let (keys, cache) = (KeyRing::default(), TokenCache::default());
        Self::of(Mode::Keyed(Box::new(Keyed { rules, keys, cache, refresh, losses: Losses::default() })))
    }

    fn of(mode: Mode) -> Self {
        Self { mode, validity: Arc::new(NoRevocations) }
    }

    /// The same, where tokens may be revoked. In open mode there are none.
    pub fn with_validity(self, validity: Arc<dyn Validity>) -> Self {
        if self.is_open() { self } else { Self { validity, ..self } }
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

    /// The longest life of a token, in milliseconds.
    pub fn max_life_ms(&self) -> i64 {
        match &self.mode {
            Mode::Open(_) => TokenRules::default().max_life_ms,
            Mode::Keyed(keyed) => keyed.rules.max_life_ms,
        }
    }

    /// Who `token` proves the caller to be at `now`, by the keys that are known.
    pub fn authenticate(&self, token: Option<&str>, now: Timestamp) -> Result<Arc<Principal>, Denied> {
        let keyed = match &self.mode {
            Mode::Open(everyone) => return Ok(Arc::clone(everyone)),
            Mode::Keyed(keyed) => &**keyed,
        };
        let token = token.filter(|token| !token.is_empty()).ok_or(Denied::Missing)?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Denied::Invalid);
        }
        match keyed.cache.get(token) {
            // Its key counts: those whom a lost key proved are not cached.
            Some(principal) => self.still_counts(principal, now),
            None => self.still_counts(keyed.verify(token, now)?, now),
        }
    }

    /// The same, and waits a moment for a key that is not known yet, and for what is revoked while that is not known.
    pub async fn authenticate_or_wait(&self, token: Option<&str>, now: Timestamp) -> Result<Arc<Principal>, Denied> {
        // In boxes, so that those who need not wait carry no room for it.
        let proven = match self.authenticate(token, now) {
            Err(Denied::UnknownKey) => Box::pin(self.wait_for_key(token, now)).await,
            decided => decided,
        };
        match proven {
            Err(Denied::Unknown) if Box::pin(self.is_known()).await => self.authenticate(token, now),
            decided => decided,
        }
    }

    async fn wait_for_key(&self, token: Option<&str>, now: Timestamp) -> Result<Arc<Principal>, Denied> {
        let Mode::Keyed(keyed) = &self.mode else { return Err(Denied::UnknownKey) };
        let Some(refresh) = &keyed.refresh else { return Err(Denied::UnknownKey) };
        let mut waiting = refresh.ask();
        loop {
            // First at once: a fetch may have ended since.
            match self.authenticate(token, now) {
                Err(Denied::UnknownKey) if waiting.next().await => {}
                decided => return decided,
            }
        }
    }

    /// A principal that was proven before, if its token has neither ended nor been revoked, and its key still counts.
    pub fn still_valid(&self, principal: Arc<Principal>, now: Timestamp) -> Result<Arc<Principal>, Denied> {
        if self.still_trusts(&principal) { self.still_counts(principal, now) } else { Err(Denied::Invalid) }
    }

    fn still_counts(&self, principal: Arc<Principal>, now: Timestamp) -> Result<Arc<Principal>, Denied> {
        if principal.expires_at.is_some_and(|end| now >= end) {
            return Err(Denied::Expired);
        }
        self.validity.check(&principal, now)?;
        Ok(principal)
    }

    /// A number of all that ends tokens early, revocations and lost keys: while it stays, so does each answer. A
    /// stream asks [`is_revoked`](Self::is_revoked) once, and again only when it is another. [`UNKNOWN`] while nobody
    /// may be let in.
    pub fn generation(&self) -> u64 {
        match self.validity.generation() {
            UNKNOWN => UNKNOWN,
            generation => generation + self.key_losses(),
        }
    }

    /// Changes with the [`generation`](Self::generation).
    pub fn changes(&self) -> BoxStream<'static, ()> {
        let revocations = WatchStream::from_changes(self.validity.changes()).map(drop);
        match &self.mode {
            Mode::Open(_) => revocations.boxed(),
            Mode::Keyed(keyed) => {
                let losses = WatchStream::from_changes(keyed.losses.told.subscribe()).map(drop);
                stream::select(revocations, losses).boxed()
            }
        }
    }

    /// Whether the token of a principal is revoked at `now`, or its key has gone.
    pub fn is_revoked(&self, principal: &Principal, now: Timestamp) -> bool {
        !self.still_trusts(principal) || self.validity.is_revoked(principal, now)
    }

    /// Whether it is known what is revoked; waits for that, but not for long.
    pub async fn is_known(&self) -> bool {
        self.validity.is_known().await
    }

    /// Whether the key that proved a principal still proves something. In open mode no key did.
    fn still_trusts(&self, principal: &Principal) -> bool {
        match (&self.mode, principal.provenance.key) {
            (Mode::Keyed(keyed), Some(key)) => keyed.keys.holds(key),
            _ => true,
        }
    }

    fn key_losses(&self) -> u64 {
        match &self.mode {
            Mode::Open(_) => 0,
            Mode::Keyed(keyed) => keyed.losses.count.load(Ordering::Acquire),
        }
    }

    /// Swaps the keys of one source. Whoever a key proved that is gone is forgotten.
    pub fn replace(&self, source: Source, keys: Vec<Arc<Key>>) -> KeyChange {
        let Mode::Keyed(keyed) = &self.mode else { return KeyChange::default() };
        let change = keyed.keys.replace(source, keys);
        if !change.gone.is_empty() {
            let set = keyed.keys.current();
            keyed.cache.retain(|principal| principal.provenance.key.is_some_and(|key| set.holds(key)));
            let losses = keyed.losses.count.fetch_add(1, Ordering::AcqRel) + 1;
            keyed.losses.told.send_replace(losses);
        }
        change
    }

    /// A token that proves `principal` until `expires_at`.
    pub fn sign(&self, principal: &Principal, expires_at: Timestamp) -> Result<Signed, NoSigningKey> {
        let Mode::Keyed(keyed) = &self.mode else { return Err(NoSigningKey) };
        let set = keyed.keys.current();
        let key = set.signing().ok_or(NoSigningKey)?;
        token::sign(principal, expires_at, key, &keyed.rules).ok_or(NoSigningKey)
    }
}

impl Keyed {
    fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Principal>, Denied> {
        let jws = Jws::read(token)?;
        let set = self.keys.current();
        let key = set.candidates(jws.algorithm(), jws.key_id()).find(|key| jws.is_signed_by(key));
        let Some(key) = key else { return Err(self.unproven(&jws, &set)) };
        let principal = Arc::new(token::principal(&jws, key, &self.rules, now)?);
        self.cache.insert(token, Arc::clone(&principal));
        // The key may have gone since, and whoever took it away has looked through the cache already.
        if self.keys.holds(key.mark()) {
            return Ok(principal);
        }
        self.cache.remove(token);
        Err(Denied::Invalid)
    }

    /// Why no key proves a token: perhaps the issuer has a newer one. Secrets are never fetched.
    fn unproven(&self, jws: &Jws<'_>, set: &KeySet) -> Denied {
        let names_unknown = |id| !set.knows(jws.algorithm(), id);
        let may_be_fetched = self.refresh.is_some() && jws.algorithm().is_public();
        if may_be_fetched && jws.key_id().is_some_and(names_unknown) { Denied::UnknownKey } else { Denied::Invalid }
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
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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
            let mut proven = Principal::clone(&auth.authenticate(Some(&signed.token), at).unwrap());
            assert!(proven.provenance.key.take().is_some());
            assert_eq!(proven, operator);
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

    #[test]
    fn a_key_that_is_gone_proves_nothing_not_even_from_the_cache() {
        let auth = keyed();
        let signed = auth.sign(&local_operator().unwrap(), NOW + 60_000).unwrap();
        let principal = auth.authenticate(Some(&signed.token), NOW).unwrap();
        assert!(auth.still_trusts(&principal));
        let old = || Arc::new(Key::secret(SECRET).unwrap());
        let new = Arc::new(Key::secret(b"another key of thirty-two bytes, or more").unwrap());
        // Another source still has it.
        auth.replace(Source::File, vec![old()]);
        auth.replace(Source::Secret, vec![Arc::clone(&new)]);
        assert!(auth.authenticate(Some(&signed.token), NOW).is_ok());
        assert_eq!(auth.cached(), 1);
        let change = auth.replace(Source::File, vec![]);
        assert_eq!((change.gone.len(), auth.cached()), (1, 0));
        assert_eq!(auth.authenticate(Some(&signed.token), NOW), Err(Denied::Invalid));
        assert!(!auth.still_trusts(&principal));
        let signed = auth.sign(&local_operator().unwrap(), NOW + 60_000).unwrap();
        assert!(auth.authenticate(Some(&signed.token), NOW).is_ok());
    }

    #[test]
    fn public_keys_alone_sign_nothing() {
        let auth = Authenticator::keyed(TokenRules::default(), None);
        auth.replace(Source::File, vec![Arc::new(Key::ed25519(&[7; 32]).unwrap())]);
        assert!(!auth.is_open());
        assert_eq!(auth.sign(&local_operator().unwrap(), NOW), Err(NoSigningKey));
    }

    #[test]
    fn nobody_waits_for_a_key_without_an_address() {
        let auth = keyed();
        let named = |alg: &str| {
            let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","kid":"new"}}"#));
            format!("{header}.e30.AAAA")
        };
        for alg in ["HS256", "RS256", "ES256", "EdDSA"] {
            assert_eq!(auth.authenticate(Some(&named(alg)), NOW), Err(Denied::Invalid), "{alg}");
        }
        let refresh = Arc::new(Refresh::new(std::time::Duration::ZERO, std::time::Duration::ZERO));
        let auth = Authenticator::keyed(TokenRules::default(), Some(refresh));
        for (alg, why) in [("HS256", Denied::Invalid), ("RS256", Denied::UnknownKey), ("none", Denied::Invalid)] {
            assert_eq!(auth.authenticate(Some(&named(alg)), NOW), Err(why), "{alg}");
        }
    }
}
