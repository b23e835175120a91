//! One connection, from request to request, without a route: the library serves it, or a
//! stream takes it over (see [`Takeover`](takeover::Takeover)).

pub mod admission;
pub mod deadlines;
pub mod front;
pub mod headers;
pub mod idle;
pub mod round_trip;
pub mod stream_end;
pub mod takeover;

mod activity;
mod http1;
mod http2;
mod idle_timer;
mod prefixed;
mod requests;

use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;

use self::admission::ConnectionPermit;
use self::front::{Front, Handler};
use self::http1::Outcome;
use self::idle::{Idle, PREFACE};
use self::requests::Requests;

/// Answers requests until the connection ends or a stop begins.
pub async fn serve<H: Handler>(stream: TcpStream, permit: ConnectionPermit, front: Arc<Front<H>>) {
    // Answers are written whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let mut idle = Idle { io: stream, read: Bytes::new(), wait: front.deadlines.head };
    // In boxes, because each is needed for a moment and would else take up room for good.
    while let Some(ready) = Box::pin(idle.read(&front.stop)).await {
        let requests = Requests::of(&front.handler, permit.peer(), ready.head());
        if ready.read.starts_with(PREFACE) {
            if let Some(reason) = Box::pin(http2::serve(ready, requests, front.deadlines, &front.stop)).await {
                permit.dropped(reason);
            }
            return;
        }
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
