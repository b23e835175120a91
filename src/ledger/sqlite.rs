//! The ledger in one SQLite file: one connection writes, a few others read.
//!
//! In WAL mode a reader sees the last commit and never waits for the writer.

mod error;
mod interruptible;
mod read;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Sqlite, Transaction};

use self::error::failed;
use self::interruptible::Interruptible;
use super::deployment::{Claim, ClaimOutcome};
use super::error::unavailable;
use super::sql::connection::sql_connection;
use super::sql::{SqlDatabase, deployment, runs};
use super::{Error, Filter, Recorded};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, TenantId};
use crate::domain::time::Timestamp;

/// Another process may lock the file briefly: a backup, a shell.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of connections that read.
pub const MAX_CONCURRENT_READS: u32 = 4;

/// When a commit is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Once the operating system has it: survives a crash of the process, not a power cut.
    Flush,
    /// Once the disk has it.
    Always,
}

/// The ledger in one SQLite file.
#[derive(Debug)]
pub struct SqliteLedger {
    write: SqlitePool,
    read: SqlitePool,
    /// For health checks, which must not wait for a reader.
    check: SqlitePool,
    /// Checkpoints the WAL without blocking the writer.
    checkpoint: SqlitePool,
    newer_migration: Option<i64>,
}

/// Passive: it does not block readers or the writer, and does not wait for them.
const CHECKPOINT: &str = "pragma wal_checkpoint(passive)";

const NEWEST_MIGRATION: &str = "select max(version) from _sqlx_migrations";

impl SqliteLedger {
    /// Opens the file and migrates its schema. Creates the file and its directory if missing,
    /// readable by their owner alone.
    pub async fn open(path: &Path, durability: Durability) -> Result<Self, Error> {
        create_file(path).await.map_err(unavailable)?;
        let write = pool(1).connect_with(write_options(path, durability)).await.map_err(failed)?;
        // A newer release may have added to the schema, and may not have removed from it.
        let mut migrations = sqlx::migrate!("migrations/sqlite");
        migrations.set_ignore_missing(true);
        migrations.run(&write).await.map_err(unavailable)?;
        let newest: i64 = sqlx::query_scalar(NEWEST_MIGRATION).fetch_one(&write).await.map_err(failed)?;
        let newer_migration = migrations.iter().all(|known| known.version < newest).then_some(newest);
        let read = pool(MAX_CONCURRENT_READS).connect_with(read_options(path)).await.map_err(failed)?;
        let check = pool(1).connect_lazy_with(read_options(path));
        let checkpoint = pool(1).connect_with(write_options(path, durability)).await.map_err(failed)?;
        Ok(Self { write, read, check, checkpoint, newer_migration })
    }

    /// The newest migration if a newer release made it. It only added to the schema.
    pub const fn newer_migration(&self) -> Option<i64> {
        self.newer_migration
    }

    async fn begin_write(&self) -> Result<Transaction<'static, Sqlite>, Error> {
        self.write.begin_with("begin immediate").await.map_err(failed)
    }
}

/// SQLite gives its WAL the mode of the main file, so the main file is created first.
async fn create_file(path: &Path) -> std::io::Result<()> {
    let directory = path.parent().map(Path::to_path_buf).filter(|parent| *parent != PathBuf::new());
    if let Some(directory) = directory {
        tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).await?;
    }
    let mut file = tokio::fs::OpenOptions::new();
    file.write(true).create(true).truncate(false).mode(0o600).open(path).await.map(drop)
}

fn write_options(path: &Path, durability: Durability) -> SqliteConnectOptions {
    let synchronous = match durability {
        Durability::Flush => SqliteSynchronous::Normal,
        Durability::Always => SqliteSynchronous::Full,
    };
    read_options(path)
        .read_only(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        // A body and its change take about 2 KB, so a larger page means fewer pages to write.
        .page_size(8192)
        // A checkpoint waits for the disk, so each heartbeat makes one without the writer.
        // The writer makes one only after 128 MB.
        .pragma("wal_autocheckpoint", "16384")
        // Negative means KiB: enough for the inner index pages of a few million rows.
        .pragma("cache_size", "-32768")
}

fn read_options(path: &Path) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    // Per reader; the system's page cache is shared.
    options.pragma("cache_size", "-512").disable_statement_logging()
}

fn pool(size: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(size).idle_timeout(None).max_lifetime(None).test_before_acquire(false)
}

sql_connection!(Sqlite, SqliteConnection, SqliteRow, failed, failed);

#[async_trait]
impl SqlDatabase for SqliteLedger {
    type Connection = SqliteConnection;
    type Reader = Interruptible;
    type Snapshot = Interruptible;
    type Writer = PoolConnection<Sqlite>;
    type Transaction = Transaction<'static, Sqlite>;

    const READ_TIMEOUT: Option<Duration> = Some(Duration::from_secs(3));
    const NEWEST: &'static str = read::NEWEST;
    const HISTORY_PAGE: &'static str = read::HISTORY_PAGE;
    const REST_OF_POSITION: &'static str = read::REST_OF_POSITION;
    const IDEMPOTENCY_RECORDS: &'static str = read::IDEMPOTENCY_RECORDS;
    const DEAD_LETTERS_OF_SESSION: &'static str = read::DEAD_LETTERS_OF_SESSION;
    const FIRST_DEAD_POSITION: &'static str = read::FIRST_DEAD_POSITION;

    async fn reader(&self) -> Result<Self::Reader, Error> {
        self.begin_read().await
    }

    async fn begin_read(&self) -> Result<Self::Snapshot, Error> {
        Interruptible::begin(&self.read).await.map_err(failed)
    }

    async fn writer(&self) -> Result<Self::Writer, Error> {
        self.write.acquire().await.map_err(failed)
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
    ) -> Result<Vec<SqliteRow>, Error> {
        self.read_session_rows(tenant, filter, after, limit).await
    }

    async fn write_entries(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        self.write_batch(entries).await
    }

    async fn write_heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        runs::write_heartbeat(&mut *transaction, since, at).await?;
        transaction.commit().await.map_err(failed)?;
        // The next heartbeat retries.
        let _ = sqlx::query(CHECKPOINT).execute(&self.checkpoint).await;
        Ok(())
    }

    async fn write_claim(&self, claim: &Claim) -> Result<ClaimOutcome, Error> {
        let mut transaction = self.begin_write().await?;
        let outcome = deployment::claim(&mut *transaction, claim).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(outcome)
    }

    async fn check_writable(&self) -> Result<(), Error> {
        sqlx::query("select 1").execute(&self.check).await.map(drop).map_err(failed)
    }

    async fn close_connections(&self) {
        // The last connection to close makes the final checkpoint, and only a writer can.
        self.read.close().await;
        self.check.close().await;
        self.checkpoint.close().await;
        self.write.close().await;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tokio::time::timeout;

    use super::*;
    use crate::domain::id::SessionKey;
    use crate::ledger::sql::limited;
    use crate::ledger::{AuditSink as _, Ledger as _};

    #[tokio::test]
    async fn its_files_are_readable_by_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/ledger.db");
        let ledger = SqliteLedger::open(&path, Durability::Always).await.unwrap();
        ledger.heartbeat(Timestamp::from_ms(1), Timestamp::from_ms(1)).await.unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.with_extension("db-wal"))), (0o600, 0o600));
        assert_eq!(mode(&folder.path().join("a/b")), 0o700);
        ledger.close().await;
        assert!(!path.with_extension("db-wal").exists());
    }

    /// Never ends by itself.
    async fn count(ledger: &SqliteLedger) -> Result<(), Error> {
        const ENDLESS: &str = "with recursive counted (n) as (select 1 union all select n + 1 from counted) \
            select count(*) from counted";
        let mut reading = ledger.begin_read().await?;
        sqlx::query(ENDLESS).execute(&mut *reading).await.map(drop).map_err(failed)
    }

    #[tokio::test]
    async fn a_read_ends_with_its_caller_or_after_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("ledger.db"), Durability::Flush).await.unwrap();
        for _ in 0..2 * MAX_CONCURRENT_READS {
            assert!(timeout(Duration::from_millis(50), count(&ledger)).await.is_err(), "it has no end");
        }
        assert!(matches!(limited::<SqliteLedger, _>(count(&ledger)).await, Err(Error::TooLong)));
        let key = SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new("a").unwrap() };
        for _ in 0..2 * MAX_CONCURRENT_READS {
            assert_eq!(ledger.newest(&key).await.unwrap(), None);
        }
        ledger.close().await;
    }
}
