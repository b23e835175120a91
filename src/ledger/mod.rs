//! What must outlive the store, in SQL: every version, its link, and the newest
//! row of each session.

#[cfg(test)]
mod contract;
pub mod deployment;
pub mod fair_share;
pub mod instrumented;
mod page;
pub mod postgres;
mod row;
pub mod run;
pub mod sqlite;
mod timed;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use self::deployment::{Claim, Claimed};
pub use self::page::{HistoryRow, PAGE_BYTES, Page};
use self::run::RunHistory;
use crate::breaker::Open;
use crate::domain::chain::Link;
use crate::domain::entry::{Entry, IdempotencyRecord};
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::session::restore::{OUTAGE_MS, Outage};
use crate::domain::time::Timestamp;

/// Why the ledger did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not answer; nothing is known of what was asked.
    #[error("failed to reach the ledger")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It answered, and will not take this.
    #[error("the ledger refused")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It answers, and nothing may be written to it.
    #[error("the database is read-only")]
    ReadOnly,
    /// It answers, but this question took longer than any may.
    #[error("the question took the ledger too long")]
    TooLong,
    /// Its tenant has as many questions under way as one tenant may.
    #[error("the tenant asks the ledger for too much at once")]
    Busy,
}

impl Error {
    /// When it is worth asking again, where a breaker has said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let Self::Unavailable(source) = self else { return None };
        source.downcast_ref::<Open>().map(|open| open.retry_after)
    }

    /// Whether nobody is there who could say yes or no: it may come back by itself.
    #[must_use]
    pub fn is_away(&self) -> bool {
        let Self::Unavailable(source) = self else { return false };
        source.downcast_ref::<sqlx::Error>().is_some_and(postgres::is_away)
    }
}

impl From<Open> for Error {
    fn from(open: Open) -> Self {
        Self::Unavailable(open.into())
    }
}

/// One version as the ledger holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whose version it is.
    pub key: SessionKey,
    /// Position, instant, and the binding to the change before.
    pub link: Link,
    /// The stored session; `None` where it was shed.
    pub body: Option<Bytes>,
    /// What happened, as JSON.
    pub change: Bytes,
    /// Not on the line that leads to the newest version: a later epoch, or the
    /// other side of a fork, went on from before it.
    pub superseded: bool,
}

/// When something must happen, and to which session.
pub type Due = (Timestamp, SessionKey);

/// What came of recording a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recorded {
    /// Rows that are new.
    pub new: u64,
    /// Whose new rows met their own position with another digest: each is kept, and a fork.
    pub forks: Vec<SessionKey>,
}

impl Recorded {
    /// With more rows that are new, and met none.
    #[must_use]
    pub fn and(self, new: u64) -> Self {
        Self { new: self.new + new, ..self }
    }
}

/// An entry that was refused for good, and put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// As it came.
    pub entry: Entry,
    /// What the ledger said.
    pub reason: String,
    /// When it was put aside.
    pub buried_at: Timestamp,
}

/// What is known of all dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadSessions {
    /// How many dead letters there are.
    pub letters: u64,
    /// Whose they are, by tenant and session; the first so many.
    pub sessions: Vec<SessionKey>,
}

/// So many dead letters of one session are told at once.
pub const MAX_LETTERS: u32 = 1_000;

/// Who was there, and when nobody was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heartbeats {
    /// The last proof of life, if there ever was one.
    pub last_heartbeat: Option<Timestamp>,
    /// When nobody was there, before somebody was again.
    pub outage: Option<Outage>,
}

/// Who begins to beat when a store has begun to live may be so much earlier or later.
const AROUND_MS: i64 = OUTAGE_MS;

/// An absence is remembered for a year.
const ABSENCE_KEPT_MS: i64 = 366 * 24 * 3_600_000;

/// Which of a tenant's sessions to list; everything absent lets all pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these, if the caller's token is limited.
    pub sessions: Option<Vec<SessionId>>,
    /// Status as on the wire; without one, deleted sessions are left out.
    pub status: Option<String>,
    /// Sync mode as on the wire.
    pub sync_mode: Option<String>,
    /// One who takes part.
    pub participant_id: Option<String>,
    /// Metadata entries that must be equal, as text.
    pub metadata: Vec<(String, String)>,
    /// Only those changed later than this.
    pub updated_after: Option<Timestamp>,
}

/// The lasting record.
///
/// Every write may be repeated: a row is known by tenant, session, position and
/// digest. Reads see whole batches only. Any call may fail with
/// [`Error::Unavailable`], after which nothing is known and a repeat is safe. A read ends
/// after three seconds with [`Error::TooLong`].
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Records entries in the order given, all or none. An older or equal
    /// position never replaces a session's newest row, and neither does one
    /// whose body was shed. A body that lists cannot read is refused.
    async fn record(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error>;

    /// The newest version of a session, deleted ones included.
    async fn newest(&self, key: &SessionKey) -> Result<Option<Row>, Error>;

    /// The version of that number on the line that leads to the newest.
    async fn version(&self, key: &SessionKey, version: u64) -> Result<Option<Row>, Error>;

    /// The version that stood at an instant, on that line. Its instants are
    /// taken never to go back.
    async fn at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error>;

    /// Changes after a position, oldest first; bodies are not read. A page ends at
    /// `limit` rows or past [`PAGE_BYTES`]. A position is never torn apart: where it has
    /// forked, a page may be longer.
    async fn history(&self, key: &SessionKey, after: Option<Position>, limit: u32) -> Result<Page<HistoryRow>, Error>;

    /// The newest rows of a tenant's sessions, by session id, after a given one. A page
    /// ends at `limit` rows or past [`PAGE_BYTES`] of bodies; no others are read.
    async fn sessions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Page<Row>, Error>;

    /// Sessions that something must happen to by `until`, soonest first, after a given one.
    async fn due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error>;

    /// Idempotency keys of a session that were answered since an instant, oldest
    /// first. What was superseded has not happened: it is left out.
    async fn idempotency_records(&self, key: &SessionKey, since: Timestamp) -> Result<Vec<IdempotencyRecord>, Error>;

    /// Puts an entry aside that was refused for good, so that nothing is lost;
    /// once, however often it is asked.
    async fn add_dead_letter(&self, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error>;

    /// What was put aside, by tenant, session, position and digest, after a given one.
    async fn dead_letters(&self, after: Option<&DeadLetter>, limit: u32) -> Result<Vec<DeadLetter>, Error>;

    /// What was put aside of one session, the newest first, at most [`MAX_LETTERS`]. Only the
    /// first comes with its body.
    async fn dead_letters_of(&self, key: &SessionKey) -> Result<Vec<DeadLetter>, Error>;

    /// The oldest position after a given one whose version was put aside.
    async fn first_dead(&self, key: &SessionKey, after: Option<Position>) -> Result<Option<Position>, Error>;

    /// How many were put aside, and of which sessions, at most `limit` of these.
    async fn dead_sessions(&self, limit: u32) -> Result<DeadSessions, Error>;

    /// Forgets one that was put aside; gives whether it was there.
    async fn remove_dead_letter(&self, entry: &Entry) -> Result<bool, Error>;

    /// Proof of life: some instance was there from `since` to `at`, and the store with
    /// it. If nobody had been for long before, that is written down as an absence; one
    /// that this contradicts is forgotten.
    async fn heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error>;

    /// The last proof of life, and the absence after which a store began to live at `began`.
    async fn heartbeats(&self, began: Timestamp) -> Result<Heartbeats, Error>;

    /// From `began` on, one process alone serves what it holds in memory. Unless it says that
    /// it stopped, it was killed.
    async fn open_run(&self, began: Timestamp) -> Result<(), Error>;

    /// The process that began then stopped in order: nobody could act on its sessions after
    /// `stopped`, and all it held is recorded.
    async fn close_run(&self, began: Timestamp, stopped: Timestamp) -> Result<(), Error>;

    /// Such processes that began before an instant, and when nobody was there: the newest
    /// [`run::MAX_RUNS`] of each, oldest first.
    async fn runs(&self, before: Timestamp) -> Result<RunHistory, Error>;

    /// Claims the ledger for a deployment, which is proof of its life. Of those that claim at
    /// the same moment one comes first.
    async fn claim(&self, claim: &Claim) -> Result<Claimed, Error>;

    /// Whether it answers, and takes what is written ([`Error::ReadOnly`] if it does not).
    async fn ping(&self) -> Result<(), Error>;

    /// Waits for what is under way and lets go of the database.
    async fn close(&self);
}
