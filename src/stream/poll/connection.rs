//! A poll that waits on its connection alone.
//!
//! A client that polls asks for the same again and again on one connection, with a newer
//! cursor. Such a connection stays here from answer to answer: what is told goes out to
//! everyone in the same bytes. Whatever is not plainly the next poll goes back to the
//! library, which asks the handler anew. Nothing that was parsed once is parsed again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use metrics::Histogram;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};

use super::long_poll::{LongPoll, PollCaller};
use super::repeat::RepeatedRequest;
use super::response::PollResponse;
use super::wait::PollOutcome;
use crate::fanout::{Delivery, Encoding, Update, UpdateKind};
use crate::limits::Class;
use crate::net::idle::Idle;
use crate::net::takeover::{Continuation, TakenConnection};
use crate::stream::Streams;
use crate::telemetry::metrics as names;
use crate::wire::api_error::ApiError;
use crate::wire::instant;

/// The request that a poll came with.
pub struct PollRequest<'a> {
    /// Its head byte for byte, where that is known for certain.
    pub head: Option<Bytes>,
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// Its route, as the metrics call it.
    pub route: &'a str,
}

/// A poll on its connection, and what it needs to go on from answer to answer.
struct PollConnection {
    poll: LongPoll,
    /// What the same request looks like, from somewhere else.
    again: Option<RepeatedRequest>,
    form: Encoding,
    /// The client names its requests itself.
    is_named: bool,
    route: Box<str>,
    answered: Histogram,
}

impl LongPoll {
    /// Waits on its connection alone, from answer to answer.
    pub fn on_connection(self, request: &PollRequest<'_>) -> Continuation {
        let connection = Box::new(PollConnection::new(self, request));
        Box::new(|taken| Box::pin(connection.serve(taken)))
    }
}

impl PollConnection {
    fn new(poll: LongPoll, request: &PollRequest<'_>) -> Self {
        let PollRequest { head, headers, route } = request;
        Self {
            poll,
            again: head.clone().and_then(RepeatedRequest::of),
            form: if takes_gzip(headers) { Encoding::PollAnswerZipped } else { Encoding::PollAnswer },
            is_named: headers.contains_key("x-request-id"),
            route: (*route).into(),
            answered: names::request_histogram(route, "GET", 200),
        }
    }

    async fn serve(mut self: Box<Self>, taken: TakenConnection) -> Option<Idle> {
        let TakenConnection { mut idle, head } = taken;
        let mut head = Head::of(&head, self.is_named);
        let stop = self.poll.streams.parts.shutdown.soft();
        let mut asked_at = Instant::now();
        let mut limited = None;
        loop {
            let LongPoll { streams, feed, caller, timeout, first } = &mut self.poll;
            let waited = if let Some(limited) = limited.take() {
                Err(limited)
            } else if let Some(first) = first.take() {
                Ok(first)
            } else {
                tokio::select! {
                    waited = streams.wait(&mut **feed, caller, *timeout) => waited,
                    () = idle.left() => return None,
                }
            };
            let answer = match waited {
                Ok(waited) => self.answer(waited).await,
                Err(error) => Err(error),
            };
            let is_last = stop.is_cancelled();
            match answer {
                Ok(answer) => {
                    self.write(&mut idle, head.next(StatusCode::OK, is_last), answer).await.ok()?;
                    self.answered.record(asked_at.elapsed());
                }
                Err(error) => {
                    let (status, refusal) = self.refusal(error, head.id());
                    self.write(&mut idle, head.next(status, is_last), refusal).await.ok()?;
                    names::record_request(&self.route, "GET", status.as_u16(), asked_at.elapsed());
                    return (!is_last).then_some(idle);
                }
            }
            idle = Box::pin(idle.read(&stop)).await?;
            asked_at = Instant::now();
            let Some(length) = self.next(&idle.read) else { return Some(idle) };
            // What follows holds the memory of all that was read with it.
            idle.read = Bytes::copy_from_slice(&idle.read[length..]);
            // No layer has seen it, and it is a request like any other.
            let LongPoll { streams, caller, .. } = &self.poll;
            limited = admit_again(streams, caller).err();
        }
    }

    async fn answer(&mut self, waited: PollOutcome) -> Result<Bytes, ApiError> {
        let now = self.poll.streams.parts.clock.now();
        let zipped = self.form == Encoding::PollAnswerZipped;
        match waited {
            PollOutcome::Told(Delivery::Update(told)) if self.poll.feed.is_up_to_date() && is_whole(&told) => {
                Ok(told.encoded(self.form, |told| of_one(told).written(now, zipped)))
            }
            waited => {
                let LongPoll { streams, feed, .. } = &mut self.poll;
                let answer = streams.answer(&mut **feed, waited).await?;
                Ok(answer.written(now, zipped))
            }
        }
    }

    /// A problem, as the layers would have written it behind their headers.
    fn refusal(&self, ApiError(mut problem): ApiError, id: String) -> (StatusCode, Bytes) {
        problem.request_id = id;
        let body = problem.json();
        let mut out = BytesMut::with_capacity(body.len() + 256);
        for (name, value) in problem.headers() {
            out.put_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        let date = instant::http_date(self.poll.streams.now());
        let length = body.len();
        out.put_slice(
            format!("content-type: application/problem+json\r\ncontent-length: {length}\r\ndate: {date}\r\n\r\n")
                .as_bytes(),
        );
        out.put_slice(&body);
        (StatusCode::from_u16(problem.of.status()).unwrap_or_default(), out.freeze())
    }

    async fn write(&self, idle: &mut Idle, head: Bytes, answer: Bytes) -> io::Result<()> {
        let within = self.poll.streams.parts.timing.write_wait;
        timeout(within, idle.io.write_all_buf(&mut head.chain(answer))).await?
    }

    /// How long the next request's head is, if that asks for the same from here on.
    fn next(&self, read: &[u8]) -> Option<usize> {
        let LongPoll { streams, feed, caller, .. } = &self.poll;
        let (since, length) = self.again.as_ref()?.since(read)?;
        let now = streams.parts.clock.now();
        let is_plain = feed.position() == Some(since)
            && streams.parts.authenticator.still_valid(Arc::clone(&caller.principal), now).is_ok()
            && !streams.parts.shutdown.is_begun();
        is_plain.then_some(length)
    }
}

/// Whether the next poll of a caller is let in, as a request would be.
fn admit_again(streams: &Streams, caller: &PollCaller) -> Result<(), ApiError> {
    streams.addresses().check(caller.address)?;
    streams.addresses().check_tenant(&caller.principal, caller.address)?;
    Ok(streams.count(Class::Read, &caller.principal, caller.address)?)
}

/// Whether everything a poll is answered with is in it.
fn is_whole(told: &Update) -> bool {
    told.kind == UpdateKind::Write && told.position.is_some() && told.snapshot().is_some()
}

fn of_one(told: &Update) -> PollResponse {
    let session = told.snapshot().map(|snapshot| &snapshot[..]);
    PollResponse::new(told.position.unwrap_or_default(), false, &told.frames, session, Duration::ZERO)
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    let mut codings = values.flat_map(|value| value.split(',')).map(|coding| coding.replace(' ', ""));
    codings.any(|coding| coding == "gzip" || coding.starts_with("gzip;q=0.") || coding.starts_with("gzip;q=1"))
}

/// What every answer on a connection begins with: the status line and what the layers
/// said, each with an id of its own.
struct Head {
    before: Bytes,
    id: Bytes,
    after: Bytes,
    is_named: bool,
    answers: u32,
}

impl Head {
    fn of(head: &[u8], is_named: bool) -> Self {
        const NAME: &[u8] = b"x-request-id: ";
        let headers = head.windows(2).position(|pair| pair == b"\r\n").map_or(head.len(), |end| end + 2);
        let head = &head[headers..];
        let from = head.windows(NAME.len()).position(|window| window == NAME).map_or(head.len(), |at| at + NAME.len());
        let length = head[from..].iter().position(|byte| *byte == b'\r').unwrap_or_default();
        let part = Bytes::copy_from_slice;
        let (before, id, after) = (part(&head[..from]), part(&head[from..from + length]), part(&head[from + length..]));
        Self { before, id, after, is_named, answers: 0 }
    }

    /// The id of the next answer; empty if the layers gave none.
    fn id(&self) -> String {
        let id = String::from_utf8_lossy(&self.id);
        let is_first = self.answers == 0 || id.is_empty() || self.is_named;
        if is_first { id.into_owned() } else { format!("{id}.{}", self.answers) }
    }

    fn next(&mut self, status: StatusCode, is_last: bool) -> Bytes {
        let mut out = BytesMut::with_capacity(self.before.len() + self.id.len() + self.after.len() + 64);
        let reason = status.canonical_reason().unwrap_or_default();
        out.put_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
        out.put_slice(&self.before);
        out.put_slice(self.id().as_bytes());
        out.put_slice(&self.after);
        if is_last {
            out.put_slice(b"connection: close\r\n");
        }
        self.answers += 1;
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_on_one_connection_have_ids_of_their_own() {
        const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nx-request-id: ab\r\nother: 1\r\n";
        let mut head = Head::of(HEAD, false);
        assert_eq!(&head.next(StatusCode::OK, false)[..], HEAD);
        assert_eq!(&head.next(StatusCode::OK, false)[..], b"HTTP/1.1 200 OK\r\nx-request-id: ab.1\r\nother: 1\r\n");
        let mut named = Head::of(HEAD, true);
        assert_eq!((&named.next(StatusCode::OK, false)[..], &named.next(StatusCode::OK, false)[..]), (HEAD, HEAD));
        let mut plain = Head::of(b"HTTP/1.1 200 OK\r\n", false);
        assert_eq!(&plain.next(StatusCode::OK, false)[..], b"HTTP/1.1 200 OK\r\n");
        assert_eq!(&plain.next(StatusCode::OK, true)[..], b"HTTP/1.1 200 OK\r\nconnection: close\r\n");
        assert_eq!(&plain.next(StatusCode::NOT_FOUND, false)[..], b"HTTP/1.1 404 Not Found\r\n");
        assert_eq!(head.id(), "ab.2");
    }

    #[test]
    fn who_takes_gzip_says_so() {
        for (value, takes) in
            [("gzip", true), ("br, gzip;q=0.5", true), ("gzip; q=1.0", true), ("gzip;q=0", false), ("br", false)]
        {
            let headers: HeaderMap = [(header::ACCEPT_ENCODING, value.parse().unwrap())].into_iter().collect();
            assert_eq!(takes_gzip(&headers), takes, "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
