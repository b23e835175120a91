//! One connection, from request to request: by the library, and by whoever takes it
//! over (see [`Takeover`](takeover::Takeover)).

pub mod admission;
pub mod deadlines;
pub mod host;
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

use axum::Router;
use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use self::admission::ConnectionPermit;
use self::deadlines::Deadlines;
use self::http1::Outcome;
use self::idle::{Idle, PREFACE};
use self::requests::Requests;

/// What all connections of a listener have in common.
pub struct Front {
    /// Who answers.
    pub router: Router,
    /// How long they may take.
    pub deadlines: Deadlines,
    /// They finish once it begins.
    pub stop: CancellationToken,
}

/// Answers requests until the connection ends or a stop begins.
pub async fn serve(stream: TcpStream, place: ConnectionPermit, front: Arc<Front>) {
    // Answers are written whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let mut idle = Idle { io: stream, read: Bytes::new(), wait: front.deadlines.head };
    // In boxes, because each is needed for a moment and would else take up room for good.
    while let Some(ready) = Box::pin(idle.read(&front.stop)).await {
        let requests = Requests::of(&front.router, place.peer(), ready.head());
        if ready.read.starts_with(PREFACE) {
            if let Some(reason) = Box::pin(http2::serve(ready, requests, &front)).await {
                place.dropped(reason);
            }
            return;
        }
        let back = match Box::pin(http1::serve(ready, requests, &front)).await {
            Outcome::Over => return,
            Outcome::Late(reason) => return place.dropped(reason),
            Outcome::Idle(idle) => Some(idle),
            Outcome::Taken(onward, taken) => onward(taken).await,
        };
        let Some(back) = back else { return };
        idle = back;
    }
}

/// Whether one of a header's words is `word`.
#[must_use]
pub fn says(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|each| each.trim().eq_ignore_ascii_case(word))
}
