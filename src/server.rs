//! The only place that knows every concrete type. A placeholder, until the parts stand.

use std::io;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::http;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics;

/// Why an instance does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is taken, or not this host's.
    #[error("failed to listen on {address}")]
    Listen {
        /// What was asked for.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A part that does not stand yet.
    #[error("failed to migrate: the ledger is not wired in yet")]
    NotWired,
}

/// Serves until `shutdown` begins, then finishes what is under way.
pub async fn serve(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let recorder = metrics::install();
    let requests = Router::new().route("/ready", get(|| async { "ready" }));
    listen(&shutdown, "requests", config.listen_addr, requests).await?;
    listen(&shutdown, "metrics", config.metrics_addr, http::metrics::router(recorder.clone())).await?;
    let stop = shutdown.soft();
    shutdown.spawn("metrics upkeep", async move { stop.run_until_cancelled(recorder.upkeep()).await.unwrap_or(()) });
    shutdown.begun().await;
    shutdown.finish(config.drain_timeout).await;
    Ok(())
}

/// Brings the ledger's schema up.
#[expect(clippy::unused_async, reason = "the ledger will be asked here")]
pub async fn migrate(_config: Config) -> Result<(), Error> {
    Err(Error::NotWired)
}

async fn listen(
    shutdown: &Shutdown,
    name: &'static str,
    address: std::net::SocketAddr,
    router: Router,
) -> Result<(), Error> {
    let listener = TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
    tracing::info!(%address, "listening for {name}");
    let stop = shutdown.soft().cancelled_owned();
    shutdown.spawn(name, async move {
        let _ = axum::serve(listener, router).with_graceful_shutdown(stop).await;
    });
    Ok(())
}
