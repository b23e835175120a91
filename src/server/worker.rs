//! A process that only brings what was committed to the ledger.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::live::Live;
use super::{Error, ledger, listen, reach};
use crate::clock::Clock;
use crate::config::Config;
use crate::http;
use crate::ledger::Ledger;
use crate::members::Work;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics;

/// Works until `shutdown` begins; what is under way then is finished.
pub async fn work(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let back = Shutdown::new();
    let starting = Box::pin(start(&config, &back));
    let Some(started) = shutdown.soft().run_until_cancelled(starting).await else { return Ok(()) };
    let (ledger, clock, live) = started?;
    let scrapes = http::metrics::router(metrics::install());
    let metrics_address = listen::serve("metrics", config.metrics_addr, scrapes, &shutdown).await?;
    tracing::info!(%metrics_address, "draining the audit");
    let stop = CancellationToken::new();
    let audit = Shutdown::new();
    live.audit(&ledger, &clock, &audit, &stop);
    shutdown.begun().await;
    shutdown.finish(config.drain_timeout).await;
    live.leave().await;
    stop.cancel();
    audit.finish(config.drain_timeout).await;
    live.finish().await;
    back.finish(config.drain_timeout).await;
    Ok(())
}

async fn start(config: &Config, back: &Shutdown) -> Result<(Arc<dyn Ledger>, Arc<dyn Clock>, Live), Error> {
    metrics::install();
    let ledger = ledger(config).await?;
    let redis = reach::redis(config).await?.ok_or(Error::NothingShared)?;
    let clock = reach::clock(config, Some(&redis), back).await?;
    let live = Live::start(config, Some(redis), &clock, Work::Auditing).await?;
    Ok((ledger, clock, live))
}
