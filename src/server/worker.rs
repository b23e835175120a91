//! A process that only drains the outbox to the ledger.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::backend::Backend;
use super::capacity::Capacity;
use super::error::Error;
use super::listener::Listener;
use super::{capacity, connect, listener, open_ledger, ownership};
use crate::clock::Clock;
use crate::config::Config;
use crate::http;
use crate::ledger::Ledger;
use crate::membership::Work;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics;

/// Works until `shutdown` is announced, and then finishes. No balancer sends requests to a
/// worker, so the stop needs no grace.
pub async fn work(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let background = Shutdown::new();
    let starting = Box::pin(start(&config, &background, &shutdown));
    let Some(started) = shutdown.draining().run_until_cancelled(starting).await else { return Ok(()) };
    let (ledger, clock, backend) = started?;
    let router = http::metrics::router(metrics::install(), &config.metrics_hosts);
    let limits = Capacity::of(&config).metrics;
    let listener = Listener { name: "metrics", address: config.metrics_addr, router, limits, addresses: None };
    let metrics_address = listener::serve(listener, &config, &shutdown).await?;
    tracing::info!(%metrics_address, "draining the audit");
    // Samples take memory until they are sorted, even if no scrape comes.
    background.spawn_until_stopped("metrics upkeep", metrics::install().upkeep());
    let stop = CancellationToken::new();
    let audit = Shutdown::new();
    backend.audit(&ledger, &clock, &audit, &stop);
    shutdown.announced().await;
    shutdown.finish(config.drain_timeout).await;
    backend.leave().await;
    stop.cancel();
    audit.finish(config.drain_timeout).await;
    backend.finish().await;
    background.finish(config.drain_timeout).await;
    Ok(())
}

async fn start(
    config: &Config,
    background: &Shutdown,
    front: &Shutdown,
) -> Result<(Arc<dyn Ledger>, Arc<dyn Clock>, Backend), Error> {
    capacity::raise_descriptors();
    metrics::install();
    let ledger = open_ledger::open(config, background).await?;
    let redis = connect::redis(config).await?.ok_or(Error::NoSharedStore)?;
    let ownership = ownership::begin(config, Some(&redis), &ledger).await?;
    let clock = connect::clock(config, Some(&redis), background).await?;
    let backend = Backend::start(config, Some(redis), &clock, Work::Auditing).await?;
    ownership::keep(ownership, &backend.fence, background, front);
    Ok((ledger, clock, backend))
}
