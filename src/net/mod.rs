//! One connection, from request to request, without a route: the library serves it, or a
//! stream takes it over (see [`Takeover`](takeover::Takeover)).

pub mod admission;
pub mod deadlines;
pub mod front;
pub mod headers;
pub mod idle;
pub mod round_trip;
pub mod socket;
pub mod stream_end;
pub mod takeover;
pub mod tls;

mod activity;
mod http1;
mod http2;
mod idle_timer;
mod metered;
mod prefixed;
mod requests;

use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::admission::ConnectionPermit;
use self::front::{Front, Handler};
use self::http1::Outcome;
use self::idle::{Idle, PREFACE};
use self::requests::Requests;
use self::socket::ClientSocket;
use self::tls::{Accepted, Tls};

/// Answers requests until the connection ends or a stop begins.
pub async fn serve<H: Handler>(stream: TcpStream, permit: ConnectionPermit, front: Arc<Front<H>>) {
    // Answers are written whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    // In boxes, because each is needed for a moment and would else take up room for good.
    let io = match &front.tls {
        None => stream.into(),
        Some(tls) => match Box::pin(secured(tls, stream, &permit, &front)).await {
            None => return,
            Some((io, false)) => io,
            Some((io, true)) => {
                let idle = Idle { io, read: Bytes::new(), wait: front.deadlines.head };
                return Box::pin(serve_http2(idle, &permit, &front)).await;
            }
        },
    };
    let mut idle = Idle { io, read: Bytes::new(), wait: front.deadlines.head };
    while let Some(ready) = Box::pin(idle.read(&front.stop)).await {
        if ready.read.starts_with(PREFACE) {
            // Behind TLS it is agreed upon in the handshake, or not spoken.
            if ready.io.is_secure() {
                return ready.io.close();
            }
            return Box::pin(serve_http2(ready, &permit, &front)).await;
        }
        let requests = Requests::of(&front.handler, permit.peer(), ready.head());
        let back = match Box::pin(http1::serve(ready, requests, front.deadlines, &front.stop)).await {
            Outcome::Over => return,
            Outcome::Late(reason) => return permit.dropped(reason),
            Outcome::Idle(idle) => Some(idle),
            Outcome::Taken(continuation, taken) => continuation(taken).await,
        };
        let Some(back) = back else { return };
        idle = back;
    }
}

/// The connection after its handshake, and whether it speaks HTTP/2.
async fn secured<H: Handler>(
    tls: &Tls,
    stream: TcpStream,
    permit: &ConnectionPermit,
    front: &Front<H>,
) -> Option<(ClientSocket, bool)> {
    let shaking = timeout(front.deadlines.head, tls.accept(stream));
    let Ok(accepted) = front.stop.run_until_cancelled(shaking).await? else {
        tls::count_late();
        permit.dropped("handshake");
        return None;
    };
    let Accepted { socket, is_http2, client } = accepted?;
    if let Some(client) = client {
        permit.peer().identify(client);
    }
    Some((socket, is_http2))
}

async fn serve_http2<H: Handler>(idle: Idle, permit: &ConnectionPermit, front: &Front<H>) {
    let requests = Requests::of(&front.handler, permit.peer(), None);
    if let Some(reason) = http2::serve(idle, requests, front.deadlines, &front.stop).await {
        permit.dropped(reason);
    }
}
