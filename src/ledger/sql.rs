//! The ledger in SQL: what PostgreSQL and SQLite have in common.

pub(super) mod connection;
mod control;
mod dead_letters;
pub(super) mod decode;
pub(super) mod deployment;
mod lineage;
mod read;
pub(super) mod runs;
mod security;

use std::ops::DerefMut;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use self::connection::SqlConnection;
use super::control::{
    ControlChanges, ControlLedger, RevocationOutcome, RevocationRequest, SecurityFilter, SecurityRow, SettingRow,
    SettingsChange, SettingsOutcome,
};
use super::deployment::{Claim, ClaimOutcome};
use super::{
    AuditSink, DeadLetter, DeadLetterSummary, Due, Error, Filter, Heartbeats, HistoryRow, IdempotencyRecord, Ledger,
    LedgerHealth, Page, Recorded, Row, RunHistory,
};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::revocation::Revocation;
use crate::domain::time::Timestamp;

/// What each database does in a way of its own.
#[async_trait]
pub(super) trait SqlDatabase: Send + Sync {
    type Connection: SqlConnection;
    /// A connection for one read, or for several that need not see the same instant.
    type Reader: DerefMut<Target = Self::Connection> + Send;
    /// A connection whose reads all see the ledger at one instant.
    type Snapshot: DerefMut<Target = Self::Connection> + Send;
    type Writer: DerefMut<Target = Self::Connection> + Send;
    /// A connection that writes all or nothing. Dropped before its commit, it has written nothing.
    type Transaction: DerefMut<Target = Self::Connection> + Send;

    /// How long a read may take, if the database does not end it by itself. After that its caller is gone.
    const READ_TIMEOUT: Option<Duration>;
    /// The newest row of a session ($1, $2).
    const NEWEST: &'static str;
    /// Changes of a session ($1, $2) after a position ($3, $4): at most $5 of them, with $6 bytes added to
    /// each, until they exceed $7 bytes. `found` is their number before the sizes were looked at.
    const HISTORY_PAGE: &'static str;
    /// Changes of a session ($1, $2) at a position ($3, $4) that arrived after $5.
    const REST_OF_POSITION: &'static str;
    /// Changes of a session ($1, $2) from a position ($3, $4) and an instant ($5) on that have an idempotency key.
    const IDEMPOTENCY_RECORDS: &'static str;
    /// Dead letters of a session ($1, $2), newest first, at most $3.
    const DEAD_LETTERS_OF_SESSION: &'static str;
    /// The oldest position of a dead letter of a session ($1, $2) after a position ($3, $4).
    const FIRST_DEAD_POSITION: &'static str;

    async fn reader(&self) -> Result<Self::Reader, Error>;

    async fn begin_read(&self) -> Result<Self::Snapshot, Error>;

    async fn writer(&self) -> Result<Self::Writer, Error>;

    async fn begin_transaction(&self) -> Result<Self::Transaction, Error>;

    async fn commit(&self, transaction: Self::Transaction) -> Result<(), Error>;

    /// The rows of [`Ledger::sessions`], and one more if there are more. `found` is their number.
    async fn session_rows(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<<Self::Connection as SqlConnection>::Row>, Error>;

    async fn write_entries(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error>;

    async fn write_heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error>;

    async fn write_claim(&self, claim: &Claim) -> Result<ClaimOutcome, Error>;

    async fn check_writable(&self) -> Result<(), Error>;

    async fn close_connections(&self);
}

pub(super) async fn limited<D: SqlDatabase, T>(read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let Some(limit) = D::READ_TIMEOUT else { return read.await };
    timeout(limit, read).await.unwrap_or(Err(Error::TooLong))
}

#[async_trait]
impl<D: SqlDatabase> AuditSink for D {
    async fn record(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        self.write_entries(entries).await
    }

    async fn add_dead_letter(&self, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error> {
        dead_letters::add(self, entry, reason, at).await
    }

    async fn heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        self.write_heartbeat(since, at).await
    }
}

#[async_trait]
impl<D: SqlDatabase> LedgerHealth for D {
    async fn ping(&self) -> Result<(), Error> {
        limited::<D, _>(self.check_writable()).await
    }
}

#[async_trait]
impl<D: SqlDatabase> ControlLedger for D {
    async fn control_revision(&self) -> Result<u64, Error> {
        limited::<D, _>(control::revision(self)).await
    }

    async fn control_changes(&self, since: u64, now: Timestamp) -> Result<ControlChanges, Error> {
        limited::<D, _>(control::changes(self, since, now)).await
    }

    async fn tenant_settings(&self, tenant: &TenantId) -> Result<Vec<SettingRow>, Error> {
        limited::<D, _>(control::settings_of(self, tenant)).await
    }

    async fn change_settings(&self, change: &SettingsChange) -> Result<SettingsOutcome, Error> {
        control::change_settings(self, change).await
    }

    async fn add_revocation(&self, request: &RevocationRequest) -> Result<RevocationOutcome, Error> {
        control::add_revocation(self, request).await
    }

    async fn remove_revocation(&self, tenant: &TenantId, id: &str, at: Timestamp) -> Result<Option<u64>, Error> {
        control::remove_revocation(self, tenant, id, at).await
    }

    async fn revocations(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Page<Revocation>, Error> {
        limited::<D, _>(control::revocations(self, tenant, after, now, limit)).await
    }

    async fn add_security_events(&self, events: &[SecurityRow]) -> Result<(), Error> {
        security::add(self, events).await
    }

    async fn security_events(
        &self,
        tenant: &TenantId,
        filter: &SecurityFilter,
        limit: u32,
    ) -> Result<Page<SecurityRow>, Error> {
        limited::<D, _>(security::page(self, tenant, filter, limit)).await
    }

    async fn forget_security_events(&self, before: Timestamp) -> Result<u64, Error> {
        security::forget(self, before).await
    }
}

#[async_trait]
impl<D: SqlDatabase> Ledger for D {
    async fn newest(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        limited::<D, _>(read::newest(self, key)).await
    }

    async fn version(&self, key: &SessionKey, version: u64) -> Result<Option<Row>, Error> {
        limited::<D, _>(read::version(self, key, version)).await
    }

    async fn at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error> {
        limited::<D, _>(read::at(self, key, at)).await
    }

    async fn history(&self, key: &SessionKey, after: Option<Position>, limit: u32) -> Result<Page<HistoryRow>, Error> {
        limited::<D, _>(read::history(self, key, after, limit)).await
    }

    async fn sessions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Page<Row>, Error> {
        limited::<D, _>(read::sessions(self, tenant, filter, after, limit)).await
    }

    async fn due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        limited::<D, _>(read::due_sessions(self, after, until, limit)).await
    }

    async fn idempotency_records(&self, key: &SessionKey, since: Timestamp) -> Result<Vec<IdempotencyRecord>, Error> {
        limited::<D, _>(read::idempotency_records(self, key, since)).await
    }

    async fn dead_letters(&self, after: Option<&DeadLetter>, limit: u32) -> Result<Vec<DeadLetter>, Error> {
        limited::<D, _>(dead_letters::page(self, after, limit)).await
    }

    async fn dead_letters_of(&self, key: &SessionKey) -> Result<Vec<DeadLetter>, Error> {
        limited::<D, _>(dead_letters::of(self, key)).await
    }

    async fn first_dead_letter(&self, key: &SessionKey, after: Option<Position>) -> Result<Option<Position>, Error> {
        limited::<D, _>(dead_letters::first_position(self, key, after)).await
    }

    async fn dead_letter_summary(&self, limit: u32) -> Result<DeadLetterSummary, Error> {
        limited::<D, _>(dead_letters::sessions(self, limit)).await
    }

    async fn remove_dead_letter(&self, entry: &Entry) -> Result<bool, Error> {
        dead_letters::remove(self, entry).await
    }

    async fn heartbeats(&self, store_started_at: Timestamp) -> Result<Heartbeats, Error> {
        limited::<D, _>(runs::heartbeats(self, store_started_at)).await
    }

    async fn open_run(&self, started_at: Timestamp) -> Result<(), Error> {
        runs::open(self, started_at).await
    }

    async fn close_run(&self, started_at: Timestamp, stopped_at: Timestamp) -> Result<(), Error> {
        runs::close(self, started_at, stopped_at).await
    }

    async fn runs(&self, before: Timestamp) -> Result<RunHistory, Error> {
        limited::<D, _>(runs::history(self, before)).await
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimOutcome, Error> {
        self.write_claim(claim).await
    }

    async fn close(&self) {
        self.close_connections().await;
    }
}
