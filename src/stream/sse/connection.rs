//! An event stream on its connection alone: one task, one timer, no buffer.
//!
//! What is written must have gone out before the next is asked for. So whoever does not
//! read holds a place in a ring instead of memory.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::events::SseEvents;
use crate::net::idle::Idle;
use crate::net::socket::ClientSocket;
use crate::net::takeover::TakenConnection;
use crate::stream::write_queue::WriteQueue;
use crate::stream::{Timing, closed};
use crate::wire::close::Close;

/// The chunk that ends a body (RFC 9112, section 7.1).
const LAST_CHUNK: Bytes = Bytes::from_static(b"0\r\n\r\n");

/// A stream that is being written.
struct SseConnection {
    io: ClientSocket,
    outgoing: WriteQueue,
    events: SseEvents,
    timing: Timing,
    /// Until when what stands in line must have gone out.
    write_by: Option<Instant>,
}

/// Writes events until they end, or the client has gone or does not read. The connection
/// is not used again.
pub(super) fn serve(events: SseEvents, taken: TakenConnection) -> BoxFuture<'static, Option<Idle>> {
    let TakenConnection { idle, mut head } = taken;
    head.put_slice(b"\r\n");
    let mut outgoing = WriteQueue::default();
    outgoing.push(head.freeze());
    let timing = events.streams().parts.timing.clone();
    let streaming = Box::new(SseConnection { io: idle.io, outgoing, events, timing, write_by: None });
    Box::pin(streaming.serve().map(|()| None))
}

impl SseConnection {
    async fn serve(mut self: Box<Self>) {
        let is_told = {
            let mut timer = pin!(sleep_until(self.events.next_due()));
            poll_fn(|context| self.poll(context, timer.as_mut())).await
        };
        if is_told {
            self.goodbye().await;
        }
    }

    /// Ready once nothing more is to be written; whether the client has heard it all.
    fn poll(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<bool> {
        loop {
            match self.outgoing.poll_flush(&mut self.io, context) {
                Poll::Ready(Ok(())) => self.write_by = None,
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return self.poll_stalled(context, timer).map(|()| false),
            }
            if self.io.poll_gone(context).is_ready() {
                return Poll::Ready(false);
            }
            while self.outgoing.has_room() {
                match self.events.poll_next(context, timer.as_mut()) {
                    Poll::Ready(Some(piece)) => self.outgoing.push(piece),
                    Poll::Ready(None) if self.outgoing.is_empty() => return Poll::Ready(true),
                    Poll::Pending if self.outgoing.is_empty() => return Poll::Pending,
                    _ => break,
                }
            }
        }
    }

    /// Ready once there is no more waiting for a client that does not read.
    fn poll_stalled(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<()> {
        let wait = self.timing.write_wait;
        let by = *self.write_by.get_or_insert_with(|| Instant::now() + wait);
        loop {
            let now = Instant::now();
            if now >= by {
                closed(Close::TooSlow);
                return Poll::Ready(());
            }
            // It could not be told why.
            if self.events.check(now).is_err() {
                return Poll::Ready(());
            }
            // A heartbeat that is overdue is no reason to look all the time.
            timer.as_mut().reset(by.min(now + self.timing.goodbye));
            ready!(timer.as_mut().poll(context));
        }
    }

    /// Ends the body and waits a little: whoever closes with something unread takes back
    /// what the other side has not read yet.
    async fn goodbye(&mut self) {
        let within = self.timing.goodbye;
        let going = async {
            self.io.write_all(&LAST_CHUNK).await?;
            self.io.shutdown().await?;
            poll_fn(|context| self.io.poll_gone(context)).await;
            io::Result::Ok(())
        };
        // It was said; whether it was heard is the client's business.
        let _ = timeout(within, going).await;
    }
}
