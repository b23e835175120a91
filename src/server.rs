//! The only place that knows every concrete type: from settings to parts, from
//! parts to instances that serve.

mod backend;
mod cache_metrics;
mod capacity;
mod clock_reference;
pub mod connect;
mod error;
mod eviction_policy;
mod listener;
mod lock;
mod open_ledger;
mod ownership;
mod services;
mod session_source;
mod worker;

use std::io;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::auth::Authenticator;
use crate::config::{Audit, Config, Secret, Timers};
use crate::fanout;
use crate::fanout::Hub;
use crate::http;
use crate::http::Api;
use crate::http::stream;
use crate::http::stream::{Streams, Timing};
use crate::ids::Ids;
use crate::members::Work;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics;

use self::cache_metrics::CacheMetrics;
use self::capacity::Capacity;
use self::listener::Listener;

pub use backend::Backend;
pub use clock_reference::RedisReference;
pub use error::Error;
pub use open_ledger::{fair_postgres, fair_sqlite, ledger, migrate};
pub use services::{Leftovers, Services};
pub use session_source::SessionSource;
pub use worker::work;

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
    pub async fn start(config: &Config, parts: &Services, front: Shutdown) -> Result<Self, Error> {
        let secret = config.jwt_secret.as_ref().map(Secret::as_bytes);
        let authenticator = Arc::new(Authenticator::new(secret)?);
        let api = Arc::new(Api {
            sessions: Arc::clone(&parts.sessions),
            readiness: Arc::clone(&parts.readiness),
            authenticator: Arc::clone(&authenticator),
            clock: Arc::clone(&parts.clock),
            ids: Ids::Random,
            max_uncertainty_ms: config.max_uncertainty.as_secs_f64() * 1_000.0,
            body_deadline: config.timers.request_body,
            draining: front.draining(),
        });
        let hub = watch(config, parts, &front).await?;
        let (sessions, live) = (Arc::clone(&parts.sessions), Arc::clone(&parts.live));
        let caches = CacheMetrics { sessions, authenticator: Arc::clone(&authenticator), hub: Arc::clone(&hub), live };
        // Whoever finds it ready may scrape it.
        caches.report();
        front.spawn_until_stopped("caches", caches.run());
        // Samples take room until they are sorted, and nobody may be scraping.
        front.spawn_until_stopped("metrics upkeep", metrics::install().upkeep());
        let streams = Streams::start(stream::StreamsParts {
            hub,
            commands: Arc::clone(&api) as _,
            authenticator,
            clock: Arc::clone(&parts.clock),
            shutdown: front.clone(),
            timing: timing(config),
        });
        let Capacity { requests, metrics: scrapes } = Capacity::of(config);
        let router = http::metrics::router(metrics::install(), &config.metrics_hosts);
        let listener = Listener { name: "metrics", address: config.metrics_addr, router, limits: scrapes };
        let metrics_address = listener::serve(listener, config, &front).await?;
        let router = http::router(&api, &streams);
        let listener = Listener { name: "requests", address: config.listen_addr, router, limits: requests };
        let address = listener::serve(listener, config, &front).await?;
        Ok(Self { address, metrics_address, front })
    }
}

/// Hears of every write to what is watched here, and reads all of it again when the
/// store may have gone back.
async fn watch(config: &Config, parts: &Services, front: &Shutdown) -> Result<Arc<Hub>, Error> {
    let bus = parts.live.bus().await?;
    let source = Arc::new(SessionSource(Arc::clone(&parts.sessions)));
    let clock = Arc::clone(&parts.clock);
    // To be read oftener than an idle session is let go of keeps a watched one in the store.
    let position_check = config.timers.position_check.min(config.session_idle_ttl / 3);
    let settings = fanout::Settings { position_check, ..fanout::Settings::default() };
    let hub = Hub::start(fanout::HubParts { bus, source, clock }, settings, front);
    let (doubting, mut lives) = (Arc::clone(&hub), parts.live.generation_changes.clone());
    front.spawn_until_stopped("fanout lives", async move {
        while lives.changed().await.is_ok() {
            doubting.invalidate_all();
        }
    });
    Ok(hub)
}

/// Streams are told to go elsewhere over half of the time a stop may take. Where there is no
/// other instance they are told at once: until this one is back clocks cost nobody anything.
fn timing(config: &Config) -> Timing {
    let Timers { heartbeat, ping, pong_wait, write_wait, .. } = config.timers;
    // Embedded there is no other instance to be spared the crowd.
    let drain = if config.redis.is_none() { Duration::ZERO } else { config.drain_timeout / 2 };
    Timing { heartbeat, ping, pong_wait, write_wait, drain, ..Timing::default() }
}

/// Serves until `shutdown` is announced. It is not ready from then on, and served for a while
/// as before, so that balancers notice. Then it finishes what is under way: streams and
/// requests first, then what they left for the ledger.
pub async fn serve(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    // What must outlast everything else.
    let last = Shutdown::new();
    let starting = Box::pin(start(&config, &shutdown, &last));
    let Some(started) = shutdown.draining().run_until_cancelled(starting).await else { return Ok(()) };
    let (parts, instance) = started?;
    tell_address(&instance);
    shutdown.announced().await;
    // Whoever has no time begins the stop itself.
    let _ = timeout(config.drain_grace(), shutdown.begun()).await;
    let stopped = parts.clock.now();
    shutdown.finish(config.drain_timeout).await;
    parts.finish_since(stopped, config.drain_timeout).await;
    // Whoever waits to serve from the same ledger finds everything in it.
    last.finish(config.drain_timeout).await;
    Ok(())
}

async fn start(config: &Config, shutdown: &Shutdown, last: &Shutdown) -> Result<(Services, Instance), Error> {
    capacity::raise_descriptors();
    // First of all: a counter that is made before there is a recorder counts nothing, ever.
    metrics::install();
    if config.is_sole_instance() {
        lock::Lock::hold(config).await?.keep(last, shutdown);
    }
    let back = Shutdown::new();
    let ledger = open_ledger::open(config, &back).await?;
    let redis = connect::redis(config).await?;
    let ownership = ownership::begin(config, redis.as_ref(), &ledger).await?;
    let clock = connect::clock(config, redis.as_ref(), &back).await?;
    let work = match config.audit {
        Audit::InProcess => Work::All,
        Audit::ByWorkers => Work::Serving,
    };
    let live = Backend::start(config, redis, &clock, work).await?;
    ownership::keep(ownership, &live.fence, &back, shutdown);
    let parts = Services::start(config, clock, ledger, live, back);
    parts.open_run().await?;
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
