//! The composition root, the only room that knows every concrete type: from settings to
//! services, from services to instances that serve.

mod addresses;
mod backend;
mod cache_metrics;
mod capacity;
mod clock_reference;
pub mod connect;
mod error;
mod eviction_policy;
mod limits;
mod listener;
mod lock;
mod open_ledger;
mod ownership;
mod services;
mod session_source;
mod status_source;
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
use crate::http::api::Api;
use crate::ids::Ids;
use crate::membership::Work;
use crate::shutdown::Shutdown;
use crate::stream;
use crate::stream::status::StatusPublisher;
use crate::stream::{Streams, Timing};
use crate::telemetry::metrics;

use self::cache_metrics::CacheMetrics;
use self::capacity::Capacity;
use self::listener::Listener;
use self::status_source::InstanceParts;

pub use addresses::check_files;
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
    /// Where it serves its metrics.
    pub metrics_address: SocketAddr,
    /// Its streams, requests and listeners.
    pub front: Shutdown,
}

impl Instance {
    /// Starts serving from `services`, until `front` begins to stop.
    pub async fn start(config: &Config, services: &Services, front: Shutdown) -> Result<Self, Error> {
        let secret = config.jwt_secret.as_ref().map(Secret::as_bytes);
        let authenticator = Authenticator::new(secret)?.with_validity(Arc::clone(&services.control) as _);
        let authenticator = Arc::new(authenticator);
        let addresses = addresses::of(config, services, &front).await?;
        let (callers, tenants) = (limits::of_callers(config, services), limits::of_tenants(services));
        front.spawn_until_stopped("limits", Arc::clone(&callers).run(tenants.clone()));
        let api = Arc::new(Api {
            sessions: Arc::clone(&services.sessions),
            readiness: Arc::clone(&services.readiness),
            authenticator: Arc::clone(&authenticator),
            limits: Arc::clone(&callers),
            addresses: Arc::clone(&addresses),
            tenants: Arc::clone(&tenants),
            administration: Arc::clone(&services.administration),
            tickets: Arc::clone(&services.backend.tickets),
            security: Arc::clone(&services.security),
            clock: Arc::clone(&services.clock),
            ids: Ids::Random,
            max_uncertainty_ms: config.max_uncertainty.as_secs_f64() * 1_000.0,
            body_deadline: config.timers.request_body,
            draining: front.draining(),
        });
        let hub = watch(config, services, &front).await?;
        let (sessions, backend) = (Arc::clone(&services.sessions), Arc::clone(&services.backend));
        let authenticates = Arc::clone(&authenticator);
        let caller_limits = (Arc::clone(&callers), tenants);
        let caches = CacheMetrics { sessions, authenticator: authenticates, hub: Arc::clone(&hub), backend, limits: caller_limits };
        let recorder = metrics::install();
        // A scrape may come as soon as it is ready.
        caches.report();
        front.spawn_until_stopped("caches", caches.run());
        // Samples take memory until they are sorted, even if no scrape comes.
        front.spawn_until_stopped("metrics upkeep", recorder.clone().upkeep());
        let parts = InstanceParts {
            name: config.name().to_owned(),
            readiness: Arc::clone(&services.readiness),
            clock: Arc::clone(&services.clock),
            hub: Arc::clone(&hub),
        };
        let status = StatusPublisher::start(services.clock.now().as_ms(), Arc::new(parts), &front);
        let streams = Streams::start(stream::StreamsParts {
            hub,
            status,
            commands: Arc::clone(&api) as _,
            authenticator,
            limits: callers,
            stream_limits: limits::of_streams(config, services),
            addresses: Arc::clone(&addresses),
            tickets: Arc::clone(&services.backend.tickets),
            security: Arc::clone(&services.security),
            clock: Arc::clone(&services.clock),
            shutdown: front.clone(),
            timing: timing(config),
        });
        let Capacity { requests, metrics: scrapes } = Capacity::of(config);
        let router = http::metrics::router(recorder, &config.metrics_hosts);
        let listener = Listener { name: "metrics", address: config.metrics_addr, router, limits: scrapes, addresses: None };
        let metrics_address = listener::serve(listener, config, &front).await?;
        let router = http::router(&api, &streams, &config.cors_origins);
        let listener = Listener { name: "requests", address: config.listen_addr, router, limits: requests, addresses: Some(addresses) };
        let address = listener::serve(listener, config, &front).await?;
        Ok(Self { address, metrics_address, front })
    }
}

/// Starts the hub, which follows every write to watched sessions, and reads them all again
/// after a change of store generation.
async fn watch(config: &Config, services: &Services, front: &Shutdown) -> Result<Arc<Hub>, Error> {
    let bus = services.backend.bus().await?;
    let source = Arc::new(SessionSource(Arc::clone(&services.sessions)));
    let clock = Arc::clone(&services.clock);
    // A watched session is read more often than idle ones are evicted, so it stays in the store.
    let position_check = config.timers.position_check.min(config.session_idle_ttl / 3);
    let settings = fanout::Settings { position_check, ..fanout::Settings::default() };
    let hub = Hub::start(fanout::HubParts { bus, source, clock }, settings, front);
    let (watching, mut changes) = (Arc::clone(&hub), services.backend.generation_changes.clone());
    front.spawn_until_stopped("fanout generations", async move {
        while changes.changed().await.is_ok() {
            watching.invalidate_all();
        }
    });
    Ok(hub)
}

/// A stop asks streams to go elsewhere, spread over half of its time. Embedded it asks all at
/// once: there is no other instance, and an outage costs no participant time.
fn timing(config: &Config) -> Timing {
    let Timers { heartbeat, ping, pong_wait, write_wait, .. } = config.timers;
    let drain = if config.redis.is_none() { Duration::ZERO } else { config.drain_timeout / 2 };
    Timing { heartbeat, ping, pong_wait, write_wait, drain, ..Timing::default() }
}

/// Serves until `shutdown` is announced. From then on it is not ready, and serves for a while
/// as before, so that balancers notice. Then it finishes streams and requests first, and
/// records the rest of the outbox last.
pub async fn serve(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    // Stops last: the lock on the folder and the ledger.
    let last = Shutdown::new();
    let starting = Box::pin(start(&config, &shutdown, &last));
    let Some(started) = shutdown.draining().run_until_cancelled(starting).await else { return Ok(()) };
    let (services, instance) = started?;
    print_address(&instance);
    shutdown.announced().await;
    // A second signal begins the stop at once.
    let _ = timeout(config.drain_grace(), shutdown.begun()).await;
    let stopped = services.clock.now();
    shutdown.finish(config.drain_timeout).await;
    services.finish_since(stopped, config.drain_timeout).await;
    // A process that waits for the lock finds everything in the ledger.
    last.finish(config.drain_timeout).await;
    Ok(())
}

async fn start(config: &Config, shutdown: &Shutdown, last: &Shutdown) -> Result<(Services, Instance), Error> {
    capacity::raise_descriptors();
    // First: a counter made before the recorder is installed never counts.
    metrics::install();
    if config.is_sole_instance() {
        lock::Lock::acquire(config).await?.keep(last, shutdown);
    }
    let background = Shutdown::new();
    let ledger = open_ledger::open(config, &background).await?;
    let redis = connect::redis(config).await?;
    let ownership = ownership::begin(config, redis.as_ref(), &ledger).await?;
    let clock = connect::clock(config, redis.as_ref(), &background).await?;
    let work = match config.audit {
        Audit::InProcess => Work::All,
        Audit::ByWorkers => Work::Serving,
    };
    let backend = Backend::start(config, redis, &clock, work).await?;
    ownership::keep(ownership, &backend.fence, &background, shutdown);
    let services = Services::start(config, clock, ledger, backend, background);
    services.open_run().await?;
    let instance = Instance::start(config, &services, shutdown.clone()).await?;
    Ok((services, instance))
}

/// Prints the address for people; the log has it too.
fn print_address(instance: &Instance) {
    let Instance { address, metrics_address, .. } = instance;
    tracing::info!(%address, %metrics_address, "serving");
    // It serves even if standard output is closed.
    let _ = writeln!(io::stdout(), "SyncKairos serves http://{address}");
}
