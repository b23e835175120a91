//! The only place that knows every concrete type: from settings to parts, from
//! parts to instances that serve.

mod listen;
mod live;
mod lock;
mod parts;
pub mod reach;
mod reference;
mod watched;
mod worker;

use std::io;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::auth::Authenticator;
use crate::config::{Audit, Config, Database, Durable, Secret, Spans};
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
use crate::members::Work;
use crate::redis;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics;

pub use live::Live;
pub use parts::{Leftovers, Parts};
pub use reference::RedisReference;
pub use watched::Watched;
pub use worker::work;

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
    /// The address of Redis is of no use.
    #[error("failed to use REDIS_URL")]
    Address(#[from] redis::InvalidAddress),
    /// Redis does not answer.
    #[error("failed to reach Redis")]
    Redis(#[from] redis::Failure),
    /// Redis does not keep what it is given.
    #[error(
        "Redis has maxmemory-policy {0}, and may throw sessions away when it is full: set it to noeviction, or say --allow-eviction"
    )]
    Evicts(String),
    /// There is nothing a worker could take.
    #[error("a worker drains what instances share: set REDIS_URL. Without it, the process that serves does its own")]
    NothingShared,
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
            hub: watch(config, parts, &front).await?,
            commands: Arc::clone(&api) as _,
            authenticator,
            clock: Arc::clone(&parts.clock),
            shutdown: front.clone(),
            timing: timing(config),
        });
        // Whoever finds it ready may scrape it.
        let scrapes = http::metrics::router(metrics::install());
        let metrics_address = listen::serve("metrics", config.metrics_addr, scrapes, &front).await?;
        let address = listen::serve("requests", config.listen_addr, http::router(&api, &streams), &front).await?;
        Ok(Self { address, metrics_address, front })
    }
}

/// Hears of every write to what is watched here, and reads all of it again when the
/// store may have gone back.
async fn watch(config: &Config, parts: &Parts, front: &Shutdown) -> Result<Arc<Hub>, Error> {
    let bus = parts.live.ear().await?;
    let source = Arc::new(Watched(Arc::clone(&parts.sessions)));
    let clock = Arc::clone(&parts.clock);
    let settings = fanout::Settings { position_check: config.spans.position_check, ..fanout::Settings::default() };
    let hub = Hub::start(fanout::Parts { bus, source, clock }, settings, front);
    let (doubting, mut lives) = (Arc::clone(&hub), parts.live.new_lives.clone());
    live::until_stopped(front, "fanout lives", async move {
        while lives.changed().await.is_ok() {
            doubting.doubt();
        }
    });
    Ok(hub)
}

/// Streams are told to go elsewhere over half of the time a stop may take.
fn timing(config: &Config) -> Timing {
    let Spans { heartbeat, ping, pong_wait, .. } = config.spans;
    Timing { heartbeat, ping, pong_wait, drain: config.drain_timeout / 2, ..Timing::default() }
}

/// Serves until `shutdown` begins, then finishes what is under way: streams and
/// requests first, then what they left for the ledger.
pub async fn serve(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    // What must outlast everything else.
    let last = Shutdown::new();
    let starting = Box::pin(start(&config, &shutdown, &last));
    let Some(started) = shutdown.soft().run_until_cancelled(starting).await else { return Ok(()) };
    let (parts, instance) = started?;
    tell_address(&instance);
    shutdown.begun().await;
    shutdown.finish(config.drain_timeout).await;
    parts.finish(config.drain_timeout).await;
    // Whoever waits to serve from the same ledger finds everything in it.
    last.finish(config.drain_timeout).await;
    Ok(())
}

async fn start(config: &Config, shutdown: &Shutdown, last: &Shutdown) -> Result<(Parts, Instance), Error> {
    // First of all: a counter that is made before there is a recorder counts nothing, ever.
    metrics::install();
    if config.is_alone() {
        lock::Lock::hold(config).await?.keep(last, shutdown);
    }
    let (ledger, back) = (ledger(config).await?, Shutdown::new());
    let redis = reach::redis(config).await?;
    let clock = reach::clock(config, redis.as_ref(), &back).await?;
    let work = match config.audit {
        Audit::Here => Work::All,
        Audit::ByWorkers => Work::Serving,
    };
    let live = Live::start(config, redis, &clock, work).await?;
    let parts = Parts::start(config, clock, ledger, live, back);
    let instance = Instance::start(config, &parts, shutdown.clone()).await?;
    Ok((parts, instance))
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
