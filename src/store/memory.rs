//! The store of a single process, and of several instances inside one for tests.
//!
//! Store, bus and outbox are built as a set: a write holds its partition's lock
//! while it stores, announces and appends, so that one order holds for all three.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;

use super::outbox::{EntryId, MemoryOutbox};
use super::partition;
use super::partition::{PARTITIONS, Partitions};
use super::{Commit, Committed, Error, LedgerProgress, SessionStore, StoredSession};
use crate::domain::chain::Digest;
use crate::domain::entry::{IDEMPOTENCY_TTL_MS, IdempotencyRecord};
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;

/// A session remembers so many answered keys; past it the oldest is forgotten early.
const MAX_IDEMPOTENCY_RECORDS: usize = 10_000;

/// Tells the bus of a write. Called with the session locked: it must not wait.
pub type Announce = Box<dyn Fn(SessionKey, Position, Bytes) + Send + Sync>;

/// Says whether anybody watches a session. Called with its partition locked: it must not wait.
pub type IsWatched = Box<dyn Fn(&SessionKey) -> bool + Send + Sync>;

/// Sessions in memory.
pub struct MemoryStore {
    partitions: Vec<Mutex<Partition>>,
    announce: Announce,
    is_watched: IsWatched,
    outbox: Arc<MemoryOutbox>,
    began: Timestamp,
}

#[derive(Debug, Default)]
struct Partition {
    sessions: HashMap<SessionKey, Slot>,
    due: BTreeSet<(Timestamp, SessionKey)>,
}

#[derive(Debug)]
struct Slot {
    held: StoredSession,
    /// The ledger refused that version for good: nobody else holds it.
    is_refused: bool,
    answered: HashMap<Digest, IdempotencyRecord>,
    order: VecDeque<(Timestamp, Digest)>,
}

impl MemoryStore {
    /// An empty store, as of `began`, that announces by `announce` and appends to `outbox`.
    #[must_use]
    pub fn new(announce: Announce, outbox: Arc<MemoryOutbox>, began: Timestamp) -> Self {
        let partitions = (0..PARTITIONS).map(|_| Mutex::default()).collect();
        Self { partitions, announce, is_watched: Box::new(|_| false), outbox, began }
    }

    /// The same, where those who watch are known: no session is let go of under them.
    #[must_use]
    pub fn with_watchers(self, is_watched: IsWatched) -> Self {
        Self { is_watched, ..self }
    }

    /// How many sessions are held.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.partitions.iter().map(|partition| locked(partition).sessions.len()).sum()
    }

    /// Lets go of what nothing has happened to since `idle_since`, will not by
    /// itself, nobody watches, and the ledger holds. Gives how many sessions are left.
    #[must_use]
    pub fn evict(&self, idle_since: Timestamp) -> usize {
        self.partitions.iter().map(|partition| self.evict_from(&mut locked(partition), idle_since)).sum()
    }

    fn evict_from(&self, partition: &mut Partition, idle_since: Timestamp) -> usize {
        partition.sessions.retain(|key, kept| {
            let session = &kept.held.session;
            let is_idle = session.updated_at < idle_since && session.due_at.is_none();
            session.status == Status::Running || !is_idle || !self.is_recorded(kept) || (self.is_watched)(key)
        });
        partition.sessions.len()
    }

    fn is_recorded(&self, kept: &Slot) -> bool {
        let is_done = |ticket| self.outbox.recorded(ticket).now_or_never().is_some();
        !kept.is_refused && kept.held.entry_id.is_none_or(is_done)
    }

    /// Notes whether the ledger refused that version, if it is still the newest.
    fn set_refused(&self, key: &SessionKey, at: Position, is_refused: bool) {
        if let Some(kept) = self.partition(key).sessions.get_mut(key).filter(|kept| position(kept) == at) {
            kept.is_refused = is_refused;
        }
    }

    fn partition(&self, key: &SessionKey) -> MutexGuard<'_, Partition> {
        locked(&self.partitions[partition::Partition::of(key).index()])
    }

    fn compare_and_set(&self, commit: Commit) -> Committed {
        let mut partition = self.partition(&commit.key);
        match partition.sessions.get(&commit.key) {
            None if commit.base.is_some() => return Committed::Missing,
            Some(kept) => {
                if let Some(answered) = kept.repeats(&commit) {
                    return Committed::Repeated(answered.clone(), kept.held.clone());
                }
                if commit.base != Some(position(kept)) {
                    return Committed::Stale(kept.held.clone());
                }
            }
            None => {}
        }
        Committed::Stored(self.write(&mut partition, commit))
    }

    fn set_if_absent(&self, key: &SessionKey, held: StoredSession, answered: Vec<IdempotencyRecord>) -> StoredSession {
        let mut partition = self.partition(key);
        if let Some(kept) = partition.sessions.get(key) {
            return kept.held.clone();
        }
        partition.reschedule(key, None, held.session.due_at);
        partition.put(key, held.clone(), None);
        if let Some(kept) = partition.sessions.get_mut(key) {
            for each in answered {
                kept.remember(Some(each));
            }
        }
        held
    }

    fn due_entries(&self, partitions: Partitions, until: Timestamp, limit: usize) -> Vec<(Timestamp, SessionKey)> {
        let mut due = Vec::new();
        for partition in partitions.iter() {
            let partition = locked(&self.partitions[partition.index()]);
            due.extend(partition.due.iter().take_while(|(at, _)| *at <= until).take(limit).cloned());
        }
        due.sort_unstable();
        due.truncate(limit);
        due
    }

    fn write(&self, partition: &mut Partition, commit: Commit) -> StoredSession {
        let Commit { key, session, frames, entry, .. } = commit;
        let link = entry.link.digest();
        let answer = entry.idempotency.map(|repeat| IdempotencyRecord {
            repeat,
            position: session.position,
            at: session.updated_at,
            change: entry.change.clone(),
        });
        let ticket = Some(self.outbox.append(entry));
        let held = StoredSession { session: Arc::clone(&session), head: link, entry_id: ticket, needs_restore: false };
        let replaced = partition.put(&key, held.clone(), answer);
        partition.reschedule(&key, replaced.and_then(|replaced| replaced.due_at), session.due_at);
        (self.announce)(key, session.position, frames);
        held
    }
}

/// A panic elsewhere cannot leave it half changed: nothing in here panics in between.
fn locked(partition: &Mutex<Partition>) -> MutexGuard<'_, Partition> {
    partition.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Partition {
    /// Puts a version in place; gives the one before.
    fn put(
        &mut self,
        key: &SessionKey,
        held: StoredSession,
        answered: Option<IdempotencyRecord>,
    ) -> Option<Arc<Session>> {
        if let Some(kept) = self.sessions.get_mut(key) {
            let before = std::mem::replace(&mut kept.held, held);
            kept.is_refused = false;
            kept.remember(answered);
            return Some(before.session);
        }
        let mut kept = Slot { held, is_refused: false, answered: HashMap::new(), order: VecDeque::new() };
        kept.remember(answered);
        self.sessions.insert(key.clone(), kept);
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
    fn remember(&mut self, answered: Option<IdempotencyRecord>) {
        let Some(answered) = answered else { return };
        let forget = answered.at - IDEMPOTENCY_TTL_MS;
        while self.order.front().is_some_and(|(at, _)| *at < forget) || self.order.len() >= MAX_IDEMPOTENCY_RECORDS {
            if let Some((_, key)) = self.order.pop_front() {
                self.answered.remove(&key);
            }
        }
        self.order.push_back((answered.at, answered.repeat.key));
        self.answered.insert(answered.repeat.key, answered);
    }

    fn repeats(&self, commit: &Commit) -> Option<&IdempotencyRecord> {
        self.answered.get(&commit.entry.idempotency?.key)
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn read(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        Ok(self.partition(key).sessions.get(key).map(|kept| kept.held.clone()))
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        Ok(self.compare_and_set(commit))
    }

    async fn restore(
        &self,
        key: &SessionKey,
        _over: Option<Position>,
        held: StoredSession,
        answered: Vec<IdempotencyRecord>,
    ) -> Result<StoredSession, Error> {
        Ok(self.set_if_absent(key, held, answered))
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
        Ok(partition.sessions.get(key).and_then(|kept| kept.answered.get(repeat)).cloned())
    }

    async fn remember_answer(&self, key: &SessionKey, answered: IdempotencyRecord) -> Result<IdempotencyRecord, Error> {
        let mut partition = self.partition(key);
        let Some(kept) = partition.sessions.get_mut(key) else { return Ok(answered) };
        if let Some(before) = kept.answered.get(&answered.repeat.key) {
            return Ok(before.clone());
        }
        kept.remember(Some(answered.clone()));
        Ok(answered)
    }

    async fn generation_started_at(&self, _key: &SessionKey) -> Result<Timestamp, Error> {
        Ok(self.began)
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

    /// None: what waits dies with the sessions, and no session goes before it is recorded.
    async fn outbox_tail(&self, _key: &SessionKey) -> Result<Option<EntryId>, Error> {
        Ok(None)
    }

    async fn wait_recorded(&self, ticket: EntryId) -> Result<(), Error> {
        self.outbox.recorded(ticket).await;
        Ok(())
    }

    async fn wait_for_ledger(&self) {
        self.outbox.in_step().await;
    }
}

fn position(kept: &Slot) -> Position {
    kept.held.session.position
}
