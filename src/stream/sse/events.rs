//! What goes down one event stream: what is told, heartbeats, and the reason it ends.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::time::{Instant, Sleep};

use crate::domain::id::SessionId;
use crate::domain::principal::Principal;
use crate::fanout::{Delivery, Encoding, EndReason, Update, UpdateKind};
use crate::limits::StreamPermits;
use crate::stream::feed::Feed;
use crate::stream::lifetime::{Lifetime, Standing};
use crate::stream::params::StreamParams;
use crate::stream::{Streams, closed, frames};
use crate::wire::close::Close;

/// Up to so many sessions, every event names the position in each of them.
const MAX_CURSORS: usize = 16;

/// Clients come back after this, and up to twice as long, so that they do not come all at once.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// One feed of a stream.
pub(super) struct WatchedFeed {
    pub feed: Box<dyn Feed>,
    /// What was handed out while the stream was opened.
    pub first: Option<Arc<Update>>,
    /// Its place among the sessions asked for.
    pub index: usize,
}

/// The sessions of a stream that is to begin.
pub(super) struct WatchList {
    pub watches: Vec<WatchedFeed>,
    /// Those that are not there.
    pub unknown: Vec<SessionId>,
    /// How many were asked for.
    pub asked: usize,
}

/// An event stream.
pub struct SseEvents {
    streams: Arc<Streams>,
    watches: Vec<WatchedFeed>,
    /// Sessions to be told of as not there.
    unknown: Vec<SessionId>,
    /// How many were asked for: a cursor has a place for each, also for those that have gone.
    asked: usize,
    /// Who is asked first, so that a busy session does not keep the others waiting.
    turn: usize,
    form: Encoding,
    warnings: bool,
    retry_ms: Option<u64>,
    heartbeat: Duration,
    heartbeat_at: Instant,
    lifetime: Lifetime,
    client: SseClient,
    is_over: bool,
}

/// Who is at the other end.
pub struct SseClient {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// Where it calls from.
    pub address: IpAddr,
    /// Its places among the streams that there may be.
    pub permits: Vec<StreamPermits>,
}

impl SseEvents {
    /// A stream whose pieces come in that form, one of the two for event streams.
    pub(super) fn begin(
        streams: Arc<Streams>,
        WatchList { watches, unknown, asked }: WatchList,
        client: SseClient,
        opening: &StreamParams,
        form: Encoding,
    ) -> Self {
        let spread = u64::try_from(streams.share_of(RECONNECT_DELAY).as_millis()).unwrap_or(0);
        Self {
            lifetime: Lifetime::of(&client.principal, streams.parts.clock.now()),
            client,
            streams,
            watches,
            unknown,
            asked,
            turn: 0,
            form,
            warnings: opening.warnings,
            retry_ms: Some(RECONNECT_DELAY.as_secs() * 1_000 + spread),
            heartbeat: opening.heartbeat,
            heartbeat_at: Instant::now() + opening.heartbeat,
            is_over: false,
        }
    }

    /// All streams of the instance.
    pub(super) fn streams(&self) -> &Streams {
        &self.streams
    }

    /// The next piece; `None` after the end. `timer` is for this stream alone.
    pub fn poll_next(&mut self, context: &mut Context<'_>, timer: Pin<&mut Sleep>) -> Poll<Option<Bytes>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(ms) = self.retry_ms.take() {
            return Poll::Ready(Some(self.greeting(ms)));
        }
        self.lifetime.prepare_to_leave(&self.streams);
        let standing = self.lifetime.standing(&self.streams, &self.client.principal, self.client.address);
        let due = self.poll_due(context, timer);
        let piece = match standing.close().map_or(due, |close| Poll::Ready(Err(close))) {
            Poll::Ready(due) => due,
            Poll::Pending if standing == Standing::Unknown => return Poll::Pending,
            Poll::Pending => ready!(self.poll_told(context)),
        };
        self.streams.frames_out.increment(1);
        Poll::Ready(Some(piece.unwrap_or_else(|close| self.over(close))))
    }

    /// What is due by the clock.
    fn poll_due(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<Result<Bytes, Close>> {
        loop {
            // It may go off for nothing; it must not go off late.
            let next = self.next_due();
            if next < timer.deadline() {
                timer.as_mut().reset(next);
            }
            ready!(timer.as_mut().poll(context));
            let now = Instant::now();
            self.check(now)?;
            let is_beat = now >= self.heartbeat_at;
            if is_beat {
                self.heartbeat_at = now + self.heartbeat;
            }
            timer.as_mut().reset(self.next_due());
            if is_beat {
                return Poll::Ready(Ok(self.beat()));
            }
        }
    }

    /// Whether it may go on.
    pub fn check(&mut self, now: Instant) -> Result<(), Close> {
        self.lifetime.look_at_token(self.streams.parts.clock.now())?;
        if self.lifetime.standing(&self.streams, &self.client.principal) == Standing::Revoked {
            return Err(Close::TokenRefused);
        }
        if self.lifetime.is_to_leave(now) { Err(Close::GoingAway) } else { Ok(()) }
    }

    /// When it has something to do by the clock.
    pub fn next_due(&self) -> Instant {
        let others = [self.lifetime.token_at(), self.lifetime.leave_at()];
        others.into_iter().flatten().fold(self.heartbeat_at, Instant::min)
    }

    /// What is told next in any of the sessions. One that has ended leaves the stream;
    /// the last one ends it.
    fn poll_told(&mut self, context: &Context<'_>) -> Poll<Result<Bytes, Close>> {
        if let Some(session) = self.unknown.pop() {
            return Poll::Ready(Ok(self.not_found(&session)));
        }
        if self.watches.is_empty() {
            return Poll::Ready(Err(Close::NoSuchSession));
        }
        let mut asked = 0;
        while asked < self.watches.len() {
            let at = (self.turn + asked) % self.watches.len();
            match self.watches[at].poll(context) {
                Poll::Pending => asked += 1,
                Poll::Ready(Delivery::Ended(ended)) => {
                    let left = self.watches.remove(at);
                    if let Some(session) = left.feed.session()
                        && ended == EndReason::Missing
                        && self.asked > 1
                    {
                        return Poll::Ready(Ok(self.not_found(session)));
                    }
                    if self.watches.is_empty() {
                        return Poll::Ready(Err(close_of(ended)));
                    }
                }
                Poll::Ready(Delivery::Update(told)) if told.kind == UpdateKind::Warnings && !self.warnings => {}
                Poll::Ready(Delivery::Update(told)) => {
                    self.turn = at + 1;
                    return Poll::Ready(Ok(self.written(&told)));
                }
            }
        }
        Poll::Pending
    }

    /// With the positions of all, where a few share the stream.
    fn written(&self, told: &Update) -> Bytes {
        if (2..=MAX_CURSORS).contains(&self.asked) {
            formed(events(told, &places(&self.watches, self.asked)), self.form)
        } else {
            shared(told, self.form)
        }
    }

    fn not_found(&self, session: &SessionId) -> Bytes {
        formed(event(None, &frames::session_not_found(session)), self.form)
    }

    /// When to come back. Whoever has missed nothing gets a sign of life with it: a stream
    /// that something on the way holds back is known at once by what does not come.
    fn greeting(&self, retry_ms: u64) -> Bytes {
        let mut out = BytesMut::from(format!("retry: {retry_ms}\n\n").as_bytes());
        if self.watches.iter().all(|watch| watch.first.is_none()) {
            out.put(self.sign_of_life());
        }
        formed(out.freeze(), self.form)
    }

    fn beat(&self) -> Bytes {
        formed(self.sign_of_life(), self.form)
    }

    fn sign_of_life(&self) -> Bytes {
        let one = self.watches.first().filter(|_| self.asked == 1).map(|watch| &watch.feed);
        let session = one.and_then(|feed| feed.session());
        let position = one.and_then(|feed| feed.position());
        let parts = &self.streams.parts;
        event(None, &frames::heartbeat(session, position, parts.clock.now(), parts.hub.health()))
    }

    fn over(&mut self, close: Close) -> Bytes {
        self.is_over = true;
        closed(close);
        let data = format!("{{\"code\":{},\"reason\":\"{}\"}}", close.code(), close.reason());
        formed(format!("event: CLOSE\ndata: {data}\n\n").into(), self.form)
    }
}

impl WatchedFeed {
    fn poll(&mut self, context: &Context<'_>) -> Poll<Delivery> {
        match self.first.take() {
            Some(first) => Poll::Ready(Delivery::Update(first)),
            None => self.feed.poll_next(context),
        }
    }
}

/// The position in each session, in the order asked for; a dash for one that has none.
fn places(watches: &[WatchedFeed], asked: usize) -> String {
    let mut places = vec!["-".to_owned(); asked];
    for WatchedFeed { feed, index, .. } in watches {
        if let Some(position) = feed.position() {
            places[*index] = position.to_string();
        }
    }
    places.join(",")
}

fn close_of(ended: EndReason) -> Close {
    match ended {
        EndReason::Deleted => Close::SessionDeleted,
        EndReason::Missing => Close::NoSuchSession,
    }
}

/// What was told, as all who follow one session get it.
fn shared(told: &Update, form: Encoding) -> Bytes {
    let place = |told: &Update| told.position.map(|at| at.to_string()).unwrap_or_default();
    told.encoded(form, |told| formed(events(told, &place(told)), form))
}

/// Its frames as events; the last one names the place, unless it has none.
fn events(told: &Update, id: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(told.size() + 128);
    for (frame, left) in told.frames.iter().zip((0..told.frames.len()).rev()) {
        let id = Some(id).filter(|_| left == 0 && told.position.is_some());
        out.put(event(id, frame));
    }
    out.freeze()
}

/// As it goes out: where we write the body ourselves, in chunks (RFC 9112, section 7.1).
fn formed(events: Bytes, form: Encoding) -> Bytes {
    if form != Encoding::EventChunk {
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
        assert_eq!(&formed(Bytes::from("x".repeat(26)), Encoding::EventChunk)[..4], b"1a\r\n");
        assert_eq!(&formed(Bytes::from_static(b"x"), Encoding::EventStream)[..], b"x");
    }
}
