//! From a socket to requests: one task a connection, each of which can be told to finish.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::Error;
use crate::shutdown::Shutdown;

/// A client that takes longer to say what it wants, or to want anything more, is
/// not waited for.
const HEADERS_WITHIN: Duration = Duration::from_mins(1);

/// A peer that vanished is noticed after two of these.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Requests are small; what does not fit is refused by its length anyway.
const BUFFER: usize = 64 * 1024;

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
            Ok((stream, _)) => front.spawn("connection", connection(stream, router.clone(), stop.clone())),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    // Answers are written whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(|request: Request<Incoming>| request.map(axum::body::Body::new));
    let service = TowerToHyperService::new(service.map_err(|never: Infallible| match never {}));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).max_buf_size(BUFFER);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // How a connection ended is the client's business.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
