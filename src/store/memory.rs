//! The store of a single process, and of several instances inside one for tests.
//!
//! Store, bus and outbox are built together: a write locks its partition while it stores,
//! announces and appends, so that all three have one order.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use parking_lot::{Mutex, MutexGuard};

use super::outbox::{EntryId, MemoryOutbox};
use super::partition;
use super::partition::{PARTITIONS, Partitions};
use super::{Commit, Committed, Error, LedgerProgress, SessionStore, StoredSession};
use crate::domain::chain::Digest;
use crate::domain::id::SessionKey;
use crate::domain::idempotency::{IDEMPOTENCY_TTL_MS, IdempotencyRecord};
use crate::domain::position::Position;
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;

/// Records of a session; past it the oldest is forgotten early.
const MAX_IDEMPOTENCY_RECORDS: usize = 10_000;

/// Announces a write on the bus. It must not wait, as the session is locked.
pub type Announce = Box<dyn Fn(SessionKey, Position, Bytes) + Send + Sync>;

/// Whether a session has subscribers. It must not wait, as the partition is locked.
pub type IsWatched = Box<dyn Fn(&SessionKey) -> bool + Send + Sync>;

/// Sessions in memory.
pub struct MemoryStore {
    partitions: Vec<Mutex<Partition>>,
    announce: Announce,
    is_watched: IsWatched,
    outbox: Arc<MemoryOutbox>,
    started_at: Timestamp,
}

#[derive(Debug, Default)]
struct Partition {
    sessions: HashMap<SessionKey, Slot>,
    due: BTreeSet<(Timestamp, SessionKey)>,
}

#[derive(Debug)]
struct Slot {
    stored: StoredSession,
    /// The ledger refused that version for good, so it is nowhere else.
    is_refused: bool,
    records: HashMap<Digest, IdempotencyRecord>,
    /// Their keys, the oldest first.
    record_order: VecDeque<(Timestamp, Digest)>,
}

impl MemoryStore {
    /// An empty store, from `started_at` on, that announces by `announce` and appends to `outbox`.
    pub fn new(announce: Announce, outbox: Arc<MemoryOutbox>, started_at: Timestamp) -> Self {
        let partitions = (0..PARTITIONS).map(|_| Mutex::default()).collect();
        Self { partitions, announce, is_watched: Box::new(|_| false), outbox, started_at }
    }

    /// The same, without the eviction of watched sessions.
    pub fn with_watchers(self, is_watched: IsWatched) -> Self {
        Self { is_watched, ..self }
    }

    /// The number of sessions.
    pub fn sessions(&self) -> usize {
        self.partitions.iter().map(|partition| partition.lock().sessions.len()).sum()
    }

    /// Evicts sessions that are idle since `idle_since`, not due, not watched, and in the
    /// ledger. Returns the number of sessions left.
    pub fn evict(&self, idle_since: Timestamp) -> usize {
        self.partitions.iter().map(|partition| self.evict_from(&mut partition.lock(), idle_since)).sum()
    }

    fn evict_from(&self, partition: &mut Partition, idle_since: Timestamp) -> usize {
        partition.sessions.retain(|key, slot| {
            let session = &slot.stored.session;
            let is_idle = session.updated_at < idle_since && session.due_at.is_none();
            session.status == Status::Running || !is_idle || !self.is_recorded(slot) || (self.is_watched)(key)
        });
        partition.sessions.len()
    }

    fn is_recorded(&self, slot: &Slot) -> bool {
        let is_done = |entry_id| self.outbox.recorded(entry_id).now_or_never().is_some();
        !slot.is_refused && slot.stored.entry_id.is_none_or(is_done)
    }

    /// Notes whether the ledger refused that version, if it is still the newest.
    fn set_refused(&self, key: &SessionKey, at: Position, is_refused: bool) {
        if let Some(slot) = self.partition(key).sessions.get_mut(key).filter(|slot| slot.position() == at) {
            slot.is_refused = is_refused;
        }
    }

    fn partition(&self, key: &SessionKey) -> MutexGuard<'_, Partition> {
        self.partitions[partition::Partition::of(key).index()].lock()
    }

    fn compare_and_set(&self, commit: Commit) -> Committed {
        let mut partition = self.partition(&commit.key);
        match partition.sessions.get(&commit.key) {
            None if commit.base.is_some() => return Committed::Missing,
            Some(slot) => {
                if let Some(record) = slot.record_of(&commit) {
                    return Committed::Repeated(record.clone(), slot.stored.clone());
                }
                if commit.base != Some(slot.position()) {
                    return Committed::Stale(slot.stored.clone());
                }
            }
            None => {}
        }
        Committed::Stored(self.write(&mut partition, commit))
    }

    fn set_if_absent(
        &self,
        key: &SessionKey,
        session: StoredSession,
        records: Vec<IdempotencyRecord>,
    ) -> StoredSession {
        let mut partition = self.partition(key);
        if let Some(slot) = partition.sessions.get(key) {
            return slot.stored.clone();
        }
        partition.reschedule(key, None, session.session.due_at);
        partition.sessions.insert(key.clone(), Slot::new(session.clone(), records));
        session
    }

    fn due_entries(&self, partitions: Partitions, until: Timestamp, limit: usize) -> Vec<(Timestamp, SessionKey)> {
        let mut due = Vec::new();
        for partition in partitions.iter() {
            let partition = self.partitions[partition.index()].lock();
            due.extend(partition.due.iter().take_while(|(at, _)| *at <= until).take(limit).cloned());
        }
        due.sort_unstable();
        due.truncate(limit);
        due
    }

    fn write(&self, partition: &mut Partition, commit: Commit) -> StoredSession {
        let Commit { key, session, frames, entry, .. } = commit;
        let head = entry.link.digest();
        let record = entry.idempotency.map(|key| IdempotencyRecord {
            key,
            position: session.position,
            at: session.updated_at,
            change: entry.change.clone(),
        });
        let entry_id = Some(self.outbox.append(entry));
        let stored = StoredSession { session: Arc::clone(&session), head, entry_id, needs_restore: false };
        let replaced = partition.put(&key, stored.clone(), record);
        partition.reschedule(&key, replaced.and_then(|replaced| replaced.due_at), session.due_at);
        (self.announce)(key, session.position, frames);
        stored
    }
}

impl Partition {
    /// Stores a version; returns the one before.
    fn put(
        &mut self,
        key: &SessionKey,
        stored: StoredSession,
        record: Option<IdempotencyRecord>,
    ) -> Option<Arc<Session>> {
        if let Some(slot) = self.sessions.get_mut(key) {
            let before = std::mem::replace(&mut slot.stored, stored);
            slot.is_refused = false;
            slot.remember(record);
            return Some(before.session);
        }
        self.sessions.insert(key.clone(), Slot::new(stored, record));
        None
    }

    fn reschedule(&mut self, key: &SessionKey, before: Option<Timestamp>, after: Option<Timestamp>) {
        if before == after {
            return;
        }
        if let Some(at) = before {
            self.due.remove(&(at, key.clone()));
        }
        if let Some(at) = after {
            self.due.insert((at, key.clone()));
        }
    }
}

impl Slot {
    fn new(stored: StoredSession, records: impl IntoIterator<Item = IdempotencyRecord>) -> Self {
        let mut slot = Self { stored, is_refused: false, records: HashMap::new(), record_order: VecDeque::new() };
        slot.remember(records);
        slot
    }

    fn position(&self) -> Position {
        self.stored.session.position
    }

    fn remember(&mut self, records: impl IntoIterator<Item = IdempotencyRecord>) {
        for record in records {
            self.forget_before(record.at - IDEMPOTENCY_TTL_MS);
            self.record_order.push_back((record.at, record.key.key));
            self.records.insert(record.key.key, record);
        }
    }

    /// Forgets earlier records, and the oldest where there are too many.
    fn forget_before(&mut self, oldest: Timestamp) {
        let is_expired = |(at, _): &(Timestamp, Digest)| *at < oldest;
        while self.record_order.front().is_some_and(is_expired) || self.record_order.len() >= MAX_IDEMPOTENCY_RECORDS {
            if let Some((_, key)) = self.record_order.pop_front() {
                self.records.remove(&key);
            }
        }
    }

    /// The record of the commit's idempotency key.
    fn record_of(&self, commit: &Commit) -> Option<&IdempotencyRecord> {
        self.records.get(&commit.entry.idempotency?.key)
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn read(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        Ok(self.partition(key).sessions.get(key).map(|slot| slot.stored.clone()))
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        Ok(self.compare_and_set(commit))
    }

    async fn restore(
        &self,
        key: &SessionKey,
        _over: Option<Position>,
        session: StoredSession,
        records: Vec<IdempotencyRecord>,
    ) -> Result<StoredSession, Error> {
        Ok(self.set_if_absent(key, session, records))
    }

    async fn due(
        &self,
        partitions: Partitions,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, SessionKey)>, Error> {
        Ok(self.due_entries(partitions, until, limit))
    }

    async fn idempotency_record(&self, key: &SessionKey, repeat: &Digest) -> Result<Option<IdempotencyRecord>, Error> {
        let partition = self.partition(key);
        Ok(partition.sessions.get(key).and_then(|slot| slot.records.get(repeat)).cloned())
    }

    async fn remember_answer(&self, key: &SessionKey, record: IdempotencyRecord) -> Result<IdempotencyRecord, Error> {
        let mut partition = self.partition(key);
        let Some(slot) = partition.sessions.get_mut(key) else { return Ok(record) };
        if let Some(before) = slot.records.get(&record.key.key) {
            return Ok(before.clone());
        }
        slot.remember([record.clone()]);
        Ok(record)
    }

    async fn generation_started_at(&self, _key: &SessionKey) -> Result<Timestamp, Error> {
        Ok(self.started_at)
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[async_trait]
impl LedgerProgress for MemoryStore {
    async fn retain(&self, key: &SessionKey, at: Position) -> Result<(), Error> {
        self.set_refused(key, at, true);
        Ok(())
    }

    async fn release(&self, key: &SessionKey, at: Position) -> Result<(), Error> {
        self.set_refused(key, at, false);
        Ok(())
    }

    /// None: entries die with their sessions, and no session is evicted before it is recorded.
    async fn outbox_tail(&self, _key: &SessionKey) -> Result<Option<EntryId>, Error> {
        Ok(None)
    }

    async fn wait_recorded(&self, entry_id: EntryId) -> Result<(), Error> {
        self.outbox.recorded(entry_id).await;
        Ok(())
    }

    async fn wait_for_ledger(&self) {
        self.outbox.wait_for_ledger().await;
    }
}
