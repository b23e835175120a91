//! The ledger in PostgreSQL, shared by all instances: a few connections write, a few others
//! read.
//!
//! Every operation ends by itself. The server limits statements, locks and idle transactions;
//! the pools limit the wait for a connection.

mod advisory_lock;
mod connect;
mod copy;
mod dead_letters;
mod decode;
mod deployment;
mod error;
mod label;
mod lineage;
mod read;
mod run;
mod schema;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Connection as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};

pub use advisory_lock::AdvisoryLock;

use self::connect::PoolErrorCause;
use self::error::{failed, read_failed};
use super::deployment::{Claim, ClaimOutcome};
use super::{
    DeadLetter, DeadSessions, Due, Error, Filter, Heartbeats, HistoryRow, IdempotencyRecord, Ledger, Page, Recorded,
    Row, RunHistory,
};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;

const MAX_WRITE_CONNECTIONS: u32 = 4;
/// The number of connections that read.
pub const MAX_CONCURRENT_READS: u32 = 8;

/// A caller may have given up because its connection is dead. A connection that returns to the
/// pool and does not answer within this time is closed.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// After this time the caller of a read is gone.
const READ_STATEMENT_TIMEOUT: &str = "3s";
/// A batch that takes longer is retried.
const WRITE_STATEMENT_TIMEOUT: &str = "20s";
/// Migrations end within a second, but may wait for locks.
const MIGRATION_STATEMENT_TIMEOUT: &str = "60s";

/// Each query reads in the order of an index. A session may be far longer than the planner
/// expects, and a sort for one page would read all of it. The lock comes before the snapshot,
/// so that no row moves to a new month in between.
const BEGIN_READ: &str = "begin isolation level repeatable read, read only; \
    set local enable_sort = off; \
    lock table session_snapshot in access share mode";

/// On for a replica, and for a role or database set to read only.
const READ_ONLY: &str = "show transaction_read_only";

const USE_LZ4: &str = "select set_config(name, 'lz4', false) from pg_settings \
    where name = 'default_toast_compression' and 'lz4' = any (enumvals)";

/// The ledger in a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresLedger {
    write: PgPool,
    read: PgPool,
    /// For health checks, which must not wait for a reader.
    check: PgPool,
    pool_errors: PoolErrorCause,
    /// When the next months need partitions, as far as this instance knows.
    prepare_at: AtomicI64,
    newer_migration: Option<i64>,
}

impl PostgresLedger {
    /// Opens the database at `url`, `postgres://` with TLS as its parameters say
    /// (`sslmode`, `sslrootcert`, `sslcert`, `sslkey`), under the name of `instance`.
    /// Its schema must be the one this release needs: see [`migrate`](Self::migrate).
    pub async fn open(url: &str, instance: &str) -> Result<Self, Error> {
        let write = pool(MAX_WRITE_CONNECTIONS).after_connect(|connection, _| Box::pin(use_lz4(connection)));
        let write = write.connect_lazy_with(connect::options(url, instance, WRITE_STATEMENT_TIMEOUT)?);
        // Writable, so that a health check sees what writers see.
        let check_options = connect::options(url, instance, READ_STATEMENT_TIMEOUT)?;
        let check = pool(1).connect_lazy_with(check_options.clone());
        let read_options = check_options.clone().options([("default_transaction_read_only", "on")]);
        let read = pool(MAX_CONCURRENT_READS).connect_lazy_with(read_options);
        let mut first = connect::connect(&check_options).await?;
        let newer_migration = schema::check(&mut first).await?;
        // It was only for the check.
        let _ = first.close().await;
        Ok(Self {
            write,
            read,
            check,
            pool_errors: PoolErrorCause::new(check_options),
            prepare_at: AtomicI64::new(i64::MIN),
            newer_migration,
        })
    }

    /// The newest migration if a newer release made it. It only added to the schema.
    #[must_use]
    pub const fn newer_migration(&self) -> Option<i64> {
        self.newer_migration
    }

    /// Migrates the schema of the database at `url`. Concurrent calls wait for the first.
    pub async fn migrate(url: &str, instance: &str) -> Result<(), Error> {
        schema::migrate(connect::options(url, instance, MIGRATION_STATEMENT_TIMEOUT)?).await
    }

    async fn begin_write(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.explained(self.write.begin(), failed).await
    }

    /// All reads in it see the ledger at one instant.
    async fn begin_read(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.explained(self.read.begin_with(BEGIN_READ), read_failed).await
    }

    async fn writer(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.explained(self.write.acquire(), failed).await
    }

    async fn reader(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.explained(self.read.acquire(), read_failed).await
    }

    /// Adds the cause if a pool had no connection in time.
    async fn explained<T>(
        &self,
        connecting: impl Future<Output = sqlx::Result<T>>,
        classify: fn(sqlx::Error) -> Error,
    ) -> Result<T, Error> {
        match connecting.await {
            Err(sqlx::Error::PoolTimedOut) => Err(self.pool_errors.explain().await),
            connected => connected.map_err(classify),
        }
    }

    async fn check_writable(&self) -> Result<(), Error> {
        let mut connection = self.explained(self.check.acquire(), failed).await?;
        let read_only: String = sqlx::query_scalar(READ_ONLY).fetch_one(&mut *connection).await.map_err(failed)?;
        if read_only == "on" { Err(Error::ReadOnly) } else { Ok(()) }
    }
}

fn pool(size: u32) -> PgPoolOptions {
    // After an outage every connection is dead: a test before use avoids a failure for each.
    let pool =
        PgPoolOptions::new().max_connections(size).acquire_timeout(connect::CONNECT_TIMEOUT).test_before_acquire(true);
    // The pool tests a returned connection too, but waits for it without limit.
    pool.after_release(|connection, _| Box::pin(ping(connection)))
}

/// The default compression takes a third of the time of recording. LZ4 takes a fraction of it,
/// if the server was built with it. Old rows stay readable.
async fn use_lz4(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(USE_LZ4).execute(connection).await.map(drop)
}

async fn ping(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let pinged = tokio::time::timeout(RELEASE_TIMEOUT, connection.ping()).await;
    pinged
        .map_err(|elapsed| sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)))?
        .map(|()| true)
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn record(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        self.write_entries(entries).await
    }

    async fn newest(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        self.read_newest(key).await
    }

    async fn version(&self, key: &SessionKey, version: u64) -> Result<Option<Row>, Error> {
        self.read_version(key, version).await
    }

    async fn at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error> {
        self.read_at(key, at).await
    }

    async fn history(&self, key: &SessionKey, after: Option<Position>, limit: u32) -> Result<Page<HistoryRow>, Error> {
        self.read_history(key, after, limit).await
    }

    async fn sessions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Page<Row>, Error> {
        self.read_sessions(tenant, filter, after, limit).await
    }

    async fn due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        self.read_due(after, until, limit).await
    }

    async fn idempotency_records(&self, key: &SessionKey, since: Timestamp) -> Result<Vec<IdempotencyRecord>, Error> {
        self.read_idempotency_records(key, since).await
    }

    async fn add_dead_letter(&self, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error> {
        self.write_dead_letter(entry, reason, at).await
    }

    async fn dead_letters(&self, after: Option<&DeadLetter>, limit: u32) -> Result<Vec<DeadLetter>, Error> {
        self.read_dead_letters(after, limit).await
    }

    async fn dead_letters_of(&self, key: &SessionKey) -> Result<Vec<DeadLetter>, Error> {
        self.read_dead_letters_of(key).await
    }

    async fn first_dead(&self, key: &SessionKey, after: Option<Position>) -> Result<Option<Position>, Error> {
        self.read_first_dead(key, after).await
    }

    async fn dead_sessions(&self, limit: u32) -> Result<DeadSessions, Error> {
        self.read_dead_sessions(limit).await
    }

    async fn remove_dead_letter(&self, entry: &Entry) -> Result<bool, Error> {
        self.delete_dead_letter(entry).await
    }

    async fn heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        self.write_heartbeat(since, at).await
    }

    async fn heartbeats(&self, store_started_at: Timestamp) -> Result<Heartbeats, Error> {
        self.read_heartbeats(store_started_at).await
    }

    async fn open_run(&self, started_at: Timestamp) -> Result<(), Error> {
        self.write_run(started_at).await
    }

    async fn close_run(&self, started_at: Timestamp, stopped_at: Timestamp) -> Result<(), Error> {
        self.write_run_end(started_at, stopped_at).await
    }

    async fn runs(&self, before: Timestamp) -> Result<RunHistory, Error> {
        self.read_runs(before).await
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimOutcome, Error> {
        self.write_claim(claim).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.check_writable().await
    }

    async fn close(&self) {
        // Operations under way may end. The pool waits for a dead connection without limit, so the system
        // closes that one.
        let closed = async { tokio::join!(self.read.close(), self.check.close(), self.write.close()) };
        let _ = tokio::time::timeout(RELEASE_TIMEOUT, closed).await;
    }
}
