//! From a socket to requests: one task a connection, each of which can be told to finish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;

use super::error::Error;
use crate::config::{Config, Network, Timers};
use crate::http::connection;
use crate::http::connection::Front;
use crate::http::connection::admission::{Connections, Limits};
use crate::http::connection::deadlines::Deadlines;
use crate::shutdown::Shutdown;

/// How long to wait when the host has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long the tasks of connections that were dropped take to go.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// What is served where, and to how many.
pub(super) struct Listener {
    /// As metrics, logs and the list of tasks call it.
    pub name: &'static str,
    pub address: SocketAddr,
    pub router: Router,
    pub limits: Limits,
}

/// Serves until `front` begins to stop; gives where.
pub(super) async fn serve(listening: Listener, config: &Config, front: &Shutdown) -> Result<SocketAddr, Error> {
    let Listener { name, address, router, limits } = listening;
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let Timers { request_head: head, idle, write_wait: write, .. } = config.timers;
    let accepting = AcceptLoop {
        listener,
        connections: Connections::new(name, limits),
        proxies: config.trusted_proxies.clone(),
        front: Arc::new(Front { router, deadlines: Deadlines { head, idle, write }, stop: front.soft() }),
        shutdown: front.clone(),
    };
    front.spawn(name, accepting.run());
    Ok(bound)
}

struct AcceptLoop {
    listener: TcpListener,
    connections: Arc<Connections>,
    proxies: Vec<Network>,
    front: Arc<Front>,
    shutdown: Shutdown,
}

impl AcceptLoop {
    async fn run(self) {
        while let Some(accepted) = self.front.stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, address)) => {
                    let is_proxy = self.proxies.iter().any(|proxy| proxy.contains(address.ip()));
                    let place = self.connections.admit(address, is_proxy);
                    let id = place.id();
                    let serving = connection::serve(stream, place, Arc::clone(&self.front));
                    let abort = self.shutdown.spawn_abortable("connection", serving);
                    self.connections.remember(id, abort);
                    while !self.connections.has_room() {
                        tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    self.connections.dropped("descriptors");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
