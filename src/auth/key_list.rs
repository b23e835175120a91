//! The keys of one source: bounded, and no two under one name.

use std::collections::HashMap;
use std::sync::Arc;

use super::key::Key;
use super::key_fault::{KeyFault, KeyFaultCounts};

/// Keys of one source. A provider publishes two or three.
pub const MAX_KEYS: usize = 100;

/// Usable keys of one source, and what was left out of it.
#[derive(Debug, Clone, Default)]
pub struct KeyList {
    /// The keys.
    pub keys: Vec<Arc<Key>>,
    /// The others.
    pub left_out: KeyFaultCounts,
}

impl FromIterator<Result<Key, KeyFault>> for KeyList {
    fn from_iter<I: IntoIterator<Item = Result<Key, KeyFault>>>(found: I) -> Self {
        Self::of(found)
    }
}

impl KeyList {
    /// The keys that can be used. Of several under one `kid` and algorithm none can be: which one
    /// is meant would depend on their order.
    pub fn of(found: impl IntoIterator<Item = Result<Key, KeyFault>>) -> Self {
        let mut list = Self::default();
        for each in found {
            match each {
                Ok(key) if list.keys.iter().any(|known| is_same(known, &key)) => list.left_out.add(KeyFault::Duplicate),
                // So many are looked at before some go again, and no more.
                Ok(_) if list.keys.len() >= 2 * MAX_KEYS => list.left_out.add(KeyFault::TooMany),
                Ok(key) => list.keys.push(Arc::new(key)),
                Err(why) => list.left_out.add(why),
            }
        }
        list.leave_out_ambiguous();
        list.left_out.add_all(KeyFault::TooMany, list.keys.len().saturating_sub(MAX_KEYS));
        list.keys.truncate(MAX_KEYS);
        list
    }

    fn leave_out_ambiguous(&mut self) {
        let mut names = HashMap::<_, usize>::new();
        for key in &self.keys {
            *names.entry((key.algorithm(), key.id().map(str::to_owned))).or_default() += 1;
        }
        let before = self.keys.len();
        self.keys.retain(|key| {
            key.id().is_none_or(|id| names.get(&(key.algorithm(), Some(id.to_owned()))).is_none_or(|keys| *keys == 1))
        });
        self.left_out.add_all(KeyFault::Duplicate, before - self.keys.len());
    }
}

/// The same key under the same name says nothing new.
fn is_same(one: &Key, other: &Key) -> bool {
    one.mark() == other.mark() && one.id() == other.id()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32, id: Option<&str>) -> Result<Key, KeyFault> {
        let secret = format!("a key of thirty-two bytes, number {number}");
        Key::secret(secret.as_bytes()).and_then(|key| key.named(id))
    }

    fn ids(list: &KeyList) -> Vec<Option<&str>> {
        list.keys.iter().map(|key| key.id()).collect()
    }

    #[test]
    fn a_name_stands_for_one_key() {
        let list = KeyList::of([key(1, Some("a")), key(2, Some("a")), key(3, Some("b")), key(3, Some("b"))]);
        assert_eq!((ids(&list), list.left_out.of(KeyFault::Duplicate)), (vec![Some("b")], 3));
        let unnamed = KeyList::of([key(1, None), key(2, None), key(1, None)]);
        assert_eq!((unnamed.keys.len(), unnamed.left_out.total()), (2, 1));
    }

    #[test]
    fn a_list_is_bounded() {
        let named = |number: u32| key(number, Some(&number.to_string()));
        let list = KeyList::of((0..5_000).map(named));
        assert_eq!((list.keys.len(), list.left_out.of(KeyFault::TooMany)), (MAX_KEYS, 4_900));
        assert_eq!(list.left_out.to_string(), "4900 too_many");
    }
}
