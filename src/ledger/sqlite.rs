//! The ledger in one SQLite file: one connection writes, a few others read.
//!
//! In WAL mode a reader sees the last commit and never waits for the writer.

mod dead_letters;
mod decode;
mod deployment;
mod error;
mod interruptible;
mod lineage;
mod read;
mod run;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, Transaction};
use tokio::time::timeout;

use self::error::failed;
use self::interruptible::Interruptible;
use super::deployment::{Claim, ClaimOutcome};
use super::error::unavailable;
use super::{
    DeadLetter, DeadSessions, Due, Error, Filter, Heartbeats, HistoryRow, IdempotencyRecord, Ledger, Page, Recorded,
    Row, RunHistory,
};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;

/// Another process may lock the file briefly: a backup, a shell.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of connections that read.
pub const MAX_CONCURRENT_READS: u32 = 4;
/// After this time the caller of a read is gone.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

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
    #[must_use]
    pub const fn newer_migration(&self) -> Option<i64> {
        self.newer_migration
    }

    async fn begin_write(&self) -> Result<Transaction<'static, Sqlite>, Error> {
        self.write.begin_with("begin immediate").await.map_err(failed)
    }

    /// All reads in it see the ledger at one instant.
    async fn begin_read(&self) -> Result<Interruptible, Error> {
        Interruptible::begin(&self.read).await.map_err(failed)
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

/// A read ends when its caller is gone, or after [`READ_TIMEOUT`].
async fn limited<T>(read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(READ_TIMEOUT, read).await.unwrap_or(Err(Error::TooLong))
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn record(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        self.write_entries(entries).await
    }

    async fn newest(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        limited(self.read_newest(key)).await
    }

    async fn version(&self, key: &SessionKey, version: u64) -> Result<Option<Row>, Error> {
        limited(self.read_version(key, version)).await
    }

    async fn at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error> {
        limited(self.read_at(key, at)).await
    }

    async fn history(&self, key: &SessionKey, after: Option<Position>, limit: u32) -> Result<Page<HistoryRow>, Error> {
        limited(self.read_history(key, after, limit)).await
    }

    async fn sessions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Page<Row>, Error> {
        limited(self.read_sessions(tenant, filter, after, limit)).await
    }

    async fn due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        limited(self.read_due(after, until, limit)).await
    }

    async fn idempotency_records(&self, key: &SessionKey, since: Timestamp) -> Result<Vec<IdempotencyRecord>, Error> {
        limited(self.read_idempotency_records(key, since)).await
    }

    async fn add_dead_letter(&self, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error> {
        self.write_dead_letter(entry, reason, at).await
    }

    async fn dead_letters(&self, after: Option<&DeadLetter>, limit: u32) -> Result<Vec<DeadLetter>, Error> {
        limited(self.read_dead_letters(after, limit)).await
    }

    async fn dead_letters_of(&self, key: &SessionKey) -> Result<Vec<DeadLetter>, Error> {
        limited(self.read_dead_letters_of(key)).await
    }

    async fn first_dead(&self, key: &SessionKey, after: Option<Position>) -> Result<Option<Position>, Error> {
        limited(self.read_first_dead(key, after)).await
    }

    async fn dead_sessions(&self, limit: u32) -> Result<DeadSessions, Error> {
        limited(self.read_dead_sessions(limit)).await
    }

    async fn remove_dead_letter(&self, entry: &Entry) -> Result<bool, Error> {
        self.delete_dead_letter(entry).await
    }

    async fn heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        self.write_heartbeat(since, at).await
    }

    async fn heartbeats(&self, store_started_at: Timestamp) -> Result<Heartbeats, Error> {
        limited(self.read_heartbeats(store_started_at)).await
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
        limited(async { sqlx::query("select 1").execute(&self.check).await.map(drop).map_err(failed) }).await
    }

    async fn close(&self) {
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

    use super::*;

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
        assert!(matches!(limited(count(&ledger)).await, Err(Error::TooLong)));
        let key = SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new("a").unwrap() };
        for _ in 0..2 * MAX_CONCURRENT_READS {
            assert_eq!(ledger.newest(&key).await.unwrap(), None);
        }
        ledger.close().await;
    }
}
