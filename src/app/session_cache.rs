//! What an instance remembers of the sessions it writes to, so that a commit needs no
//! read before it; and whose turn it is to write.
//!
//! One commit of a session is under way here at a time, the others queue. What is
//! remembered is a guess: only a commit may rest on it, since the store refuses one
//! that is made from anything but the newest version.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::Mutex as Turn;
use tokio::sync::OwnedMutexGuard;

use crate::domain::id::SessionKey;
use crate::domain::session::Status;
use crate::store::StoredSession;

/// So many sessions are remembered at least, and twice as many at most.
const GENERATION_CAPACITY: usize = 4_096;

/// A session of more participants takes more room than the read it saves is worth.
const MAX_PARTICIPANTS: usize = 32;

/// So does one whose metadata takes more, in bytes.
const MAX_METADATA_BYTES: usize = 4_096;

/// Whoever holds it may write; the others wait for it. It holds the newest version
/// that is known, if one is.
pub(super) struct Slot(OwnedMutexGuard<Option<StoredSession>>);

/// A place for each session that was written to lately.
#[derive(Debug, Default)]
pub(super) struct SessionCache(Mutex<Generations>);

/// When the young are enough, they become the old, and the old are forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<SessionKey, Arc<Turn<Option<StoredSession>>>>,
    old: HashMap<SessionKey, Arc<Turn<Option<StoredSession>>>>,
}

impl SessionCache {
    /// The place of a session, once it is free. Whoever has one that was forgotten
    /// meanwhile does no harm: it loses the race, or wins it.
    pub async fn lock(&self, key: &SessionKey) -> Slot {
        let turn = self.generations().turn(key);
        Slot(turn.lock_owned().await)
    }

    /// How many sessions have a place.
    pub fn len(&self) -> usize {
        let generations = self.generations();
        generations.young.len() + generations.old.len()
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        // Nothing in there can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn turn(&mut self, key: &SessionKey) -> Arc<Turn<Option<StoredSession>>> {
        if let Some(turn) = self.young.get(key) {
            return Arc::clone(turn);
        }
        if self.young.len() >= GENERATION_CAPACITY {
            self.old = std::mem::take(&mut self.young);
        }
        let turn = self.old.remove(key).unwrap_or_default();
        self.young.insert(key.clone(), Arc::clone(&turn));
        turn
    }
}

impl Slot {
    /// What is remembered, once: who comes after finds nothing, unless more is learnt.
    pub fn take(&mut self) -> Option<StoredSession> {
        self.0.take()
    }

    /// That is the newest version, as far as is known here.
    pub fn put(&mut self, held: &StoredSession) {
        *self.0 = is_cacheable(held).then(|| held.clone());
    }
}

/// What has ended is written to no more, but for its deletion.
fn is_cacheable(held: &StoredSession) -> bool {
    let session = &held.session;
    let may_be_written = !held.needs_restore && !session.status.is_ended() && session.status != Status::Deleted;
    may_be_written && session.participants.len() <= MAX_PARTICIPANTS && is_small(&session.metadata)
}

/// Whether it takes little room. What is nested is not looked into, and counts as much.
fn is_small(metadata: &Map<String, Value>) -> bool {
    let sizes = metadata.iter().map(|(name, value)| {
        name.len()
            + match value {
                Value::String(text) => text.len(),
                Value::Array(_) | Value::Object(_) => MAX_METADATA_BYTES / 16,
                _ => 0,
            }
    });
    sizes.sum::<usize>() <= MAX_METADATA_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::chain::Digest;
    use crate::domain::id::{SessionId, TenantId};
    use crate::domain::session::Session;
    use crate::store::contract::fixtures::created;

    fn key(session: usize) -> SessionKey {
        SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new(format!("s{session}")).unwrap() }
    }

    #[test]
    fn of_one_session_there_is_one_place_and_never_too_many_of_all() {
        let remembered = SessionCache::default();
        let first = remembered.generations().turn(&key(0));
        for session in 1..GENERATION_CAPACITY * 5 {
            remembered.generations().turn(&key(session));
            // It is asked for all the time, so it is not forgotten.
            assert!(Arc::ptr_eq(&first, &remembered.generations().turn(&key(0))));
        }
        let generations = remembered.generations();
        assert!(generations.young.len() <= GENERATION_CAPACITY && generations.old.len() <= GENERATION_CAPACITY);
        assert!(!generations.young.contains_key(&key(1)) && !generations.old.contains_key(&key(1)));
    }

    #[tokio::test]
    async fn who_comes_second_waits_for_the_first() {
        let remembered = SessionCache::default();
        let (one, another) = (key(0), key(1));
        let first = remembered.lock(&one).await;
        let other = remembered.lock(&another).await;
        let mut second = Box::pin(remembered.lock(&one));
        assert!(futures::poll!(&mut second).is_pending());
        drop((first, other));
        second.await;
    }

    #[tokio::test]
    async fn what_is_large_or_over_is_not_remembered() {
        let (remembered, key) = (SessionCache::default(), key(0));
        let is_learnt = async |change: fn(&mut Session)| {
            let mut session = created(&key);
            change(&mut session);
            let held =
                StoredSession { session: Arc::new(session), head: Digest::NONE, entry_id: None, needs_restore: false };
            let mut place = remembered.lock(&key).await;
            place.put(&held);
            place.take().is_some()
        };
        let metadata = |bytes: usize| Arc::new(Map::from_iter([("note".to_owned(), Value::from("x".repeat(bytes)))]));
        assert!(is_learnt(|_| {}).await);
        assert!(!is_learnt(|session| session.status = Status::Completed).await);
        assert!(!is_learnt(|session| session.status = Status::Deleted).await);
        let sizes = [MAX_METADATA_BYTES - 4, MAX_METADATA_BYTES].map(|bytes| is_small(&metadata(bytes)));
        assert_eq!(sizes, [true, false]);
        let nested: Map<_, _> = (0..17).map(|name| (name.to_string(), Value::Array(Vec::new()))).collect();
        assert!(!is_small(&nested));
        assert_eq!(remembered.len(), 1);
    }
}
