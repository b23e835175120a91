//! Live sessions, shared by all instances.

pub mod instrumented;
pub mod keys;
pub mod ledger_fence;
pub mod memory;
pub mod outbox;
pub mod partition;
pub mod redis;

#[cfg(test)]
pub(crate) mod contract;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use self::outbox::EntryId;
use self::partition::Partitions;
use crate::breaker::Open;
use crate::domain::chain::Digest;
use crate::domain::entry::Entry;
use crate::domain::id::SessionKey;
use crate::domain::idempotency::IdempotencyRecord;
use crate::domain::position::Position;
use crate::domain::session::Session;
use crate::domain::session::stored::Unreadable;
use crate::domain::time::Timestamp;

/// A session in the store.
#[derive(Debug, Clone)]
pub struct StoredSession {
    /// The newest version.
    pub session: Arc<Session>,
    /// Digest of that version's link, which the next link names.
    pub head: Digest,
    /// That version's outbox entry; `None` if it came from the ledger.
    pub entry_id: Option<EntryId>,
    /// It is from an earlier store generation: later versions may be lost, and the ledger may
    /// hold them. Nothing is written on it until it has been restored.
    pub needs_restore: bool,
}

/// The clock by which a store generation starts.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A unique number, by which a repeat of the same write is recognised.
pub type Operation = u64;

/// A write: everything that becomes visible in one step, or not at all.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Recognises a repeat of it.
    pub operation: Operation,
    /// The session.
    pub key: SessionKey,
    /// The version it was made from; `None` for a first version.
    pub base: Option<Position>,
    /// The new version.
    pub session: Arc<Session>,
    /// The frames for subscribers.
    pub frames: Bytes,
    /// The entry for the audit.
    pub entry: Arc<Entry>,
}

/// The outcome of a write.
#[derive(Debug, Clone)]
pub enum Committed {
    /// The new version is the newest now.
    Stored(StoredSession),
    /// The base is not the newest version; this one is. Nothing has changed.
    Stale(StoredSession),
    /// The session is not in the store (any more). Nothing has changed.
    Missing,
    /// Its idempotency key was answered before. Nothing has changed.
    Repeated(IdempotencyRecord, StoredSession),
}

/// A failure of the store; the outcome may be unknown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached; nothing was written.
    #[error("failed to reach the store")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It did not answer: the write may have happened.
    #[error("failed to learn from the store what became of a write")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The stored session cannot be read by this release; it is left alone.
    #[error("failed to read what the store holds")]
    Unreadable(#[from] Unreadable),
}

impl Error {
    /// When a retry is worth it, where a breaker has said so.
    pub fn retry_after(&self) -> Option<Duration> {
        let Self::Unavailable(source) = self else { return None };
        source.downcast_ref::<Open>().map(|open| open.retry_after)
    }
}

/// The store was not asked, so nothing was written.
impl From<Open> for Error {
    fn from(open: Open) -> Self {
        Self::Unavailable(open.into())
    }
}

/// Where sessions live while they are used.
///
/// A write compares the position, stores the state and its deadline, announces
/// the frames on the bus and appends the audit entry in one step: a stored
/// version has been announced and will be audited, or none of it happened.
/// Announcements of a session are made in the order of its versions. A session
/// is found until it has been idle for long and the ledger holds it; a deleted
/// one stays, as deleted, at least until the ledger holds that.
///
/// A write that is sent twice with one operation number happens once. Both times it is
/// answered as the first time, while it is among the newest 16 of its session. A store
/// that resends by itself says of older ones that it does not know. (In memory no answer
/// is lost, so nothing is resent.)
///
/// A store may go back: it restarted from what it had on disk, or a replica took over that
/// was behind. Sessions from before are marked as in need of a restore. A write on one of
/// them is answered as stale, and a restored session takes its place.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// The newest version, if the session is stored.
    async fn read(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error>;

    /// The same for a session that is watched: reading it keeps it from being idle.
    async fn read_watched(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        self.read(key).await
    }

    /// Writes, if the base is still the newest version.
    async fn commit(&self, commit: Commit) -> Result<Committed, Error>;

    /// Stores a session from the ledger: where none is stored, or in place of one that needs
    /// a restore and is still where `over` says. Gives what is stored then.
    async fn restore(
        &self,
        key: &SessionKey,
        over: Option<Position>,
        session: StoredSession,
        records: Vec<IdempotencyRecord>,
    ) -> Result<StoredSession, Error>;

    /// Sessions of some partitions that something must happen to by `until`, soonest
    /// first. A hint: the state decides.
    async fn due(
        &self,
        partitions: Partitions,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, SessionKey)>, Error>;

    /// What an idempotency key was answered with, for at least ten minutes.
    async fn idempotency_record(&self, key: &SessionKey, repeat: &Digest) -> Result<Option<IdempotencyRecord>, Error>;

    /// Remembers what an idempotency key was answered with that wrote no version, unless it
    /// was answered before. Gives the answer that stands. A store that loses data loses it.
    async fn remember_answer(&self, key: &SessionKey, record: IdempotencyRecord) -> Result<IdempotencyRecord, Error>;

    /// When the session's store generation began: sessions from before may be lost.
    async fn generation_started_at(&self, key: &SessionKey) -> Result<Timestamp, Error>;

    /// Whether it answers.
    async fn ping(&self) -> Result<(), Error>;
}

/// How far the ledger is behind the store, and which sessions wait for it.
#[async_trait]
pub trait LedgerProgress: Send + Sync {
    /// The ledger refused that version for good: the session does not expire when idle, as
    /// long as that is its newest. Repeating it changes nothing.
    async fn retain(&self, key: &SessionKey, at: Position) -> Result<(), Error>;

    /// The ledger holds that version after all: the session may expire again.
    async fn release(&self, key: &SessionKey, at: Position) -> Result<(), Error>;

    /// The newest outbox entry of a session's partition, if the store may have lost a session
    /// with versions among the entries. Once it is recorded, so is every earlier one.
    async fn outbox_tail(&self, key: &SessionKey) -> Result<Option<EntryId>, Error>;

    /// Waits until the ledger holds that outbox entry. Fails where a new store generation
    /// makes that impossible to know.
    async fn wait_recorded(&self, entry_id: EntryId) -> Result<(), Error>;

    /// Returns at once, unless commits die with the process and the ledger is behind: then
    /// once it has caught up, or is so far behind that it counts as away.
    async fn wait_for_ledger(&self);
}

/// Both sides of one store.
pub trait Store: SessionStore + LedgerProgress {}

impl<S: SessionStore + LedgerProgress> Store for S {}
