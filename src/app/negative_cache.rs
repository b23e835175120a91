//! Ids that neither the store nor the ledger knew a moment ago, so that who asks for
//! them again and again asks in vain, and the ledger is left alone.
//!
//! The store is always asked first, and a session that was made, here or elsewhere,
//! stays in it for longer than anything is remembered here, unless its life ends: so
//! nothing is remembered from one life to the next.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;

/// Half of the shortest time a session is held in the store.
const TTL: Duration = Duration::from_millis(500);

/// Past this the oldest is let go: whoever asks for it costs one more question.
const CAPACITY: usize = 16_384;

/// What was not known, and when that was asked.
#[derive(Debug, Default)]
pub(super) struct NegativeCache(Mutex<Misses>);

#[derive(Debug, Default)]
struct Misses {
    at: HashMap<SessionKey, (Instant, Timestamp)>,
    /// Oldest first; one that was asked again stands here twice, and only its newest counts.
    oldest: VecDeque<(Instant, SessionKey)>,
}

impl NegativeCache {
    /// Whether it was not known a moment before `now`, in the store life that began then.
    pub fn contains(&self, key: &SessionKey, now: Instant, life: Timestamp) -> bool {
        self.misses().at.get(key).is_some_and(|(at, then)| now < *at + TTL && *then == life)
    }

    /// It was not known at `at`, which is when somebody began to ask, in the store life
    /// that had begun then.
    pub fn insert(&self, key: &SessionKey, at: Instant, life: Timestamp) {
        let mut asked = self.misses();
        asked.at.insert(key.clone(), (at, life));
        asked.oldest.push_back((at, key.clone()));
        asked.evict(at);
    }

    /// It is known now.
    pub fn remove(&self, key: &SessionKey) {
        self.misses().at.remove(key);
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.misses().at.len()
    }

    fn misses(&self) -> MutexGuard<'_, Misses> {
        // Nothing in there can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    const LIFE: Timestamp = Timestamp::from_ms(1);

    fn key(session: usize) -> SessionKey {
        SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new(format!("s{session}")).unwrap() }
    }

    #[test]
    fn an_id_is_remembered_for_a_moment() {
        let (unknown, now) = (NegativeCache::default(), Instant::now());
        assert!(!unknown.contains(&key(0), now, LIFE));
        unknown.insert(&key(0), now, LIFE);
        assert!(unknown.contains(&key(0), now + TTL / 2, LIFE));
        assert!(!unknown.contains(&key(0), now + TTL, LIFE));
        assert!(!unknown.contains(&key(1), now, LIFE));
        unknown.remove(&key(0));
        assert!(!unknown.contains(&key(0), now, LIFE));
    }

    #[test]
    fn nothing_is_remembered_in_another_life() {
        let (unknown, now) = (NegativeCache::default(), Instant::now());
        unknown.insert(&key(0), now, LIFE);
        assert!(!unknown.contains(&key(0), now, LIFE + 1));
        assert!(unknown.contains(&key(0), now, LIFE));
    }

    #[test]
    fn asking_again_counts_anew() {
        let (unknown, now) = (NegativeCache::default(), Instant::now());
        unknown.insert(&key(0), now, LIFE);
        unknown.insert(&key(0), now + TTL / 2, LIFE);
        unknown.insert(&key(1), now + TTL, LIFE);
        assert!(unknown.contains(&key(0), now + TTL, LIFE));
    }

    #[test]
    fn it_never_holds_more_than_its_room() {
        let (unknown, now) = (NegativeCache::default(), Instant::now());
        for session in 0..CAPACITY + 10 {
            unknown.insert(&key(session), now, LIFE);
        }
        assert!(!unknown.contains(&key(9), now, LIFE) && unknown.contains(&key(10), now, LIFE));
        unknown.insert(&key(0), now + TTL, LIFE);
        let asked = unknown.misses();
        assert_eq!((asked.at.len(), asked.oldest.len()), (1, 1));
    }
}
