//! The ledger outlives the store: in SQL it keeps every version, its link, and the newest row
//! of each session.

#[cfg(test)]
mod contract;
pub mod control;
pub mod deployment;
mod error;
pub mod fair_share;
pub mod instrumented;
mod lineage;
mod page;
pub mod postgres;
mod row;
pub mod run;
mod sql;
pub mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use self::control::ControlLedger;
use self::deployment::{Claim, ClaimOutcome};
pub use self::error::Error;
pub use self::page::{HistoryRow, PAGE_BYTES, Page};
use self::run::RunHistory;
use crate::domain::chain::Link;
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::idempotency::IdempotencyRecord;
use crate::domain::position::Position;
use crate::domain::session::restore::{OUTAGE_MS, Outage};
use crate::domain::time::Timestamp;

/// One version of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The session.
    pub key: SessionKey,
    /// Position, instant, and the digest of the link before.
    pub link: Link,
    /// The stored session; `None` if it was shed.
    pub body: Option<Bytes>,
    /// What happened, as JSON.
    pub change: Bytes,
    /// Not part of the lineage of the newest version: a later epoch, or the other side of a
    /// fork, went on from before it.
    pub superseded: bool,
}

/// When a session needs an action, and its key.
pub type Due = (Timestamp, SessionKey);

/// The result of recording a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recorded {
    /// The number of new rows.
    pub new: u64,
    /// Sessions with a new row whose position already has another digest. Both rows are kept.
    pub forks: Vec<SessionKey>,
}

impl Recorded {
    /// Adds new rows that made no fork.
    pub fn with_new(self, new: u64) -> Self {
        Self { new: self.new + new, ..self }
    }
}

/// An entry that the ledger refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The refused entry, unchanged.
    pub entry: Entry,
    /// Why the ledger refused it.
    pub reason: String,
    /// When it became a dead letter.
    pub added_at: Timestamp,
}

/// A summary of all dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadLetterSummary {
    /// The number of dead letters.
    pub letters: u64,
    /// Their sessions, by tenant and session, up to a limit.
    pub sessions: Vec<SessionKey>,
}

/// The most dead letters of one session that [`Ledger::dead_letters_of`] returns.
pub const MAX_DEAD_LETTERS: u32 = 1_000;

/// The last heartbeat, and the outage before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heartbeats {
    /// The last heartbeat; `None` before the first one.
    pub last_heartbeat: Option<Timestamp>,
    /// The span without heartbeats that ended when the store started.
    pub outage: Option<Outage>,
}

/// How far the first heartbeat may be from the start of the store.
const STORE_START_TOLERANCE_MS: i64 = OUTAGE_MS;

/// An outage is kept for a year.
const OUTAGE_RETENTION_MS: i64 = 366 * 24 * 3_600_000;

/// Which of a tenant's sessions to list; an absent field excludes none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these sessions, if the caller's token is limited.
    pub sessions: Option<Vec<SessionId>>,
    /// Status as on the wire; if absent, deleted sessions are excluded.
    pub status: Option<String>,
    /// Sync mode as on the wire.
    pub sync_mode: Option<String>,
    /// A participant of the session.
    pub participant_id: Option<String>,
    /// Metadata entries that must be equal, compared as text.
    pub metadata: Vec<(String, String)>,
    /// Only sessions that changed after this instant.
    pub updated_after: Option<Timestamp>,
}

/// What the audit writes. Every write is idempotent: tenant, session, position and digest
/// identify a row.
#[async_trait]
pub trait AuditSink: Send + Sync {
    /// Records entries in the order given, all or none. An older or equal position never
    /// replaces a session's newest row, and neither does an entry without a body. A body that
    /// is no stored session is refused.
    async fn record(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error>;

    /// Keeps an entry that was refused for good. A repeat changes nothing.
    async fn add_dead_letter(&self, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error>;

    /// States that an instance and its store were up from `since` to `at`. A long gap since the
    /// last heartbeat is recorded as an outage. An outage that this heartbeat contradicts is
    /// deleted.
    async fn heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error>;
}

/// Whether a ledger can be used.
#[async_trait]
pub trait LedgerHealth: Send + Sync {
    /// Checks that the ledger answers and accepts writes ([`Error::ReadOnly`] if not).
    async fn ping(&self) -> Result<(), Error>;
}

/// The durable history of all sessions.
///
/// Every write is idempotent. Reads see whole batches only. Any call may fail with [`Error::Unavailable`]; its outcome is then
/// unknown, and a retry is safe. A read ends after three seconds with [`Error::TooLong`].
#[async_trait]
pub trait Ledger: AuditSink + LedgerHealth + ControlLedger {
    /// The newest version of a session, even if the session is deleted.
    async fn newest(&self, key: &SessionKey) -> Result<Option<Row>, Error>;

    /// The version of that number in the lineage of the newest.
    async fn version(&self, key: &SessionKey, version: u64) -> Result<Option<Row>, Error>;

    /// The version of the lineage that was the newest at an instant. Instants of a lineage must
    /// not decrease.
    async fn at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error>;

    /// Changes after a position, oldest first, without bodies. A page ends at `limit` rows or
    /// past [`PAGE_BYTES`]. All rows of a position are on one page, so a fork may make a page
    /// longer.
    async fn history(&self, key: &SessionKey, after: Option<Position>, limit: u32) -> Result<Page<HistoryRow>, Error>;

    /// The newest rows of a tenant's sessions, by session id, after a given one. A page ends
    /// at `limit` rows or past [`PAGE_BYTES`] of bodies.
    async fn sessions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Page<Row>, Error>;

    /// Sessions that need an action by `until`, soonest first, after a given one.
    async fn due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error>;

    /// Idempotency records of a session since an instant, oldest first, superseded ones
    /// excluded.
    async fn idempotency_records(&self, key: &SessionKey, since: Timestamp) -> Result<Vec<IdempotencyRecord>, Error>;

    /// Dead letters by tenant, session, position and digest, after a given one.
    async fn dead_letters(&self, after: Option<&DeadLetter>, limit: u32) -> Result<Vec<DeadLetter>, Error>;

    /// Dead letters of one session, newest first, at most [`MAX_DEAD_LETTERS`]. Only the first
    /// has its body.
    async fn dead_letters_of(&self, key: &SessionKey) -> Result<Vec<DeadLetter>, Error>;

    /// The oldest position after a given one that has a dead letter.
    async fn first_dead_letter(&self, key: &SessionKey, after: Option<Position>) -> Result<Option<Position>, Error>;

    /// The number of all dead letters, and at most `limit` of their sessions.
    async fn dead_letter_summary(&self, limit: u32) -> Result<DeadLetterSummary, Error>;

    /// Deletes a dead letter; returns whether it existed.
    async fn remove_dead_letter(&self, entry: &Entry) -> Result<bool, Error>;

    /// The last heartbeat, and the outage that ended when a store started at `store_started_at`.
    async fn heartbeats(&self, store_started_at: Timestamp) -> Result<Heartbeats, Error>;

    /// One process serves sessions in its memory, alone, from `started_at` on. A run that is
    /// never closed was killed.
    async fn open_run(&self, started_at: Timestamp) -> Result<(), Error>;

    /// The process that started at `started_at` stopped in order at `stopped_at`, after it had
    /// recorded all its sessions.
    async fn close_run(&self, started_at: Timestamp, stopped_at: Timestamp) -> Result<(), Error>;

    /// Runs that started before an instant, and all outages: the newest [`run::MAX_RUNS`] of
    /// each, oldest first.
    async fn runs(&self, before: Timestamp) -> Result<RunHistory, Error>;

    /// Claims the ledger for a deployment and renews the claim. Concurrent claims are serialized.
    async fn claim(&self, claim: &Claim) -> Result<ClaimOutcome, Error>;

    /// Waits for operations under way and closes all connections.
    async fn close(&self);
}
