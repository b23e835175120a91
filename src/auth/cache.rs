//! Tokens that were verified already, so that a busy caller costs one signature.
//!
//! Two generations: what is asked for moves to the young one; when that is full the old
//! one is dropped whole. So it never holds more than twice a generation, shedding is
//! the least recently used half, and a token shed in error costs one verification.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::principal::Principal;

/// Tokens a generation holds.
const GENERATION: usize = 4_096;

type Generation = HashMap<[u8; 32], Arc<Principal>>;

/// Verified tokens, by the digest of their text: the text itself is not kept.
#[derive(Default)]
pub(super) struct Verified {
    young: Generation,
    old: Generation,
}

impl Verified {
    /// Whom the token with this digest proved. Whether it still does is for the caller to say.
    pub(super) fn find(&mut self, digest: &[u8; 32]) -> Option<Arc<Principal>> {
        if let Some(principal) = self.young.get(digest) {
            return Some(Arc::clone(principal));
        }
        let principal = self.old.remove(digest)?;
        self.keep(*digest, Arc::clone(&principal));
        Some(principal)
    }

    /// Remembers whom a token proved.
    pub(super) fn keep(&mut self, digest: [u8; 32], principal: Arc<Principal>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, principal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::TenantId;
    use crate::domain::principal::Role;

    fn someone() -> Arc<Principal> {
        Arc::new(Principal {
            tenant: TenantId::new("t").unwrap(),
            subject: "s".into(),
            role: Role::Viewer,
            participant_id: None,
            sessions: None,
            expires_at: None,
        })
    }

    fn digest(number: usize) -> [u8; 32] {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        digest
    }

    #[test]
    fn it_has_an_end_and_keeps_what_is_asked_for() {
        let mut verified = Verified::default();
        for number in 0..10 * GENERATION {
            verified.keep(digest(number), someone());
            assert!(verified.find(&digest(0)).is_some(), "{number}");
            assert!(verified.young.len() + verified.old.len() <= 2 * GENERATION);
        }
        assert!(verified.find(&digest(1)).is_none());
    }
}
