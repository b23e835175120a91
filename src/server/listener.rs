//! Accepts connections: one task for each, which a stop can ask to finish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;

use super::error::Error;
use crate::addresses::Addresses;
use crate::config::{Config, Network, Timers};
use crate::net;
use crate::net::admission::{Connections, Limits};
use crate::net::deadlines::ConnectionTimeouts;
use crate::net::front::Front;
use crate::shutdown::Shutdown;

/// The pause after a failed accept, when the host has no room for another connection.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// The pause between two looks for room, while tasks of dropped connections end.
const ROOM_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A router, its address and its limits.
pub(super) struct Listener {
    /// Its name in metrics, logs and the list of tasks.
    pub name: &'static str,
    pub address: SocketAddr,
    pub router: Router,
    pub limits: Limits,
    /// Who is not let in at all.
    pub addresses: Option<Arc<Addresses>>,
}

/// Serves until `front` begins to stop; returns the bound address.
pub(super) async fn serve(listener: Listener, config: &Config, front: &Shutdown) -> Result<SocketAddr, Error> {
    let Listener { name, address, router, limits, addresses } = listener;
    let error = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let bound = listener.local_addr().map_err(error)?;
    let Timers { request_head: head, idle, write_wait: write, .. } = config.timers;
    let accepting = AcceptLoop {
        listener,
        connections: Connections::new(name, limits),
        proxies: config.trusted_proxies.clone(),
        addresses,
        front: Arc::new(Front {
            handler: router,
            deadlines: ConnectionTimeouts { head, idle, write },
            stop: front.soft(),
        }),
        shutdown: front.clone(),
    };
    front.spawn(name, accepting.run());
    Ok(bound)
}

struct AcceptLoop {
    listener: TcpListener,
    connections: Arc<Connections>,
    proxies: Vec<Network>,
    addresses: Option<Arc<Addresses>>,
    front: Arc<Front<Router>>,
    shutdown: Shutdown,
}

impl AcceptLoop {
    async fn run(self) {
        while let Some(accepted) = self.front.stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, address)) => {
                    let is_proxy = self.proxies.iter().any(|proxy| proxy.contains(address.ip()));
                    if !is_proxy && self.addresses.as_ref().is_some_and(|lists| lists.drops_connection(address.ip())) {
                        continue;
                    }
                    let admission = self.connections.admit(address, is_proxy);
                    let id = admission.id();
                    let serving = net::serve(stream, admission, Arc::clone(&self.front));
                    let abort = self.shutdown.spawn_abortable("connection", serving);
                    self.connections.remember(id, abort);
                    while !self.connections.has_room() {
                        tokio::time::sleep(ROOM_POLL_INTERVAL).await;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "failed to accept a connection");
                    self.connections.dropped("descriptors");
                    tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
                }
            }
        }
    }
}
