//! From a socket to requests: one task a connection, each of which can be told to finish.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;

use super::Error;
use crate::http::connection;
use crate::shutdown::Shutdown;

/// How long to wait when the host has no room for another connection.
const BREATH: Duration = Duration::from_millis(50);

/// Serves `router` on `address` until `front` begins to stop; gives where.
pub(super) async fn serve(
    name: &'static str,
    address: SocketAddr,
    router: Router,
    front: &Shutdown,
) -> Result<SocketAddr, Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    front.spawn(name, accept(listener, router, front.clone()));
    Ok(bound)
}

async fn accept(listener: TcpListener, router: Router, front: Shutdown) {
    let stop = front.soft();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => front.spawn("connection", connection::serve(stream, router.clone(), stop.clone())),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}
