//! The only place that knows every concrete type: from settings to parts, from
//! parts to instances that serve.

mod listen;
mod lock;
mod parts;
mod reference;
mod watched;

use std::io;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::auth::Authenticator;
use crate::clock::SystemClock;
use crate::config::{Config, Database, Durable, Secret, Spans};
use crate::domain::id::InvalidId;
use crate::fanout;
use crate::fanout::Hub;
use crate::http;
use crate::http::Api;
use crate::http::stream;
use crate::http::stream::{Streams, Timing};
use crate::ids::Ids;
use crate::ledger;
use crate::ledger::Ledger;
use crate::ledger::guarded::Guarded;
use crate::ledger::postgres::PostgresLedger;
use crate::ledger::sqlite::{Durability, SqliteLedger};
use crate::shutdown::Shutdown;
use crate::telemetry::metrics;

use self::watched::Watched;

pub use parts::{Leftovers, Parts};
pub use reference::RedisReference;

/// Why an instance does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is taken, or not this host's.
    #[error("failed to listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Another process serves from the same folder.
    #[error("failed to lock {0}: another process serves from it")]
    InUse(String),
    /// The folder cannot be used.
    #[error("failed to use the data folder {folder}")]
    Folder {
        /// Which.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
    /// The ledger does not open.
    #[error("failed to open the ledger")]
    Ledger(#[from] ledger::Error),
    /// The open mode's own names are not valid.
    #[error("failed to set up tokens")]
    Tokens(#[from] InvalidId),
}

/// One running instance.
pub struct Instance {
    /// Where it serves.
    pub address: SocketAddr,
    /// Where it tells its metrics.
    pub metrics_address: SocketAddr,
    /// Its streams, requests and listeners.
    pub front: Shutdown,
}

impl Instance {
    /// Starts serving from `parts`, until `front` begins to stop.
    pub async fn start(config: &Config, parts: &Parts, front: Shutdown) -> Result<Self, Error> {
        let secret = config.jwt_secret.as_ref().map(Secret::as_bytes);
        let authenticator = Arc::new(Authenticator::new(secret)?);
        let api = Arc::new(Api {
            sessions: Arc::clone(&parts.sessions),
            authenticator: Arc::clone(&authenticator),
            clock: Arc::clone(&parts.clock),
            ids: Ids::Random,
            max_uncertainty_ms: config.max_uncertainty.as_secs_f64() * 1_000.0,
            draining: front.soft(),
        });
        let streams = Streams::start(stream::Parts {
            hub: watch(config, parts, &front),
            commands: Arc::clone(&api) as _,
            authenticator,
            clock: Arc::clone(&parts.clock),
            shutdown: front.clone(),
            timing: timing(config),
        });
        let address = listen::serve("requests", config.listen_addr, http::router(&api, &streams), &front).await?;
        let scrapes = http::metrics::router(metrics::install());
        let metrics_address = listen::serve("metrics", config.metrics_addr, scrapes, &front).await?;
        Ok(Self { address, metrics_address, front })
    }
}

/// Hears of every write to what is watched here.
fn watch(config: &Config, parts: &Parts, front: &Shutdown) -> Arc<Hub> {
    let bus = Arc::new(parts.hub.attach());
    let source = Arc::new(Watched(Arc::clone(&parts.sessions)));
    let clock = Arc::clone(&parts.clock);
    let settings = fanout::Settings { position_check: config.spans.position_check, ..fanout::Settings::default() };
    Hub::start(fanout::Parts { bus, source, clock }, settings, front)
}

/// Streams are told to go elsewhere over half of the time a stop may take.
fn timing(config: &Config) -> Timing {
    let Spans { heartbeat, ping, pong_wait, .. } = config.spans;
    Timing { heartbeat, ping, pong_wait, drain: config.drain_timeout / 2, ..Timing::default() }
}

/// Serves until `shutdown` begins, then finishes what is under way: streams and
/// requests first, then what they left for the ledger.
pub async fn serve(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let lock = lock::Lock::hold(&config).await?;
    let ledger = ledger(&config).await?;
    let clock = Arc::new(SystemClock::start());
    let back = Shutdown::new();
    let disciplined = Arc::clone(&clock);
    let stop = back.soft();
    back.spawn("clock", async move {
        stop.run_until_cancelled(parts::discipline(&disciplined)).await;
    });
    let last = Shutdown::new();
    lock.keep(&last, &shutdown);
    let parts = Parts::start(&config, clock, ledger, back).await?;
    let instance = Instance::start(&config, &parts, shutdown.clone()).await?;
    tell_address(&instance);
    shutdown.begun().await;
    shutdown.finish(config.drain_timeout).await;
    parts.finish(config.drain_timeout).await;
    // Whoever waits to serve from the same ledger finds everything in it.
    last.finish(config.drain_timeout).await;
    Ok(())
}

/// For people, on the terminal; the log has it too.
fn tell_address(instance: &Instance) {
    let Instance { address, metrics_address, .. } = instance;
    tracing::info!(%address, %metrics_address, "serving");
    // Nobody may be reading, which is no reason not to serve.
    let _ = writeln!(io::stdout(), "SyncKairos serves http://{address}");
}

/// Brings the ledger's schema up.
pub async fn migrate(config: Config) -> Result<(), Error> {
    // A file is brought up by whoever opens it, which is one process at a time.
    let _lock = match &config.database {
        Database::Sqlite(_) => Some(lock::hold(&config.data_dir, config.drain_timeout).await?),
        Database::Postgres(_) => None,
    };
    ledger(&Config { migrate: true, ..config }).await?.close().await;
    Ok(())
}

/// The ledger alone, for commands that look after it while others serve.
pub async fn ledger(config: &Config) -> Result<Arc<dyn Ledger>, Error> {
    Ok(match &config.database {
        Database::Sqlite(_) => Arc::new(open_file(config).await?),
        Database::Postgres(address) => Arc::new(Guarded::new(Arc::new(open_server(config, address.as_str()).await?))),
    })
}

/// What this instance calls itself to others.
fn name(config: &Config) -> &str {
    config.instance_id.as_deref().unwrap_or("unnamed")
}

async fn open_file(config: &Config) -> Result<SqliteLedger, Error> {
    let durability = match config.durable {
        Durable::Flush => Durability::Flush,
        Durable::Always => Durability::Always,
    };
    Ok(SqliteLedger::open(&config.ledger_file(), durability).await?)
}

async fn open_server(config: &Config, url: &str) -> Result<PostgresLedger, Error> {
    let name = name(config);
    if config.migrate {
        PostgresLedger::migrate(url, name).await?;
    }
    Ok(PostgresLedger::open(url, name).await?)
}
