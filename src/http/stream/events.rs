//! What goes down one event stream: what is told, heartbeats, and the reason it ends.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::opening::Opening;
use super::{Streams, closed, frames};
use crate::domain::principal::Principal;
use crate::fanout::{Delivery, Form, Kind, Subscription, Told};
use crate::wire::close::Close;

/// Up to so many sessions, every event names the position in each of them.
const MAX_CURSORS: usize = 16;

/// A chunk grows little larger than this, whatever waits.
const CHUNK: usize = 64 * 1024;

/// Clients come back after this, and up to twice as long, so that they do not come all at once.
const RETRY_MS: u64 = 1_000;

/// One session of a stream.
pub(super) struct Watch {
    pub subscription: Subscription,
    /// What was handed out while the stream was opened.
    pub first: Option<Arc<Told>>,
}

/// An event stream.
pub(super) struct Events {
    streams: Arc<Streams>,
    watches: Vec<Watch>,
    form: Form,
    names_all: bool,
    warnings: bool,
    retry_ms: Option<u64>,
    heartbeat: Interval,
    /// Why it ends though nobody acts: the token's end, or the instance's.
    ends: BoxFuture<'static, Close>,
    is_over: bool,
}

impl Events {
    /// A stream whose chunks come in that form, one of the two for event streams.
    pub fn begin(
        streams: Arc<Streams>,
        watches: Vec<Watch>,
        principal: &Principal,
        opening: &Opening,
        form: Form,
    ) -> Self {
        let mut heartbeat = interval_at(Instant::now() + opening.heartbeat, opening.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ends = streams.ends(principal).boxed();
        let spread = u64::try_from(streams.share_of_drain().as_nanos()).unwrap_or(0) % RETRY_MS;
        let names_all = (2..=MAX_CURSORS).contains(&watches.len());
        Self {
            streams,
            watches,
            form,
            names_all,
            warnings: opening.warnings,
            retry_ms: Some(RETRY_MS + spread),
            heartbeat,
            ends,
            is_over: false,
        }
    }

    /// The next chunk; `None` after the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        if let Some(ms) = self.retry_ms.take() {
            return Some(formed(format!("retry: {ms}\n\n").into(), self.form));
        }
        let (watches, warnings) = (&mut self.watches, self.warnings);
        let style = Style { form: self.form, names_all: self.names_all };
        let chunk = tokio::select! {
            biased;
            close = &mut self.ends => self.over(close),
            chunk = poll_fn(|context| told(watches, style, warnings, context)) => match chunk {
                Ok(chunk) => chunk,
                Err(close) => self.over(close),
            },
            _ = self.heartbeat.tick() => self.beat(),
        };
        self.streams.frames_out.increment(1);
        Some(chunk)
    }

    fn beat(&self) -> Bytes {
        let one = self.watches.first().filter(|_| self.watches.len() == 1).map(|watch| &watch.subscription);
        let session = one.map(|subscription| &subscription.key().session);
        let position = one.and_then(Subscription::position);
        let parts = &self.streams.parts;
        let heartbeat = frames::heartbeat(session, position, parts.clock.now(), parts.hub.health());
        formed(event(None, &heartbeat), self.form)
    }

    fn over(&mut self, close: Close) -> Bytes {
        self.is_over = true;
        closed(close);
        let data = format!("{{\"code\":{},\"reason\":\"{}\"}}", close.code(), close.reason());
        formed(format!("event: CLOSE\ndata: {data}\n\n").into(), self.form)
    }
}

impl Streams {
    /// When a stream of that caller ends though nobody acts, and why.
    pub(super) fn ends(&self, principal: &Principal) -> impl Future<Output = Close> + Send + 'static {
        let (clock, expires_at) = (Arc::clone(&self.parts.clock), principal.expires_at);
        let (stop, share) = (self.parts.shutdown.soft(), self.share_of_drain());
        async move {
            let expires = async {
                match expires_at {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = expires => Close::TokenRefused,
                () = async { stop.cancelled().await; tokio::time::sleep(share).await } => Close::GoingAway,
            }
        }
    }
}

/// How a stream is written.
#[derive(Clone, Copy)]
struct Style {
    form: Form,
    names_all: bool,
}

/// What is written at once. Mostly that is one thing, which many streams share.
#[derive(Default)]
struct Chunk {
    only: Bytes,
    many: BytesMut,
}

impl Chunk {
    fn len(&self) -> usize {
        self.only.len() + self.many.len()
    }

    fn add(&mut self, bytes: Bytes) {
        if self.len() == 0 {
            self.only = bytes;
        } else {
            self.many.put(std::mem::take(&mut self.only));
            self.many.put(bytes);
        }
    }

    fn end(self) -> Bytes {
        if self.many.is_empty() { self.only } else { self.many.freeze() }
    }
}

/// What was told in any of the sessions. A session that has ended leaves the stream;
/// the last one ends it.
fn told(
    watches: &mut Vec<Watch>,
    style: Style,
    warnings: bool,
    context: &Context<'_>,
) -> Poll<Result<Bytes, Close>> {
    let mut chunk = Chunk::default();
    let mut at = 0;
    while at < watches.len() && chunk.len() < CHUNK {
        match watches[at].poll(context) {
            Poll::Pending => at += 1,
            Poll::Ready(Delivery::Ended(_)) if chunk.len() > 0 => return Poll::Ready(Ok(chunk.end())),
            Poll::Ready(Delivery::Ended(_)) if watches.len() == 1 => return Poll::Ready(Err(Close::SessionDeleted)),
            Poll::Ready(Delivery::Ended(_)) => drop(watches.remove(at)),
            Poll::Ready(Delivery::Told(told)) if told.kind == Kind::Warnings && !warnings => {}
            Poll::Ready(Delivery::Told(told)) if style.names_all => {
                chunk.add(formed(events(&told, &places(watches)), style.form));
            }
            Poll::Ready(Delivery::Told(told)) => chunk.add(shared(&told, style.form)),
        }
    }
    if chunk.len() == 0 { Poll::Pending } else { Poll::Ready(Ok(chunk.end())) }
}

impl Watch {
    fn poll(&mut self, context: &Context<'_>) -> Poll<Delivery> {
        match self.first.take() {
            Some(first) => Poll::Ready(Delivery::Told(first)),
            None => self.subscription.poll_next(context),
        }
    }
}

/// The position in each session, in the order asked for.
fn places(watches: &[Watch]) -> String {
    let place = |watch: &Watch| watch.subscription.position().map_or("-".to_owned(), |at| at.to_string());
    watches.iter().map(place).collect::<Vec<_>>().join(",")
}

/// What was told, as all who follow one session get it.
fn shared(told: &Told, form: Form) -> Bytes {
    let place = |told: &Told| told.position.map(|at| at.to_string()).unwrap_or_default();
    told.written(form, |told| formed(events(told, &place(told)), form))
}

/// Its frames as events; the last one names the place, unless it has none.
fn events(told: &Told, id: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(told.size() + 128);
    for (frame, left) in told.frames.iter().zip((0..told.frames.len()).rev()) {
        let id = Some(id).filter(|_| left == 0 && told.position.is_some());
        out.put(event(id, frame));
    }
    out.freeze()
}

/// As it goes out: where we write the body ourselves, in chunks (RFC 9112, section 7.1).
fn formed(events: Bytes, form: Form) -> Bytes {
    if form != Form::EventChunk {
        return events;
    }
    let mut out = BytesMut::with_capacity(events.len() + 16);
    out.put_slice(format!("{:x}\r\n", events.len()).as_bytes());
    out.put(events);
    out.put_slice(b"\r\n");
    out.freeze()
}

/// One event. No frame holds a line feed, so its data is one line.
fn event(id: Option<&str>, frame: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(frame.len() + 96);
    if let Some(id) = id {
        out.put_slice(b"id: ");
        out.put_slice(id.as_bytes());
        out.put_u8(b'\n');
    }
    out.put_slice(b"event: ");
    out.put_slice(kind(frame));
    out.put_slice(b"\ndata: ");
    out.put_slice(frame);
    out.put_slice(b"\n\n");
    out.freeze()
}

/// The type a frame begins with.
fn kind(frame: &[u8]) -> &[u8] {
    const HEAD: usize = br#"{"type":""#.len();
    let rest = frame.get(HEAD..).unwrap_or_default();
    rest.split(|byte| *byte == b'"').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_what_a_browser_reads() {
        let frame = br#"{"type":"STATE_SYNC","payload":{}}"#;
        let written = event(Some("5-7"), frame);
        assert_eq!(&written[..], b"id: 5-7\nevent: STATE_SYNC\ndata: {\"type\":\"STATE_SYNC\",\"payload\":{}}\n\n");
        assert_eq!(&event(None, frame)[..7], b"event: ");
    }

    #[test]
    fn a_chunk_says_how_long_it_is() {
        assert_eq!(&formed(Bytes::from("x".repeat(26)), Form::EventChunk)[..4], b"1a\r\n");
        assert_eq!(&formed(Bytes::from_static(b"x"), Form::EventStream)[..], b"x");
    }

    #[test]
    fn what_is_written_at_once_keeps_its_order_and_one_thing_is_not_copied() {
        let mut chunk = Chunk::default();
        let first = Bytes::from_static(b"1");
        chunk.add(first.clone());
        assert_eq!(chunk.only.as_ptr(), first.as_ptr());
        chunk.add(Bytes::from_static(b"2"));
        chunk.add(Bytes::from_static(b"3"));
        assert_eq!(&chunk.end()[..], b"123");
    }
}
