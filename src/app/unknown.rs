//! Ids that neither the store nor the ledger knew a moment ago, so that who asks for
//! them again and again asks in vain, and the ledger is left alone.
//!
//! The store is always asked first, and a session that was made, here or elsewhere,
//! stays in it for longer than anything is remembered here.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::id::SessionKey;

/// Half of the shortest time a session is held in the store.
const KEPT: Duration = Duration::from_millis(500);

/// Past this the oldest is let go: whoever asks for it costs one more question.
const CAPACITY: usize = 16_384;

/// What was not known, and when that was asked.
#[derive(Debug, Default)]
pub(super) struct Unknown(Mutex<Asked>);

#[derive(Debug, Default)]
struct Asked {
    at: HashMap<SessionKey, Instant>,
    /// Oldest first; one that was asked again stands here twice, and only its newest counts.
    oldest: VecDeque<(Instant, SessionKey)>,
}

impl Unknown {
    /// Whether it was not known a moment before `now`.
    pub fn remembers(&self, key: &SessionKey, now: Instant) -> bool {
        self.asked().at.get(key).is_some_and(|at| now < *at + KEPT)
    }

    /// It was not known at `at`, which is when somebody began to ask.
    pub fn remember(&self, key: &SessionKey, at: Instant) {
        let mut asked = self.asked();
        asked.at.insert(key.clone(), at);
        asked.oldest.push_back((at, key.clone()));
        asked.let_go(at);
    }

    /// It is known now.
    pub fn forget(&self, key: &SessionKey) {
        self.asked().at.remove(key);
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        // Nothing in there can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    fn let_go(&mut self, now: Instant) {
        while self.oldest.len() > CAPACITY || self.oldest.front().is_some_and(|(at, _)| *at + KEPT <= now) {
            let Some((at, key)) = self.oldest.pop_front() else { return };
            if self.at.get(&key) == Some(&at) {
                self.at.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{SessionId, TenantId};

    fn key(session: usize) -> SessionKey {
        SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new(format!("s{session}")).unwrap() }
    }

    #[test]
    fn an_id_is_remembered_for_a_moment() {
        let (unknown, now) = (Unknown::default(), Instant::now());
        assert!(!unknown.remembers(&key(0), now));
        unknown.remember(&key(0), now);
        assert!(unknown.remembers(&key(0), now + KEPT / 2));
        assert!(!unknown.remembers(&key(0), now + KEPT));
        assert!(!unknown.remembers(&key(1), now));
        unknown.forget(&key(0));
        assert!(!unknown.remembers(&key(0), now));
    }

    #[test]
    fn asking_again_counts_anew() {
        let (unknown, now) = (Unknown::default(), Instant::now());
        unknown.remember(&key(0), now);
        unknown.remember(&key(0), now + KEPT / 2);
        unknown.remember(&key(1), now + KEPT);
        assert!(unknown.remembers(&key(0), now + KEPT));
    }

    #[test]
    fn it_never_holds_more_than_its_room() {
        let (unknown, now) = (Unknown::default(), Instant::now());
        for session in 0..CAPACITY + 10 {
            unknown.remember(&key(session), now);
        }
        assert!(!unknown.remembers(&key(9), now) && unknown.remembers(&key(10), now));
        unknown.remember(&key(0), now + KEPT);
        let asked = unknown.asked();
        assert_eq!((asked.at.len(), asked.oldest.len()), (1, 1));
    }
}
