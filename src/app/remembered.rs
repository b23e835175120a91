//! What an instance remembers of the sessions it writes to, so that a commit needs no
//! read before it; and whose turn it is to write.
//!
//! One commit of a session is under way here at a time, the others queue. What is
//! remembered is a guess: only a commit may rest on it, since the store refuses one
//! that is made from anything but the newest version.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Mutex as Turn;
use tokio::sync::OwnedMutexGuard;

use crate::domain::id::SessionKey;
use crate::store::Held;

/// So many sessions are remembered at least, and twice as many at most.
const ENOUGH: usize = 4_096;

/// A session of more participants takes more room than the read it saves is worth.
const MAX_PARTICIPANTS: usize = 32;

/// Whoever holds it may write; the others wait for it. It holds the newest version
/// that is known, if one is.
pub(super) struct Place(OwnedMutexGuard<Option<Held>>);

/// A place for each session that was written to lately.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Generations>);

/// When the young are enough, they become the old, and the old are forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<SessionKey, Arc<Turn<Option<Held>>>>,
    old: HashMap<SessionKey, Arc<Turn<Option<Held>>>>,
}

impl Remembered {
    /// The place of a session, once it is free. Whoever has one that was forgotten
    /// meanwhile does no harm: it loses the race, or wins it.
    pub async fn turn(&self, key: &SessionKey) -> Place {
        let turn = self.generations().turn(key);
        Place(turn.lock_owned().await)
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        // Nothing in there can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn turn(&mut self, key: &SessionKey) -> Arc<Turn<Option<Held>>> {
        if let Some(turn) = self.young.get(key) {
            return Arc::clone(turn);
        }
        if self.young.len() >= ENOUGH {
            self.old = std::mem::take(&mut self.young);
        }
        let turn = self.old.remove(key).unwrap_or_default();
        self.young.insert(key.clone(), Arc::clone(&turn));
        turn
    }
}

impl Place {
    /// What is remembered, once: who comes after finds nothing, unless more is learnt.
    pub fn take(&mut self) -> Option<Held> {
        self.0.take()
    }

    /// That is the newest version, as far as is known here.
    pub fn learn(&mut self, held: &Held) {
        let is_of_use = !held.is_doubtful && held.session.participants.len() <= MAX_PARTICIPANTS;
        *self.0 = is_of_use.then(|| held.clone());
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
    fn of_one_session_there_is_one_place_and_never_too_many_of_all() {
        let remembered = Remembered::default();
        let first = remembered.generations().turn(&key(0));
        for session in 1..ENOUGH * 5 {
            remembered.generations().turn(&key(session));
            // It is asked for all the time, so it is not forgotten.
            assert!(Arc::ptr_eq(&first, &remembered.generations().turn(&key(0))));
        }
        let generations = remembered.generations();
        assert!(generations.young.len() <= ENOUGH && generations.old.len() <= ENOUGH);
        assert!(!generations.young.contains_key(&key(1)) && !generations.old.contains_key(&key(1)));
    }

    #[tokio::test]
    async fn who_comes_second_waits_for_the_first() {
        let remembered = Remembered::default();
        let (one, another) = (key(0), key(1));
        let first = remembered.turn(&one).await;
        let other = remembered.turn(&another).await;
        let mut second = Box::pin(remembered.turn(&one));
        assert!(futures::poll!(&mut second).is_pending());
        drop((first, other));
        second.await;
    }
}
