//! A poll that waits on its connection alone.
//!
//! A client that polls asks for the same again and again on one connection, with a newer
//! cursor. Such a connection stays here from answer to answer: what is told goes out to
//! everyone in the same bytes. Whatever is not plainly the next poll, or not plainly
//! answered, goes back to the library, which asks the handler anew.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use metrics::Histogram;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};

use super::Streams;
use super::again::Again;
use super::poll::Waited;
use super::polled::Polled;
use crate::domain::principal::Principal;
use crate::fanout::{Delivery, Form, Kind, Subscription, Told};
use crate::http::connection::handover::{Handover, Taken};
use crate::http::connection::idle::Idle;
use crate::telemetry::metrics as names;

/// A poll that waits for news.
pub struct Parked {
    pub streams: Arc<Streams>,
    pub subscription: Subscription,
    pub principal: Arc<Principal>,
    pub patience: Duration,
    /// What it is answered with at once.
    pub first: Option<Waited>,
}

/// A parked poll, and what it needs to go on from answer to answer.
struct Polling {
    parked: Parked,
    request: Bytes,
    /// The same, if it may be asked from somewhere else.
    again: Option<Again>,
    form: Form,
    /// The client names its requests itself.
    is_named: bool,
    answered: Histogram,
}

impl Parked {
    /// Goes on with the request's connection, if it can be taken; else gives itself back.
    pub fn park(self, parts: &mut Parts) -> Result<Response, Box<Self>> {
        let Some(handover) = Handover::of(parts) else { return Err(Box::new(self)) };
        let request = handover.request(&parts.headers);
        let again = Again::of(request.clone());
        let form = if takes_gzip(&parts.headers) { Form::PollAnswerZipped } else { Form::PollAnswer };
        let route = parts.extensions.get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
        let answered = names::requests(route, "GET", 200);
        let is_named = parts.headers.contains_key("x-request-id");
        let polling = Box::new(Polling { parked: self, request, again, form, is_named, answered });
        Ok(handover.accept(Response::new(Body::empty()), Box::new(|taken| Box::pin(polling.serve(taken)))))
    }
}

impl Polling {
    async fn serve(mut self: Box<Self>, taken: Taken) -> Option<Idle> {
        let Taken { mut idle, head } = taken;
        let mut head = Head::of(&head, self.is_named);
        let stop = self.parked.streams.parts.shutdown.soft();
        let mut asked_at = Instant::now();
        loop {
            let Parked { streams, subscription, principal, patience, first } = &mut self.parked;
            let waited = if let Some(first) = first.take() {
                Some(first)
            } else {
                tokio::select! {
                    waited = streams.wait(subscription, principal, *patience) => waited.ok(),
                    () = idle.left() => return None,
                }
            };
            let Some(answer) = self.answer(waited).await else { return Some(self.asking_again(idle)) };
            self.write(&mut idle, head.next(stop.is_cancelled()), answer).await.ok()?;
            self.answered.record(asked_at.elapsed());
            idle = Box::pin(idle.read(&stop)).await?;
            asked_at = Instant::now();
            let Some(length) = self.next(&idle.read) else { return Some(idle) };
            // What follows holds the memory of all that was read with it.
            idle.read = Bytes::copy_from_slice(&idle.read[length..]);
        }
    }

    /// The answer; `None` where it takes the handler to say what that is.
    async fn answer(&mut self, waited: Option<Waited>) -> Option<Bytes> {
        let now = self.parked.streams.parts.clock.now();
        let zipped = self.form == Form::PollAnswerZipped;
        match waited? {
            Waited::Told(Delivery::Told(told)) if self.parked.subscription.is_up_to_date() && is_whole(&told) => {
                Some(told.written(self.form, |told| of_one(told).written(now, zipped)))
            }
            waited => {
                let Parked { streams, subscription, .. } = &mut self.parked;
                let answer = streams.answer(subscription, waited).await.ok()?;
                Some(answer.written(now, zipped))
            }
        }
    }

    async fn write(&self, idle: &mut Idle, head: Bytes, answer: Bytes) -> io::Result<()> {
        let within = self.parked.streams.parts.timing.write_wait;
        timeout(within, idle.io.write_all_buf(&mut head.chain(answer))).await?
    }

    /// How long the next request's head is, if that asks for the same from here on.
    fn next(&self, read: &[u8]) -> Option<usize> {
        let Parked { streams, subscription, principal, .. } = &self.parked;
        let (since, length) = self.again.as_ref()?.since(read)?;
        let now = streams.parts.clock.now();
        let is_plain = subscription.position() == Some(since)
            && principal.expires_at.is_none_or(|at| now < at)
            && !streams.parts.shutdown.is_begun();
        is_plain.then_some(length)
    }

    /// The request is asked once more, of the handler.
    fn asking_again(self: Box<Self>, mut idle: Idle) -> Idle {
        let since = self.parked.subscription.position().zip(self.again);
        let request = since.map_or(self.request, |(since, again)| again.from(since).into());
        idle.read = [&request[..], &idle.read].concat().into();
        idle
    }
}

/// Whether everything a poll is answered with is in it.
fn is_whole(told: &Told) -> bool {
    told.kind == Kind::Write && told.position.is_some() && told.snapshot().is_some()
}

fn of_one(told: &Told) -> Polled {
    let session = told.snapshot().map(|snapshot| &snapshot[..]);
    Polled::new(told.position.unwrap_or_default(), false, &told.frames, session, Duration::ZERO)
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
        let from = head.windows(NAME.len()).position(|window| window == NAME).map_or(head.len(), |at| at + NAME.len());
        let length = head[from..].iter().position(|byte| *byte == b'\r').unwrap_or_default();
        let part = Bytes::copy_from_slice;
        let (before, id, after) = (part(&head[..from]), part(&head[from..from + length]), part(&head[from + length..]));
        Self { before, id, after, is_named, answers: 0 }
    }

    fn next(&mut self, is_last: bool) -> Bytes {
        let mut out = BytesMut::with_capacity(self.before.len() + self.id.len() + self.after.len() + 32);
        out.put_slice(&self.before);
        out.put_slice(&self.id);
        if self.answers > 0 && !self.id.is_empty() && !self.is_named {
            out.put_slice(format!(".{}", self.answers).as_bytes());
        }
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
        assert_eq!(&head.next(false)[..], HEAD);
        assert_eq!(&head.next(false)[..], b"HTTP/1.1 200 OK\r\nx-request-id: ab.1\r\nother: 1\r\n");
        let mut named = Head::of(HEAD, true);
        assert_eq!((&named.next(false)[..], &named.next(false)[..]), (HEAD, HEAD));
        let mut plain = Head::of(b"HTTP/1.1 200 OK\r\n", false);
        assert_eq!(&plain.next(false)[..], b"HTTP/1.1 200 OK\r\n");
        assert_eq!(&plain.next(true)[..], b"HTTP/1.1 200 OK\r\nconnection: close\r\n");
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
