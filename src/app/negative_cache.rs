//! Ids that neither the store nor the ledger knew a moment ago, so that repeated requests for
//! them do not reach the ledger.
//!
//! The store is always asked first. A new session stays in it for longer than an id stays
//! here, unless the generation of the store ends: so an entry counts in its generation only.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;

/// Half of the shortest time that the store keeps a session.
const TTL: Duration = Duration::from_millis(500);

/// The most ids that are kept. Evicting the oldest costs one more query to the ledger.
const CAPACITY: usize = 16_384;

/// Missing ids, and when each was looked up.
#[derive(Debug, Default)]
pub(super) struct NegativeCache(Mutex<Misses>);

#[derive(Debug, Default)]
struct Misses {
    at: HashMap<SessionKey, (Instant, Timestamp)>,
    /// Oldest first. An id that was looked up again stands here twice; the newer one counts.
    oldest: VecDeque<(Instant, SessionKey)>,
}

impl NegativeCache {
    /// Whether the id was missing a moment before `now`, in that generation of the store.
    pub fn contains(&self, key: &SessionKey, now: Instant, generation: Timestamp) -> bool {
        self.0.lock().at.get(key).is_some_and(|(at, of)| now < *at + TTL && *of == generation)
    }

    /// Adds an id that was missing when the look-up began at `at`, in that generation of the store.
    pub fn insert(&self, key: &SessionKey, at: Instant, generation: Timestamp) {
        let mut misses = self.0.lock();
        misses.at.insert(key.clone(), (at, generation));
        misses.oldest.push_back((at, key.clone()));
        misses.evict(at);
    }

    /// Removes an id whose session exists now.
    pub fn remove(&self, key: &SessionKey) {
        self.0.lock().at.remove(key);
    }

    /// How many ids are kept.
    pub fn len(&self) -> usize {
        self.0.lock().at.len()
    }
}

impl Misses {
    fn evict(&mut self, now: Instant) {
        while self.oldest.len() > CAPACITY || self.oldest.front().is_some_and(|(at, _)| *at + TTL <= now) {
            let Some((at, key)) = self.oldest.pop_front() else { return };
            if self.at.get(&key).is_some_and(|(newest, _)| *newest == at) {
                self.at.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{SessionId, TenantId};

    const GENERATION: Timestamp = Timestamp::from_ms(1);

    fn key(session: usize) -> SessionKey {
        SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new(format!("s{session}")).unwrap() }
    }

    #[test]
    fn an_id_is_kept_for_a_moment() {
        let (cache, now) = (NegativeCache::default(), Instant::now());
        assert!(!cache.contains(&key(0), now, GENERATION));
        cache.insert(&key(0), now, GENERATION);
        assert!(cache.contains(&key(0), now + TTL / 2, GENERATION));
        assert!(!cache.contains(&key(0), now + TTL, GENERATION));
        assert!(!cache.contains(&key(1), now, GENERATION));
        cache.remove(&key(0));
        assert!(!cache.contains(&key(0), now, GENERATION));
    }

    #[test]
    fn an_entry_does_not_count_in_another_generation() {
        let (cache, now) = (NegativeCache::default(), Instant::now());
        cache.insert(&key(0), now, GENERATION);
        assert!(!cache.contains(&key(0), now, GENERATION + 1));
        assert!(cache.contains(&key(0), now, GENERATION));
    }

    #[test]
    fn a_second_miss_counts_anew() {
        let (cache, now) = (NegativeCache::default(), Instant::now());
        cache.insert(&key(0), now, GENERATION);
        cache.insert(&key(0), now + TTL / 2, GENERATION);
        cache.insert(&key(1), now + TTL, GENERATION);
        assert!(cache.contains(&key(0), now + TTL, GENERATION));
    }

    #[test]
    fn it_never_keeps_more_than_its_capacity() {
        let (cache, now) = (NegativeCache::default(), Instant::now());
        for session in 0..CAPACITY + 10 {
            cache.insert(&key(session), now, GENERATION);
        }
        assert!(!cache.contains(&key(9), now, GENERATION) && cache.contains(&key(10), now, GENERATION));
        cache.insert(&key(0), now + TTL, GENERATION);
        let misses = cache.0.lock();
        assert_eq!((misses.at.len(), misses.oldest.len()), (1, 1));
    }
}
