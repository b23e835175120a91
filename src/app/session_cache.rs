//! Caches the sessions that an instance writes to, so that a commit needs no read before it,
//! and queues their writers.
//!
//! One commit of a session is under way in an instance at a time. A cached version may be
//! stale: only a commit may rest on it, because the store refuses one that is not made
//! from the newest version.

use std::convert::Infallible;
use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter};
use serde_json::{Map, Value};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::domain::id::SessionKey;
use crate::domain::session::Status;
use crate::store::StoredSession;

/// About so many sessions are cached.
const MAX_SESSIONS: usize = 8_192;

/// A session of more participants takes more memory than the read it saves is worth.
const MAX_PARTICIPANTS: usize = 32;

/// So does a session whose metadata takes more, in bytes.
const MAX_METADATA_BYTES: usize = 4_096;

/// The right to write to a session, with its newest known version. Other writers wait for it.
pub(super) struct SessionSlot(OwnedMutexGuard<Option<StoredSession>>);

/// The slots of the sessions that were written to lately.
pub(super) struct SessionCache(Cache<SessionKey, Arc<Mutex<Option<StoredSession>>>>);

impl Default for SessionCache {
    fn default() -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(MAX_SESSIONS)
            .weight_capacity(MAX_SESSIONS as u64)
            // Sessions that were busy once never crowd out the newest half.
            .hot_allocation(0.5)
            .build()
            .expect("both capacities are given");
        Self(Cache::with_options(options, UnitWeighter, DefaultHashBuilder::default(), DefaultLifecycle::default()))
    }
}

impl SessionCache {
    /// The slot of a session, once it is free. The holder of one that was evicted meanwhile
    /// does no harm: it loses the race, or wins it.
    pub async fn lock(&self, key: &SessionKey) -> SessionSlot {
        SessionSlot(self.slot(key).lock_owned().await)
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

impl SessionSlot {
    /// Takes the cached version out: the next writer finds none, unless another is put.
    pub fn take(&mut self) -> Option<StoredSession> {
        self.0.take()
    }

    /// Caches the newest known version.
    pub fn put(&mut self, stored: &StoredSession) {
        *self.0 = is_cacheable(stored).then(|| stored.clone());
    }
}

/// A session that has ended is written to no more, but for its deletion.
fn is_cacheable(stored: &StoredSession) -> bool {
    let session = &stored.session;
    let may_be_written = !stored.needs_restore && !session.status.is_ended() && session.status != Status::Deleted;
    may_be_written && session.participants.len() <= MAX_PARTICIPANTS && is_small(&session.metadata)
}

/// Whether it takes little memory. Each nested value counts as a fixed size.
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
    fn the_newest_sessions_are_cached_after_busy_ones() {
        let cache = SessionCache::default();
        for session in 0..MAX_SESSIONS {
            cache.slot(&key(session));
            cache.slot(&key(session));
        }
        let newest = MAX_SESSIONS * 2..MAX_SESSIONS * 2 + MAX_SESSIONS / 4;
        newest.clone().for_each(|session| drop(cache.slot(&key(session))));
        let cached = newest.clone().filter(|session| cache.0.peek(&key(*session)).is_some()).count();
        assert!(cached * 10 >= newest.len() * 9, "{cached} of {}", newest.len());
    }

    #[tokio::test]
    async fn a_second_writer_waits_for_the_first() {
        let cache = SessionCache::default();
        let (one, another) = (key(0), key(1));
        let first = cache.lock(&one).await;
        let other = cache.lock(&another).await;
        let mut second = Box::pin(cache.lock(&one));
        assert!(futures::poll!(&mut second).is_pending());
        drop((first, other));
        second.await;
    }

    #[tokio::test]
    async fn large_and_ended_sessions_are_not_cached() {
        let (cache, key) = (SessionCache::default(), key(0));
        let is_cached = async |change: fn(&mut Session)| {
            let mut session = created(&key);
            change(&mut session);
            let stored =
                StoredSession { session: Arc::new(session), head: Digest::NONE, entry_id: None, needs_restore: false };
            let mut slot = cache.lock(&key).await;
            slot.put(&stored);
            slot.take().is_some()
        };
        let metadata = |bytes: usize| Arc::new(Map::from_iter([("note".to_owned(), Value::from("x".repeat(bytes)))]));
        assert!(is_cached(|_| {}).await);
        assert!(!is_cached(|session| session.status = Status::Completed).await);
        assert!(!is_cached(|session| session.status = Status::Deleted).await);
        let sizes = [MAX_METADATA_BYTES - 4, MAX_METADATA_BYTES].map(|bytes| is_small(&metadata(bytes)));
        assert_eq!(sizes, [true, false]);
        let nested: Map<_, _> = (0..17).map(|name| (name.to_string(), Value::Array(Vec::new()))).collect();
        assert!(!is_small(&nested));
        assert_eq!(cache.len(), 1);
    }
}
