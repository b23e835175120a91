//! The keys of all sources: an immutable snapshot that is swapped as a whole.

use std::sync::Arc;

use parking_lot::RwLock;

use super::key::{Algorithm, Key};
use crate::domain::principal::KeyMark;

/// Keys that one token may cost: a token without a `kid` is tried with each.
const MAX_TRIES: usize = 8;

/// Where keys come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `JWT_SECRET`, or its file. It signs, too.
    Secret,
    /// `JWT_PUBLIC_KEY_FILE`.
    File,
    /// `JWT_JWKS_URL`.
    Address,
}

impl Source {
    /// Every source, in the order of the set.
    pub const ALL: [Self; 3] = [Self::Secret, Self::File, Self::Address];

    /// The source, as the metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::File => "file",
            Self::Address => "address",
        }
    }
}

/// Every key that proves a token now.
#[derive(Debug, Default)]
pub struct KeySet([Vec<Arc<Key>>; Source::ALL.len()]);

impl KeySet {
    fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.0.iter().flatten()
    }

    /// Whether the key of that mark is in it.
    pub fn holds(&self, mark: KeyMark) -> bool {
        self.keys().any(|key| key.mark() == mark)
    }

    /// Whether a key of that algorithm has that `kid`.
    pub fn knows(&self, algorithm: Algorithm, id: &str) -> bool {
        self.keys().any(|key| key.algorithm() == algorithm && key.id() == Some(id))
    }

    /// The keys a token may have been signed with. Its `kid` chooses, where a key has that name;
    /// else it is one of those without a name.
    pub fn candidates<'a>(&'a self, algorithm: Algorithm, id: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        let is_known = id.is_some_and(|id| self.knows(algorithm, id));
        let is_meant = move |key: &&Arc<Key>| match id {
            None => true,
            Some(_) if is_known => key.id() == id,
            Some(_) => key.id().is_none(),
        };
        let of_algorithm = self.keys().filter(move |key| key.algorithm() == algorithm);
        of_algorithm.filter(is_meant).take(MAX_TRIES).map(|key| &**key)
    }

    /// The key that signs.
    pub fn signing(&self) -> Option<&Key> {
        self.0[Source::Secret as usize].first().map(|key| &**key)
    }

    fn with(&self, source: Source, keys: Vec<Arc<Key>>) -> Self {
        let mut sources = self.0.clone();
        sources[source as usize] = keys;
        Self(sources)
    }
}

/// What a swap changed.
#[derive(Debug, Default)]
pub struct KeyChange {
    /// Keys that prove tokens from now on.
    pub added: Vec<Arc<Key>>,
    /// Keys that prove nothing any more.
    pub gone: Vec<Arc<Key>>,
}

impl KeyChange {
    /// Whether the same keys are known as before.
    pub fn is_none(&self) -> bool {
        self.added.is_empty() && self.gone.is_empty()
    }
}

/// Holds the present set.
#[derive(Debug, Default)]
pub struct KeyRing(RwLock<Arc<KeySet>>);

impl KeyRing {
    /// The present set.
    pub fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.0.read())
    }

    /// Whether the key of that mark is in the present set.
    pub fn holds(&self, mark: KeyMark) -> bool {
        self.0.read().holds(mark)
    }

    /// Swaps the keys of one source.
    pub fn replace(&self, source: Source, keys: Vec<Arc<Key>>) -> KeyChange {
        let mut current = self.0.write();
        let next = Arc::new(current.with(source, keys));
        let only_in = |one: &KeySet, other: &KeySet| {
            let is_new =
                |key: &&Arc<Key>| !other.keys().any(|known| known.mark() == key.mark() && known.id() == key.id());
            one.keys().filter(is_new).cloned().collect::<Vec<_>>()
        };
        let mut change = KeyChange { added: only_in(&next, &current), gone: only_in(&current, &next) };
        // A key under a new name still proves what it proved.
        change.gone.retain(|key| !next.holds(key.mark()));
        *current = next;
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize, id: Option<&str>) -> Arc<Key> {
        let secret = format!("a key of thirty-two bytes, number {number}");
        Arc::new(Key::secret(secret.as_bytes()).unwrap().named(id).unwrap())
    }

    fn ring(keys: Vec<Arc<Key>>) -> KeyRing {
        let ring = KeyRing::default();
        ring.replace(Source::File, keys);
        ring
    }

    fn tried(set: &KeySet, id: Option<&str>) -> Vec<KeyMark> {
        set.candidates(Algorithm::Hs256, id).map(Key::mark).collect()
    }

    #[test]
    fn a_name_chooses_and_else_the_unnamed_are_tried() {
        let (a, b, unnamed) = (key(1, Some("a")), key(2, Some("b")), key(3, None));
        let set = ring(vec![Arc::clone(&a), Arc::clone(&b), Arc::clone(&unnamed)]).current();
        assert_eq!(tried(&set, Some("b")), [b.mark()]);
        assert_eq!(tried(&set, Some("other")), [unnamed.mark()]);
        assert_eq!(tried(&set, None), [a.mark(), b.mark(), unnamed.mark()]);
        assert_eq!(set.candidates(Algorithm::Es256, Some("b")).count(), 0);
    }

    #[test]
    fn a_token_costs_eight_tries_at_most() {
        let set = ring((0..50).map(|number| key(number, None)).collect()).current();
        assert_eq!((tried(&set, None).len(), tried(&set, Some("x")).len()), (MAX_TRIES, MAX_TRIES));
    }

    #[test]
    fn a_swap_tells_what_came_and_what_went() {
        let ring = ring(vec![key(1, Some("a")), key(2, Some("b"))]);
        let change = ring.replace(Source::File, vec![key(2, Some("b")), key(3, Some("c"))]);
        assert_eq!((change.added.len(), change.gone.len()), (1, 1));
        assert_eq!((change.added[0].id(), change.gone[0].id()), (Some("c"), Some("a")));
        assert!(ring.replace(Source::File, vec![key(2, Some("b")), key(3, Some("c"))]).is_none());
        // It stays as long as any source has it.
        ring.replace(Source::Address, vec![key(2, None)]);
        assert!(ring.replace(Source::File, vec![]).gone.iter().all(|key| key.id() == Some("c")));
        assert!(ring.holds(key(2, None).mark()) && !ring.holds(key(3, None).mark()));
    }

    #[test]
    fn only_the_secret_signs() {
        let ring = ring(vec![key(1, None)]);
        assert!(ring.current().signing().is_none());
        ring.replace(Source::Secret, vec![key(2, None)]);
        assert_eq!(ring.current().signing().map(Key::mark), Some(key(2, None).mark()));
    }
}
