//! What the instances of a cluster stand on: the parts of one process and SQLite, or a
//! Redis and a PostgreSQL of their own.
//!
//! `SYNCKAIROS_TEST_BACKENDS` says `shared` where all clusters are to stand on the latter.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use synckairos::config::{Address, Config};
use synckairos::ledger::Ledger;
use synckairos::ledger::postgres::PostgresLedger;
use synckairos::ledger::sqlite::{Durability, SqliteLedger};
use synckairos::server::{fair_postgres, fair_sqlite};
use synckairos::store::keys::Keys;
use synckairos::store::partition::Partition;
use tempfile::TempDir;
use testkit::postgres;
use testkit::redis::{Keeps, Server};

use super::process::Host;
use super::sql::connect;

/// What is beneath the instances.
pub enum Backends {
    Embedded { folder: TempDir },
    Shared { redis: Server, postgres: Arc<postgres::Server>, database: String, folder: TempDir },
}

/// Processes share nothing but the backends, and each has settings of its own.
impl Backends {
    /// The settings of a process that lead to it.
    pub fn lead(&self, host: Host) -> Host {
        let Self::Shared { redis, database, .. } = self else { panic!("processes share no memory") };
        host.with("REDIS_URL", &redis.url()).with("DATABASE_URL", database)
    }
}

/// What the environment asks for.
#[expect(clippy::disallowed_methods, reason = "it is the tests' own setting, and no Config is made for them")]
pub fn is_shared() -> bool {
    match std::env::var("SYNCKAIROS_TEST_BACKENDS").as_deref() {
        Err(_) | Ok("embedded") => false,
        Ok("shared") => true,
        Ok(other) => panic!("SYNCKAIROS_TEST_BACKENDS is embedded or shared, not {other}"),
    }
}

impl Backends {
    pub fn embedded() -> Self {
        Self::Embedded { folder: tempfile::tempdir().unwrap() }
    }

    /// Fresh ones, the Redis of which keeps so much when it is killed.
    pub async fn shared(keeps: Keeps) -> Self {
        let (redis, postgres) = (Server::start(keeps), postgres::Server::shared().await);
        // Without an offset, the first instance waits for one with a better clock.
        redis.set_clock_offset_ms(0);
        let database = postgres.database().await;
        PostgresLedger::migrate(&database, "test").await.unwrap();
        Self::Shared { redis, postgres, database, folder: tempfile::tempdir().unwrap() }
    }

    /// The settings that lead to it.
    pub fn settled(&self, config: Config) -> Config {
        match self {
            Self::Embedded { folder } => Config { data_dir: folder.path().to_path_buf(), ..config },
            Self::Shared { redis, database, folder, .. } => Config {
                data_dir: folder.path().to_path_buf(),
                redis: Some(Address::new(&redis.url())),
                database: synckairos::config::Database::Postgres(Address::new(database)),
                ..config
            },
        }
    }

    /// A ledger on it.
    pub async fn ledger(&self) -> Arc<dyn Ledger> {
        match self {
            Self::Embedded { .. } => {
                Arc::new(fair_sqlite(SqliteLedger::open(&self.file(), Durability::Flush).await.unwrap()))
            }
            Self::Shared { database, .. } => {
                Arc::new(fair_postgres(PostgresLedger::open(database, "test").await.unwrap()))
            }
        }
    }

    fn file(&self) -> PathBuf {
        let Self::Embedded { folder } = self else { panic!("there is no file") };
        Config { data_dir: folder.path().to_path_buf(), ..Config::default() }.ledger_file()
    }

    /// The Redis beneath.
    pub fn redis(&self) -> Option<&Server> {
        match self {
            Self::Embedded { .. } => None,
            Self::Shared { redis, .. } => Some(redis),
        }
    }

    /// The same, to be put through something.
    pub fn redis_mut(&mut self) -> &mut Server {
        let Self::Shared { redis, .. } = self else { panic!("there is no Redis") };
        redis
    }

    /// The ledger, asked for one column of JSON.
    pub async fn sql(&self, question: &str) -> Vec<Value> {
        let rows: Vec<(String,)> = match self {
            Self::Embedded { .. } => {
                let mut connection = open(&self.file()).await;
                let rows = sqlx::query_as(sqlx::AssertSqlSafe(question)).fetch_all(&mut connection).await.unwrap();
                connection.close().await.unwrap();
                rows
            }
            Self::Shared { database, .. } => {
                let question = question.replace("json_array(", "json_build_array(");
                let question = format!("select answer::text from ({question}) as question (answer)");
                let mut connection = connect(database).await.unwrap();
                let rows = sqlx::query_as(sqlx::AssertSqlSafe(question)).fetch_all(&mut connection).await.unwrap();
                connection.close().await.unwrap();
                rows
            }
        };
        rows.into_iter().map(|(row,)| serde_json::from_str(&row).unwrap()).collect()
    }

    /// From now on the ledger refuses versions from that one on; from none on, if it is not given.
    pub async fn refuse_from(&self, version: Option<u64>) {
        let (refuse, stop) = match self {
            Self::Embedded { .. } => (REFUSE_IN_FILE, "drop trigger if exists refused"),
            Self::Shared { .. } => {
                (REFUSE_IN_SERVER, "alter table session_snapshot drop constraint if exists session_snapshot_refused")
            }
        };
        self.execute(stop).await;
        if let Some(version) = version {
            self.execute(&refuse.replace("$1", &version.to_string())).await;
        }
    }

    /// Executes a statement.
    pub async fn execute(&self, statement: &str) {
        let statement = sqlx::AssertSqlSafe(statement);
        match self {
            Self::Embedded { .. } => {
                let mut connection = open(&self.file()).await;
                sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
            }
            Self::Shared { database, .. } => {
                let mut connection = connect(database).await.unwrap();
                sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
            }
        }
    }

    /// What must not be there when all is over.
    pub async fn left_over(&self) -> Vec<String> {
        let mut left = Vec::new();
        // Without one, the ledger is the test's own to look after.
        let has_ledger = matches!(self, Self::Shared { .. }) || self.file().exists();
        let dead = if has_ledger { self.sql("select json_array(reason) from dead_letter").await } else { Vec::new() };
        if !dead.is_empty() {
            left.push(format!("put aside as dead: {dead:?}"));
        }
        if let Self::Shared { redis, .. } = self {
            let waiting = |partition| redis.say(&["XLEN", &Keys::default().outbox(partition)]);
            let waiting: Vec<_> = Partition::all().map(waiting).filter(|length| *length != ["0"]).collect();
            if !waiting.is_empty() {
                left.push(format!("not in the ledger: {waiting:?}"));
            }
        }
        left
    }
}

/// Refuses versions from `$1` on.
pub const REFUSE_IN_FILE: &str = "create trigger refused before insert on session_snapshot when new.version >= $1 \
    begin select raise(abort, 'not taken'); end";
const REFUSE_IN_SERVER: &str =
    "alter table session_snapshot add constraint session_snapshot_refused check (version < $1) not valid";

async fn open(file: &PathBuf) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}
