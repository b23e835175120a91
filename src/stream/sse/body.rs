//! An event stream that the library writes: over HTTP/2, HTTP/1.0, or on a connection
//! that closes behind it.
//!
//! The library asks for nothing while its reader takes nothing. So a task of its own
//! follows the sessions, ends with the caller's token, and ends with its reader.

use std::future::poll_fn;
use std::pin::pin;

use bytes::Bytes;
use futures::{Stream, stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::events::SseEvents;
use crate::net::stream_end::StreamEnd;
use crate::stream::{Timing, closed};
use crate::wire::close::Close;

/// The pieces, and the task that makes them. `end` ends an HTTP/2 stream that nobody reads;
/// an HTTP/1 connection has a deadline for that.
pub(super) fn pieces(events: SseEvents, end: Option<StreamEnd>) -> impl Stream<Item = Bytes> + use<> {
    // One piece stands in line: while it does, no other is asked for.
    let (pieces, mut taken) = mpsc::channel(1);
    let parts = &events.streams().parts;
    let (shutdown, timing) = (parts.shutdown.clone(), parts.timing.clone());
    shutdown.spawn("event stream", fill(events, pieces, timing, end));
    stream::poll_fn(move |context| taken.poll_recv(context))
}

/// Hands out pieces until there are no more, or nobody takes them.
async fn fill(mut events: SseEvents, pieces: mpsc::Sender<Bytes>, timing: Timing, end: Option<StreamEnd>) {
    let mut timer = pin!(sleep_until(events.next_due()));
    loop {
        let next = poll_fn(|context| events.poll_next(context, timer.as_mut()));
        let piece = tokio::select! {
            piece = next => piece,
            () = pieces.closed() => return,
        };
        // There is room, or the client has gone.
        let Some(piece) = piece else { return };
        if pieces.try_send(piece).is_err() {
            return;
        }
        if !is_taken(&pieces, &mut events, &timing).await {
            break;
        }
    }
    // Nothing is followed while the stream is taken down.
    drop(events);
    if let Some(end) = end {
        end.end();
    }
}

/// Waits until what stands in line was taken, for as long as that may take.
async fn is_taken(pieces: &mpsc::Sender<Bytes>, events: &mut SseEvents, timing: &Timing) -> bool {
    let by = Instant::now() + timing.write_wait;
    loop {
        let look_at = by.min(Instant::now() + timing.goodbye);
        if let Ok(room) = timeout_at(look_at, pieces.reserve()).await {
            return room.is_ok();
        }
        let now = Instant::now();
        if now >= by {
            closed(Close::TooSlow);
            return false;
        }
        // It could not be told why.
        if events.check(now).is_err() {
            return false;
        }
    }
}
