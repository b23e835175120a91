//! What an instance remembers of the sessions it writes to, so that a commit needs no
//! read before it; and whose turn it is to write.
//!
//! One commit of a session is under way here at a time, the others queue. What is
//! remembered is a guess: only a commit may rest on it, since the store refuses one
//! that is made from anything but the newest version.

use std::convert::Infallible;
use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter};
use serde_json::{Map, Value};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::domain::id::SessionKey;
use crate::domain::session::Status;
use crate::store::StoredSession;

/// About so many sessions are remembered.
const MAX_SESSIONS: usize = 8_192;

/// A session of more participants takes more room than the read it saves is worth.
const MAX_PARTICIPANTS: usize = 32;

/// So does one whose metadata takes more, in bytes.
const MAX_METADATA_BYTES: usize = 4_096;

/// Whoever holds it may write; the others wait for it. It holds the newest version
/// that is known, if one is.
pub(super) struct Slot(OwnedMutexGuard<Option<StoredSession>>);

/// The slots of the sessions that were written to lately.
pub(super) struct SessionCache(Cache<SessionKey, Arc<Mutex<Option<StoredSession>>>>);

impl Default for SessionCache {
    fn default() -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(MAX_SESSIONS)
            .weight_capacity(MAX_SESSIONS as u64)
            // The newest half is not crowded out by sessions that were busy once.
            .hot_allocation(0.5)
            .build()
            .expect("both capacities are given");
        Self(Cache::with_options(options, UnitWeighter, DefaultHashBuilder::default(), DefaultLifecycle::default()))
    }
}

impl SessionCache {
    /// The slot of a session, once it is free. The holder of one that was evicted meanwhile
    /// does no harm: it loses the race, or wins it.
    pub async fn lock(&self, key: &SessionKey) -> Slot {
        Slot(self.slot(key).lock_owned().await)
    }

    fn slot(&self, key: &SessionKey) -> Arc<Mutex<Option<StoredSession>>> {
        let Ok(slot) = self.0.get_or_insert_with(key, || Ok::<_, Infallible>(Arc::default()));
        slot
    }

    /// How many sessions have a slot.
    pub fn len(&self) -> usize {
        self.0.len()
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
    use crate::store::contract::making::created;

    fn key(session: usize) -> SessionKey {
        SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new(format!("s{session}")).unwrap() }
    }

    #[test]
    fn a_session_has_one_slot_and_slots_are_bounded() {
        let cache = SessionCache::default();
        let first = cache.slot(&key(0));
        for session in 1..MAX_SESSIONS * 3 {
            cache.slot(&key(session));
            // It is asked for all the time, so it is not evicted.
            assert!(Arc::ptr_eq(&first, &cache.slot(&key(0))));
            assert!(cache.len() <= usize::try_from(cache.0.capacity()).unwrap());
        }
        assert!(cache.0.capacity() < 2 * MAX_SESSIONS as u64);
    }

    #[test]
    fn the_newest_sessions_are_remembered_after_busy_ones() {
        let cache = SessionCache::default();
        for session in 0..MAX_SESSIONS {
            cache.slot(&key(session));
            cache.slot(&key(session));
        }
        let newest = MAX_SESSIONS * 2..MAX_SESSIONS * 2 + MAX_SESSIONS / 4;
        newest.clone().for_each(|session| drop(cache.slot(&key(session))));
        let remembered = newest.clone().filter(|session| cache.0.peek(&key(*session)).is_some()).count();
        assert!(remembered * 10 >= newest.len() * 9, "{remembered} of {}", newest.len());
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
