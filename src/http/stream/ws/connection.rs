//! One WebSocket: one task, one timer, and a turn that does what there is to do.
//!
//! What is written must have gone out before anything else is looked at. So whoever
//! does not read is not read from either, and holds a place in a ring instead of memory.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use super::codec;
use super::codec::Incoming;
use super::commanding::Commanding;
use super::feed::{Fed, Feed};
use super::pulse::Pulse;
use super::socket::{Lost, Socket};
use crate::domain::id::SessionId;
use crate::domain::principal::Principal;
use crate::fanout::{Ended, Form, Kind};
use crate::http::error::ApiError;
use crate::http::stream::frames::Regarding;
use crate::http::stream::lifetime::Lifetime;
use crate::http::stream::opening::Opening;
use crate::http::stream::{Streams, frames};
use crate::wire::close::Close;
use crate::wire::problem::Code;

/// Messages taken from a client before others get their turn.
const MESSAGES_AT_ONCE: usize = 16;

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// We close it.
    Close(Close),
    /// The client did, or the network.
    Gone,
}

impl From<Close> for End {
    fn from(close: Close) -> Self {
        Self::Close(close)
    }
}

/// One WebSocket.
pub struct Connection<S> {
    pub(super) streams: Arc<Streams>,
    pub(super) socket: Socket<S>,
    pub(super) principal: Arc<Principal>,
    pub(super) feed: Feed,
    pub(super) pulse: Pulse,
    /// While there are commands.
    pub(super) commanding: Option<Box<Commanding>>,
    pub(super) lifetime: Lifetime,
    pub(super) write_by: Option<Instant>,
    pub(super) state_by: Option<Instant>,
    pub(super) not_understood: u8,
    wants_warnings: bool,
}

/// Serves a connection until it ends.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    streams: Arc<Streams>,
    socket: Socket<S>,
    principal: Arc<Principal>,
    feed: Feed,
    opening: Opening,
) {
    let mut connection = Connection::new(streams, socket, principal, feed, &opening);
    let mut timer = pin!(sleep_until(connection.next_due()));
    let end = poll_fn(|context| connection.poll(context, timer.as_mut())).await;
    // Nothing is followed while the last words are said.
    let Connection { mut socket, streams, .. } = connection;
    if let End::Close(close) = end {
        let by = Instant::now() + streams.parts.timing.goodbye;
        super::goodbye(&mut socket, close, timer, by).await;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(streams: Arc<Streams>, socket: Socket<S>, principal: Arc<Principal>, feed: Feed, opening: &Opening) -> Self {
        let now = Instant::now();
        Self {
            socket,
            pulse: Pulse::start(opening.heartbeat, now),
            commanding: None,
            lifetime: Lifetime::of(&principal, streams.parts.clock.now()),
            write_by: None,
            state_by: feed.session().map(|_| now + streams.parts.timing.state_wait),
            not_understood: 0,
            wants_warnings: opening.warnings,
            streams,
            principal,
            feed,
        }
    }

    /// Does what there is to do; ready once the connection ends.
    fn poll(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<End> {
        loop {
            match self.turn(context, timer.as_mut()) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(end) => return Poll::Ready(end),
            }
        }
    }

    /// One turn. Whether anything was done, so that there may be more.
    fn turn(&mut self, context: &mut Context<'_>, timer: Pin<&mut Sleep>) -> Result<bool, End> {
        let is_written = self.flush(context)?;
        // A command under way goes on, also while its client does not read: it may hold
        // up others.
        let mut went_on = self.take_answers(context);
        if is_written {
            self.lifetime.prepare_to_leave(&self.streams);
            went_on |= self.take_news(context)?;
            went_on |= self.take_messages(context)?;
        }
        went_on |= self.take_due(context, timer)?;
        Ok(went_on)
    }

    /// Whether everything has gone out.
    fn flush(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        match self.socket.poll_flush(context) {
            Poll::Ready(Ok(())) => {
                self.write_by = None;
                Ok(true)
            }
            Poll::Ready(Err(_)) => Err(End::Gone),
            Poll::Pending => {
                let wait = self.streams.parts.timing.write_wait;
                self.write_by.get_or_insert_with(|| Instant::now() + wait);
                Ok(false)
            }
        }
    }

    fn take_answers(&mut self, context: &mut Context<'_>) -> bool {
        let Some(commanding) = &mut self.commanding else { return false };
        let Poll::Ready((regarding, answer)) = commanding.poll_answer(&self.streams.parts.commands, context) else {
            return false;
        };
        if commanding.is_idle() {
            self.commanding = None;
        }
        match answer {
            Ok(answer) if regarding.id.is_some() => self.say(&frames::ack(&regarding, &answer)),
            Ok(_) => {}
            Err(problem) => self.say(&frames::error(&regarding, &problem)),
        }
        true
    }

    fn take_news(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let mut went_on = false;
        while self.socket.has_room()
            && let Poll::Ready(fed) = self.feed.poll_next(context)
        {
            went_on = true;
            match fed {
                Fed::Told(told) if told.kind == Kind::Warnings && !self.wants_warnings => {}
                Fed::Told(told) => {
                    self.streams.frames_out.increment(told.frames.len() as u64);
                    self.socket.send(told.written(Form::WebSocket, |told| codec::texts(&told.frames)));
                    self.state_by = None;
                }
                Fed::Ended(session, ended) => self.session_ended(session, ended)?,
            }
        }
        Ok(went_on)
    }

    fn session_ended(&mut self, session: SessionId, ended: Ended) -> Result<(), End> {
        let Feed::Many(many) = &mut self.feed else {
            return Err(End::Close(match ended {
                Ended::Deleted => Close::SessionDeleted,
                Ended::Missing => Close::NoSuchSession,
            }));
        };
        many.leave(&session);
        if ended == Ended::Missing {
            let regarding = Regarding { id: None, session: Some(session) };
            self.say(&frames::error(&regarding, &ApiError::of(Code::SessionNotFound).0));
        }
        Ok(())
    }

    fn take_messages(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        for taken in 0..MESSAGES_AT_ONCE {
            let has_room = self.commanding.as_ref().is_none_or(|commanding| commanding.has_room());
            if !has_room || !self.socket.has_room() {
                return Ok(taken > 0);
            }
            match self.socket.poll_next(context) {
                Poll::Ready(Ok(incoming)) => self.take(incoming)?,
                Poll::Ready(Err(Lost::Broken(close))) => return Err(close.into()),
                Poll::Ready(Err(Lost::Gone)) => return Err(End::Gone),
                Poll::Pending => return Ok(taken > 0),
            }
        }
        Ok(true)
    }

    fn take(&mut self, incoming: Incoming) -> Result<(), End> {
        match incoming {
            Incoming::Text(text) => {
                self.streams.frames_in.increment(1);
                self.said(&text)
            }
            Incoming::Binary => self.say_not_understood(
                &Regarding::default(),
                &ApiError::saying(Code::Invalid, "frames are JSON text, not binary").0,
            ),
            Incoming::Ping(payload) => {
                self.socket.send(codec::pong(&payload));
                Ok(())
            }
            Incoming::Pong(payload) => {
                self.pulse.pong(&payload, Instant::now());
                Ok(())
            }
            Incoming::Close => Err(Close::Normal.into()),
        }
    }

    pub(super) fn say(&mut self, frame: &bytes::Bytes) {
        self.streams.frames_out.increment(1);
        self.socket.send(codec::text(frame));
    }
}
