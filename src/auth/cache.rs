//! Tokens that were verified already, so that a busy caller costs one signature.
//!
//! Two generations: what is asked for moves to the young one; when that is full the old
//! one is dropped whole. So it never holds more than twice a generation, shedding is
//! the least recently used half, and a token shed in error costs one verification.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use crate::domain::principal::Principal;

/// Tokens a generation holds.
const GENERATION: usize = 4_096;

/// What a token is known by: two hashes (`SipHash`) under keys that were drawn for this process and never leave it.
/// Whoever looks for another text of the same mark can only ask here, and more often than anyone can. A digest that
/// needs no key takes several times as long, of every request.
pub(super) type Mark = [u64; 2];

type Generation = HashMap<Mark, Arc<Principal>>;

/// Gives tokens their marks; those of another are others.
#[derive(Default)]
pub(super) struct Marks([RandomState; 2]);

impl Marks {
    pub(super) fn of(&self, token: &str) -> Mark {
        self.0.each_ref().map(|key| key.hash_one(token))
    }
}

/// Verified tokens, by their marks: the texts are not kept.
#[derive(Default)]
pub(super) struct Verified {
    young: Generation,
    old: Generation,
}

impl Verified {
    /// Whom the token of this mark proved. Whether it still does is for the caller to say.
    pub(super) fn find(&mut self, mark: &Mark) -> Option<Arc<Principal>> {
        if let Some(principal) = self.young.get(mark) {
            return Some(Arc::clone(principal));
        }
        let principal = self.old.remove(mark)?;
        self.keep(*mark, Arc::clone(&principal));
        Some(principal)
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Remembers whom a token proved.
    pub(super) fn keep(&mut self, mark: Mark, principal: Arc<Principal>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(mark, principal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::TenantId;
    use crate::domain::principal::{Provenance, Role};

    fn someone() -> Arc<Principal> {
        Arc::new(Principal {
            tenant: TenantId::new("t").unwrap(),
            subject: "s".into(),
            role: Role::Viewer,
            participant_id: None,
            sessions: None,
            expires_at: None,
            provenance: Provenance::default(),
        })
    }

    #[test]
    fn it_has_an_end_and_keeps_what_is_asked_for() {
        let (mut verified, marks) = (Verified::default(), Marks::default());
        let mark = |number: usize| marks.of(&number.to_string());
        for number in 0..10 * GENERATION {
            verified.keep(mark(number), someone());
            assert!(verified.find(&mark(0)).is_some(), "{number}");
            assert!(verified.young.len() + verified.old.len() <= 2 * GENERATION);
        }
        assert!(verified.find(&mark(1)).is_none());
    }

    #[test]
    fn a_mark_is_of_one_token_and_of_one_process() {
        let (marks, others) = (Marks::default(), Marks::default());
        assert_eq!(marks.of("a.b.c"), marks.of("a.b.c"));
        let [one, other] = marks.of("a.b.c");
        assert!(one != other && marks.of("a.b.d") != [one, other] && others.of("a.b.c") != [one, other]);
    }
}
