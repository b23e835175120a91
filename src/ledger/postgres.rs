//! The ledger in PostgreSQL, shared by all instances: a few connections write, a few
//! read beside them.
//!
//! Whatever one asks ends by itself: the server is told how long a statement, a lock
//! and a forgotten transaction may take, and the pools how long a connection.

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
use super::deployment::{Claim, Claimed};
use super::{
    DeadLetter, DeadSessions, Due, Error, Filter, Heartbeats, HistoryRow, IdempotencyRecord, Ledger, Page, Recorded,
    Row, RunHistory,
};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;

const WRITERS: u32 = 4;
/// How many questions are answered at once.
pub const READERS: u32 = 8;

/// Who gave up on a question may have done so because the connection is dead: when it
/// comes back, and does not answer within this either, it is thrown away.
const RETURN_PATIENCE: Duration = Duration::from_secs(2);

/// A read that takes longer serves nobody any more.
const READ_LIMIT: &str = "3s";
/// A batch that takes longer comes again.
const WRITE_LIMIT: &str = "20s";
/// Migrations end within a second; what they wait for may take longer.
const MIGRATE_LIMIT: &str = "60s";

/// What is asked in there is in the order of an index. A session may be far longer than
/// the planner thinks, and to sort one for the sake of a page would read all of it. The
/// lock comes before the first look, so that no row moves to a new month in between.
const BEGIN_READ: &str = "begin isolation level repeatable read, read only; \
    set local enable_sort = off; \
    lock table session_snapshot in access share mode";

/// A replica says so, and whoever was told to write nothing.
const READ_ONLY: &str = "show transaction_read_only";

const COMPRESSION: &str = "select set_config(name, 'lz4', false) from pg_settings \
    where name = 'default_toast_compression' and 'lz4' = any (enumvals)";

/// The lasting record in a PostgreSQL.
#[derive(Debug)]
pub struct PostgresLedger {
    write: PgPool,
    read: PgPool,
    /// Tells whether the server answers, whoever holds the readers.
    check: PgPool,
    cause: PoolErrorCause,
    /// Partitions are made up to the month that begins here, as far as this instance knows.
    prepared: AtomicI64,
    newer: Option<i64>,
}

impl PostgresLedger {
    /// Opens the database at `url`, `postgres://` with TLS as its parameters say
    /// (`sslmode`, `sslrootcert`, `sslcert`, `sslkey`), under the name of `instance`.
    /// Its schema must be the one this release needs: see [`migrate`](Self::migrate).
    pub async fn open(url: &str, instance: &str) -> Result<Self, Error> {
        let write = pool(WRITERS).after_connect(|connection, _| Box::pin(compress_quickly(connection)));
        let write = write.connect_lazy_with(connect::options(url, instance, WRITE_LIMIT)?);
        // As it is for those who write.
        let checking = connect::options(url, instance, READ_LIMIT)?;
        let check = pool(1).connect_lazy_with(checking.clone());
        let reading = checking.clone().options([("default_transaction_read_only", "on")]);
        let read = pool(READERS).connect_lazy_with(reading);
        let mut first = connect::connect(&checking).await?;
        let newer = schema::check(&mut first).await?;
        // It has done what it was for.
        let _ = first.close().await;
        Ok(Self { write, read, check, cause: PoolErrorCause::new(checking), prepared: AtomicI64::new(i64::MIN), newer })
    }

    /// The newest migration, where a newer release made it: it has added something, and what
    /// this release needs is still there.
    #[must_use]
    pub const fn newer(&self) -> Option<i64> {
        self.newer
    }

    /// Brings the schema of the database at `url` up; one instance at a time, the
    /// others wait and find it done.
    pub async fn migrate(url: &str, instance: &str) -> Result<(), Error> {
        schema::migrate(connect::options(url, instance, MIGRATE_LIMIT)?).await
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

    /// What a pool gives, or why it has no connection.
    async fn explained<T>(
        &self,
        connecting: impl Future<Output = sqlx::Result<T>>,
        classify: fn(sqlx::Error) -> Error,
    ) -> Result<T, Error> {
        match connecting.await {
            Err(sqlx::Error::PoolTimedOut) => Err(self.cause.explain().await),
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
    // After an outage the whole pool is dead: better tried before use than a failure for each.
    let pool =
        PgPoolOptions::new().max_connections(size).acquire_timeout(connect::CONNECT_TIMEOUT).test_before_acquire(true);
    // The pool tries it too, but waits for the answer without end, and keeps its place.
    pool.after_release(|connection, _| Box::pin(answers(connection)))
}

/// A third of what recording takes would be compressing the old way. The newer one takes a
/// fraction of that, where the server was built with it; what is there is read as before.
async fn compress_quickly(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(COMPRESSION).execute(connection).await.map(drop)
}

async fn answers(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let answered = tokio::time::timeout(RETURN_PATIENCE, connection.ping()).await;
    answered
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
        self.read_answered(key, since).await
    }

    async fn add_dead_letter(&self, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error> {
        self.write_dead_letter(entry, reason, at).await
    }

    async fn dead_letters(&self, after: Option<&DeadLetter>, limit: u32) -> Result<Vec<DeadLetter>, Error> {
        self.read_dead_letters(after, limit).await
    }

    async fn dead_letters_of(&self, key: &SessionKey) -> Result<Vec<DeadLetter>, Error> {
        self.read_dead_of(key).await
    }

    async fn first_dead(&self, key: &SessionKey, after: Option<Position>) -> Result<Option<Position>, Error> {
        self.read_first_dead(key, after).await
    }

    async fn dead_sessions(&self, limit: u32) -> Result<DeadSessions, Error> {
        self.read_dead_sessions(limit).await
    }

    async fn remove_dead_letter(&self, entry: &Entry) -> Result<bool, Error> {
        self.remove_dead_letter(entry).await
    }

    async fn heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        self.write_beat(since, at).await
    }

    async fn heartbeats(&self, began: Timestamp) -> Result<Heartbeats, Error> {
        self.read_presence(began).await
    }

    async fn open_run(&self, began: Timestamp) -> Result<(), Error> {
        self.write_run(began).await
    }

    async fn close_run(&self, began: Timestamp, stopped: Timestamp) -> Result<(), Error> {
        self.write_stop(began, stopped).await
    }

    async fn runs(&self, before: Timestamp) -> Result<RunHistory, Error> {
        self.read_runs(before).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, Error> {
        self.write_claim(claim).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.check_writable().await
    }

    async fn close(&self) {
        // What is under way is given its time. A connection that died at the wrong instant is held by the pool
        // without end, and is the system's to close.
        let closed = async { tokio::join!(self.read.close(), self.check.close(), self.write.close()) };
        let _ = tokio::time::timeout(RETURN_PATIENCE, closed).await;
    }
}
