//! Opens the ledger of the settings: for a process that serves, migrates, or administers what
//! others serve.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::error::Error;
use super::lock;
use crate::config::{Config, Database, Durable};
use crate::ledger;
use crate::ledger::Ledger;
use crate::ledger::fair_share::{FairShare, OnDrop};
use crate::ledger::instrumented::Instrumented;
use crate::ledger::postgres::PostgresLedger;
use crate::ledger::sqlite::{Durability, SqliteLedger};
use crate::ledger::{postgres, sqlite};
use crate::shutdown::Shutdown;
use crate::telemetry::outage::chain;

/// Between two attempts to open a ledger that is away.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Whether to serve from a ledger that a newer release has migrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NewerSchema {
    Serve,
    Refuse,
}

impl NewerSchema {
    /// Among several instances, one of the old release may start during a rolling upgrade.
    const fn of(config: &Config) -> Self {
        if config.is_sole_instance() { Self::Refuse } else { Self::Serve }
    }

    /// Checks `newest`, the newest migration if a newer release made it.
    fn check(self, newest: Option<i64>) -> Result<(), Error> {
        match (newest, self) {
            (Some(migration), Self::Refuse) => return Err(Error::NewerSchema(migration)),
            (Some(migration), Self::Serve) => tracing::warn!(
                migration,
                "the ledger's schema is newer than this release, which uses the part that it knows"
            ),
            (None, _) => {}
        }
        Ok(())
    }
}

/// Migrates the ledger's schema.
pub async fn migrate(config: Config) -> Result<(), Error> {
    // Opening a file migrates it, so one process at a time may do it.
    let _lock = match &config.database {
        Database::Sqlite(_) => Some(lock::lock_folder(&config.data_dir, config.drain_timeout).await?),
        Database::Postgres(_) => None,
    };
    open_with(&Config { migrate: true, ..config }, NewerSchema::Refuse).await?.close().await;
    Ok(())
}

/// The ledger alone, for commands that administer it while others serve.
pub async fn ledger(config: &Config) -> Result<Arc<dyn Ledger>, Error> {
    open_with(config, NewerSchema::Serve).await
}

/// The ledger of a process that serves or drains. If its server is away, a task opens it later,
/// until `background` begins to stop; calls fail until then. A sole instance does not start
/// without the ledger, because it serves from it under a lock. A server that refuses is an error.
pub(super) async fn open(config: &Config, background: &Shutdown) -> Result<Arc<dyn Ledger>, Error> {
    let newer = NewerSchema::of(config);
    let Database::Postgres(address) = &config.database else { return open_with(config, newer).await };
    let instrumented = Arc::new(Instrumented::disconnected("postgres"));
    match open_server(config, address.as_str(), newer).await {
        Ok(ledger) => instrumented.connected(Arc::new(ledger)),
        Err(Error::Ledger(away)) if away.is_away() && !config.is_sole_instance() => {
            let later =
                DeferredOpen { config: config.clone(), instrumented: Arc::clone(&instrumented), logged: String::new() };
            background.spawn_until_stopped("ledger", later.open(away));
        }
        Err(error) => return Err(error),
    }
    Ok(Arc::new(with_fair_share(instrumented)))
}

async fn open_with(config: &Config, newer: NewerSchema) -> Result<Arc<dyn Ledger>, Error> {
    match &config.database {
        Database::Sqlite(_) => Ok(Arc::new(fair_sqlite(open_file(config, newer).await?))),
        Database::Postgres(address) => Ok(Arc::new(fair_postgres(open_server(config, address.as_str(), newer).await?))),
    }
}

/// A ledger in a file, with a fair share for each tenant.
pub fn fair_sqlite(ledger: SqliteLedger) -> FairShare {
    let measured = Arc::new(Instrumented::without_breakers("sqlite", Arc::new(ledger)));
    FairShare::new(measured, sqlite::MAX_CONCURRENT_READS, OnDrop::Cancel)
}

/// A ledger in a server, with a fair share for each tenant, behind breakers.
pub fn fair_postgres(ledger: PostgresLedger) -> FairShare {
    with_fair_share(Arc::new(Instrumented::new("postgres", Arc::new(ledger))))
}

fn with_fair_share(instrumented: Arc<Instrumented>) -> FairShare {
    FairShare::new(instrumented, postgres::MAX_CONCURRENT_READS, OnDrop::Continue)
}

async fn open_file(config: &Config, newer: NewerSchema) -> Result<SqliteLedger, Error> {
    let durability = match config.durable {
        Durable::Flush => Durability::Flush,
        Durable::Always => Durability::Always,
    };
    let ledger = SqliteLedger::open(&config.ledger_file(), durability).await?;
    newer.check(ledger.newer_migration())?;
    Ok(ledger)
}

async fn open_server(config: &Config, url: &str, newer: NewerSchema) -> Result<PostgresLedger, Error> {
    let name = config.name();
    if config.migrate {
        PostgresLedger::migrate(url, name).await?;
    }
    let ledger = PostgresLedger::open(url, name).await?;
    newer.check(ledger.newer_migration())?;
    Ok(ledger)
}

/// A ledger that was away at the start.
struct DeferredOpen {
    config: Config,
    instrumented: Arc<Instrumented>,
    /// The newest error in the log: the same is not logged again.
    logged: String,
}

impl DeferredOpen {
    async fn open(mut self, away: ledger::Error) {
        self.log_failure(&away, true);
        let Database::Postgres(address) = self.config.database.clone() else { return };
        let newer = NewerSchema::of(&self.config);
        loop {
            sleep(RETRY_INTERVAL).await;
            match open_server(&self.config, address.as_str(), newer).await {
                Ok(ledger) => break self.instrumented.connected(Arc::new(ledger)),
                Err(Error::Ledger(error)) => self.log_failure(&error, error.is_away()),
                Err(error) => self.log_failure(&error, false),
            }
        }
        tracing::info!("the ledger is open");
    }

    fn log_failure(&mut self, error: &(dyn std::error::Error + 'static), is_away: bool) {
        self.instrumented.connect_failed(error);
        let error = chain(error);
        if error == self.logged {
            return;
        }
        if is_away {
            tracing::warn!(error, "the ledger is away: writes to it wait, live sessions are served");
        } else {
            tracing::error!(error, "the ledger cannot be used: writes to it wait, live sessions are served");
        }
        self.logged = error;
    }
}
