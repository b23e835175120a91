//! Live sessions, shared by all instances.

pub mod fence;
pub mod instrumented;
pub mod keys;
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
use crate::domain::entry::{Entry, IdempotencyRecord};
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::domain::session::Session;
use crate::domain::session::stored::Unreadable;
use crate::domain::time::Timestamp;

/// A session as the store holds it.
#[derive(Debug, Clone)]
pub struct StoredSession {
    /// The newest version.
    pub session: Arc<Session>,
    /// Digest of the link that version made: what the next one names.
    pub head: Digest,
    /// That version's place in the outbox; `None` if it came from the ledger.
    pub entry_id: Option<EntryId>,
    /// It outlived the store's last life: what came after it may be lost, and the ledger
    /// may hold that. Nothing is written on it until it has been restored.
    pub needs_restore: bool,
}

/// Where a store learns the time from, to say since when it has held what it was given.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A number that nobody else has: what recognises the repeat of one and the same write.
pub type Operation = u64;

/// A write: everything that becomes visible in one step, or not at all.
#[derive(Debug, Clone)]
pub struct Commit {
    /// What recognises it, should it come twice.
    pub operation: Operation,
    /// Whose session.
    pub key: SessionKey,
    /// The version it was made from; `None` for the first of all.
    pub base: Option<Position>,
    /// The new version.
    pub session: Arc<Session>,
    /// What everyone who watches is told.
    pub frames: Bytes,
    /// What the audit keeps.
    pub entry: Arc<Entry>,
}

/// What came of a write.
#[derive(Debug, Clone)]
pub enum Committed {
    /// It is the newest version now.
    Stored(StoredSession),
    /// Somebody else wrote: here is the newest. Nothing has changed.
    Stale(StoredSession),
    /// The store does not hold the session (any more). Nothing has changed.
    Missing,
    /// Its idempotency key was answered before. Nothing has changed.
    Repeated(IdempotencyRecord, StoredSession),
}

/// The store did not do as asked, and the caller may not know whether it did.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached; nothing was written.
    #[error("failed to reach the store")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It was asked and did not answer: the write may have happened.
    #[error("failed to learn from the store what became of a write")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What it holds was not written for this release; it is left alone.
    #[error("failed to read what the store holds")]
    Unreadable(#[from] Unreadable),
}

impl Error {
    /// When it is worth asking again, where a breaker has said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let Self::Unavailable(source) = self else { return None };
        source.downcast_ref::<Open>().map(|open| open.retry_after)
    }
}

/// Nobody was asked, so nothing was written.
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
/// one stays, as deleted, at least until the ledger holds that. What the ledger refused
/// for good it does not hold: such a version is kept, however idle it is.
///
/// A write that comes twice with one operation number happens once, and is answered
/// both times as the first, while it is among the newest 16 of its session; a store that
/// asks again itself says of older ones that it does not know. (In memory no answer is
/// lost, so none is asked for again.)
///
/// A store may go back: it was started again from what it had on disk, or a replica
/// took over that was behind. What it holds from before is told as doubtful; a write
/// on that is answered as stale, and a restored session takes its place.
#[async_trait]
pub trait Store: Send + Sync {
    /// The newest version, if the session is held.
    async fn read(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error>;

    /// What an idempotency key was answered with, for at least ten minutes.
    async fn idempotency_record(&self, key: &SessionKey, repeat: &Digest) -> Result<Option<IdempotencyRecord>, Error>;

    /// Remembers what an idempotency key was answered with that wrote no version, unless it
    /// was answered before. Gives the answer that stands. It is lost with what the store holds.
    async fn remember_answer(&self, key: &SessionKey, answered: IdempotencyRecord) -> Result<IdempotencyRecord, Error>;

    /// Writes, if the base is still the newest version.
    async fn commit(&self, commit: Commit) -> Result<Committed, Error>;

    /// Takes a session back from the ledger: where none is held, or in place of a
    /// doubtful one that still is where `over` says. Gives what is held then.
    async fn restore(
        &self,
        key: &SessionKey,
        over: Option<Position>,
        held: StoredSession,
        answered: Vec<IdempotencyRecord>,
    ) -> Result<StoredSession, Error>;

    /// The same for a session that is watched: it is not idle, and stays for as long as it is
    /// read like this oftener than an idle one is let go of.
    async fn read_watched(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        self.read(key).await
    }

    /// The ledger does not hold that version, and will not take it: the session is not let go
    /// of for having been idle, as long as that is its newest. Asking again changes nothing.
    async fn retain(&self, key: &SessionKey, at: Position) -> Result<(), Error>;

    /// The ledger holds that version after all: the session may be let go of again.
    async fn release(&self, key: &SessionKey, at: Position) -> Result<(), Error>;

    /// Sessions of some partitions that something must happen to by `until`, soonest
    /// first. A hint: the state decides.
    async fn due(
        &self,
        partitions: Partitions,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, SessionKey)>, Error>;

    /// The newest of what waits for the ledger in a session's partition, if the store may
    /// have lost a session of whose versions one is among that: once it is recorded, all
    /// is that was committed there before.
    async fn outbox_tail(&self, key: &SessionKey) -> Result<Option<EntryId>, Error>;

    /// Since when the store has lived the life it is in, where that session belongs: what
    /// it held before that may be lost.
    async fn generation_started_at(&self, key: &SessionKey) -> Result<Timestamp, Error>;

    /// Waits until the ledger holds the version with that place in the outbox. Fails
    /// where it can no longer be known, because the store began a new life.
    async fn wait_recorded(&self, ticket: EntryId) -> Result<(), Error>;

    /// Returns at once, unless what is committed dies with the process and the ledger
    /// is behind: then once it has caught up, or is so far behind that it is away.
    async fn wait_for_ledger(&self);

    /// Whether it answers.
    async fn ping(&self) -> Result<(), Error>;
}
