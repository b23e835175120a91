//! The buckets of one class: bounded, and forgotten once they are idle.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::nanos::Nanos;
use governor::state::StateStore;
use parking_lot::Mutex;

use super::key::{BuildAsIs, Key};

/// Keys that have a bucket of their own. Past it, new ones share one.
pub(super) const MAX_KEYS: usize = 100_000;

/// A bucket that has been full for so long is forgotten.
const IDLE_TIMEOUT: Duration = Duration::from_mins(10);

/// Locks, so that callers rarely meet.
const SHARD_COUNT: usize = 16;

/// By key, when its bucket is full again.
type Shard = Mutex<HashMap<Key, Nanos, BuildAsIs>>;

/// The buckets; clones are the same ones.
#[derive(Clone)]
pub(super) struct Buckets(Arc<Inner>);

struct Inner {
    max_keys: usize,
    shards: [Shard; SHARD_COUNT],
    keys: AtomicUsize,
    /// The bucket of all keys that found no room.
    shared: Mutex<Option<Nanos>>,
}

impl Buckets {
    pub(super) fn new(max_keys: usize) -> Self {
        let shards = std::array::from_fn(|_| Shard::default());
        Self(Arc::new(Inner { max_keys, shards, keys: AtomicUsize::new(0), shared: Mutex::new(None) }))
    }

    /// How many keys have a bucket of their own.
    pub(super) fn len(&self) -> usize {
        self.0.keys.load(Ordering::Relaxed)
    }

    /// Takes more out of a bucket than it holds: it is that much later full again.
    pub(super) fn overdraw(&self, key: Key, by: Duration) {
        let by = Nanos::from(by);
        if let Some(full_at) = self.0.shards[key.shard(SHARD_COUNT)].lock().get_mut(&key) {
            *full_at = *full_at + by;
        } else if let Some(full_at) = &mut *self.0.shared.lock() {
            *full_at = *full_at + by;
        }
    }

    /// Forgets what was full for long enough at `now`.
    pub(super) fn forget_idle(&self, now: Duration) {
        let oldest = Nanos::from(now).saturating_sub(IDLE_TIMEOUT.into());
        for shard in &self.0.shards {
            let mut shard = shard.lock();
            let before = shard.len();
            shard.retain(|_, full_at| *full_at > oldest);
            self.0.keys.fetch_sub(before - shard.len(), Ordering::Relaxed);
            if shard.capacity() / 4 > shard.len() {
                shard.shrink_to_fit();
            }
        }
    }
}

impl StateStore for Buckets {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let Inner { max_keys, shards, keys, shared } = &*self.0;
        let mut shard = shards[key.shard(SHARD_COUNT)].lock();
        if let Some(full_at) = shard.get_mut(key) {
            let (outcome, next) = decide(Some(*full_at))?;
            *full_at = next;
            return Ok(outcome);
        }
        if keys.load(Ordering::Relaxed) < *max_keys {
            let (outcome, next) = decide(None)?;
            keys.fetch_add(1, Ordering::Relaxed);
            shard.insert(*key, next);
            return Ok(outcome);
        }
        drop(shard);
        let mut full_at = shared.lock();
        let (outcome, next) = decide(*full_at)?;
        *full_at = Some(next);
        Ok(outcome)
    }
}
