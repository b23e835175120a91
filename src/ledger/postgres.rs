//! The ledger in PostgreSQL, shared by all instances: a few connections write, a few others
//! read.
//!
//! Every operation ends by itself. The server limits statements, locks and idle transactions;
//! the pools limit the wait for a connection.

mod advisory_lock;
mod connect;
mod copy;
mod error;
mod label;
mod read;
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
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::{Postgres, Transaction};

pub use advisory_lock::AdvisoryLock;

use self::connect::PoolErrorCause;
use self::error::{failed, read_failed};
use super::deployment::{Claim, ClaimOutcome};
use super::sql::connection::{SqlConnection as _, sql_connection};
use super::sql::{SqlDatabase, deployment, runs};
use super::{Error, Filter, Recorded};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, TenantId};
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

/// Serializes heartbeats, so that one of them records an outage.
const LOCK_HEARTBEAT: &str = "select at from heartbeat for update";

/// Serializes concurrent claims.
const LOCK_DEPLOYMENT: &str = "lock table deployment in exclusive mode";

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

sql_connection!(Postgres, PgConnection, PgRow, read_failed, failed);

#[async_trait]
impl SqlDatabase for PostgresLedger {
    type Connection = PgConnection;
    type Reader = PoolConnection<Postgres>;
    type Snapshot = Transaction<'static, Postgres>;
    type Writer = PoolConnection<Postgres>;
    type Transaction = Transaction<'static, Postgres>;

    /// The server cancels a read by itself.
    const READ_TIMEOUT: Option<Duration> = None;
    const NEWEST: &'static str = read::NEWEST;
    const HISTORY_PAGE: &'static str = read::HISTORY_PAGE;
    const REST_OF_POSITION: &'static str = read::REST_OF_POSITION;
    const IDEMPOTENCY_RECORDS: &'static str = read::IDEMPOTENCY_RECORDS;
    const DEAD_LETTERS_OF_SESSION: &'static str = read::DEAD_LETTERS_OF_SESSION;
    const FIRST_DEAD_POSITION: &'static str = read::FIRST_DEAD_POSITION;

    async fn reader(&self) -> Result<Self::Reader, Error> {
        self.explained(self.read.acquire(), read_failed).await
    }

    async fn begin_read(&self) -> Result<Self::Snapshot, Error> {
        self.explained(self.read.begin_with(BEGIN_READ), read_failed).await
    }

    async fn writer(&self) -> Result<Self::Writer, Error> {
        self.explained(self.write.acquire(), failed).await
    }

    async fn begin_transaction(&self) -> Result<Self::Transaction, Error> {
        self.begin_write().await
    }

    async fn commit(&self, transaction: Self::Transaction) -> Result<(), Error> {
        transaction.commit().await.map_err(failed)
    }

    async fn session_rows(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<PgRow>, Error> {
        self.read_session_rows(tenant, filter, after, limit).await
    }

    async fn write_entries(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        self.write_batch(entries).await
    }

    async fn write_heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        transaction.execute(LOCK_HEARTBEAT, &[]).await?;
        runs::write_heartbeat(&mut *transaction, since, at).await?;
        transaction.commit().await.map_err(failed)?;
        self.prepare_months(at).await;
        Ok(())
    }

    async fn write_claim(&self, claim: &Claim) -> Result<ClaimOutcome, Error> {
        let mut transaction = self.begin_write().await?;
        transaction.execute(LOCK_DEPLOYMENT, &[]).await?;
        let outcome = deployment::claim(&mut *transaction, claim).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(outcome)
    }

    async fn check_writable(&self) -> Result<(), Error> {
        let mut connection = self.explained(self.check.acquire(), failed).await?;
        let read_only: String = sqlx::query_scalar(READ_ONLY).fetch_one(&mut *connection).await.map_err(failed)?;
        if read_only == "on" { Err(Error::ReadOnly) } else { Ok(()) }
    }

    async fn close_connections(&self) {
        // Operations under way may end. The pool waits for a dead connection without limit, so the system
        // closes that one.
        let closed = async { tokio::join!(self.read.close(), self.check.close(), self.write.close()) };
        let _ = tokio::time::timeout(RELEASE_TIMEOUT, closed).await;
    }
}
