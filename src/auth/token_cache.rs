//! Tokens that were verified already, so that a busy caller costs one signature.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::domain::principal::Principal;

/// About so many tokens are cached. One that is evicted costs one more verification.
const MAX_TOKENS: usize = 8_192;

/// Two hashes of a token (`SipHash`) under keys that were drawn for this process and never leave it.
/// To find another text with the same hashes, an attacker can only ask here, and more often than
/// anyone can. A digest without a key takes several times as long, for every request.
type Fingerprint = [u64; 2];

/// Verified tokens, by their fingerprints: the texts are not kept.
pub(super) struct TokenCache {
    keys: [RandomState; 2],
    principals: Cache<Fingerprint, Arc<Principal>>,
}

impl Default for TokenCache {
    fn default() -> Self {
        Self { keys: Default::default(), principals: Cache::new(MAX_TOKENS) }
    }
}

impl TokenCache {
    fn fingerprint(&self, token: &str) -> Fingerprint {
        self.keys.each_ref().map(|key| key.hash_one(token))
    }

    /// The principal of a verified token, which may have expired since.
    pub fn get(&self, token: &str) -> Option<Arc<Principal>> {
        self.principals.get(&self.fingerprint(token))
    }

    /// Caches the principal of a verified token.
    pub fn insert(&self, token: &str, principal: Arc<Principal>) {
        self.principals.insert(self.fingerprint(token), principal);
    }

    /// Forgets a token.
    pub fn remove(&self, token: &str) {
        self.principals.remove(&self.fingerprint(token));
    }

    /// Forgets all tokens but those.
    pub fn retain(&self, is_kept: impl Fn(&Principal) -> bool) {
        self.principals.retain(|_, principal| is_kept(principal));
    }

    /// How many are cached.
    pub fn len(&self) -> usize {
        self.principals.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::TenantId;
    use crate::domain::principal::{Provenance, Role};

    fn principal() -> Arc<Principal> {
        Arc::new(Principal {
            tenant: TenantId::new("t").unwrap(),
            subject: "s".into(),
            role: Role::Viewer,
            participant_id: None,
            sessions: None,
            locations: None,
            expires_at: None,
            provenance: Provenance::default(),
        })
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_in_use() {
        let cache = TokenCache::default();
        for number in 0..5 * MAX_TOKENS {
            cache.insert(&number.to_string(), principal());
            assert!(cache.get("0").is_some(), "{number}");
            assert!(cache.len() <= usize::try_from(cache.principals.capacity()).unwrap());
        }
        assert!(cache.principals.capacity() < 2 * MAX_TOKENS as u64);
    }

    #[test]
    fn a_fingerprint_is_of_one_token_and_of_one_process() {
        let (cache, other) = (TokenCache::default(), TokenCache::default());
        assert_eq!(cache.fingerprint("a.b.c"), cache.fingerprint("a.b.c"));
        let [first, second] = cache.fingerprint("a.b.c");
        assert_ne!(first, second);
        assert_ne!(cache.fingerprint("a.b.d"), [first, second]);
        assert_ne!(other.fingerprint("a.b.c"), [first, second]);
    }
}
