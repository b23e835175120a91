//! One WebSocket: one task, one timer, and a turn that does what there is to do.
//!
//! What is written must have gone out before anything else is looked at. So whoever
//! does not read is not read from either, and holds a place in a ring instead of memory.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use super::Client;
use super::budget::{Budget, REFUSED};
use super::codec;
use super::codec::Incoming;
use super::commands::CommandQueue;
use super::followed_feed::SubscriptionEvent;
use super::goodbye::goodbye;
use super::keepalive::Keepalive;
use super::socket::{Socket, SocketError, Wire};
use super::subscriptions::Subscriptions;
use crate::domain::id::SessionId;
use crate::domain::principal::Principal;
use crate::fanout::{Encoding, EndReason, Update, UpdateKind};
use crate::ids::Ids;
use crate::limits::StreamPermits;
use crate::stream::frames::Regarding;
use crate::stream::lifetime::{Lifetime, Standing};
use crate::stream::params::StreamParams;
use crate::stream::{Streams, frames};
use crate::wire::api_error::ApiError;
use crate::wire::close::Close;
use crate::wire::error_code::Code;
use crate::wire::problem::Problem;

/// Messages taken from a client before others get their turn.
const MAX_MESSAGES_PER_TURN: usize = 16;

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
    pub(super) address: IpAddr,
    pub(super) subscriptions: Subscriptions,
    pub(super) pulse: Keepalive,
    /// While there are commands.
    pub(super) commanding: Option<Box<CommandQueue>>,
    pub(super) lifetime: Lifetime,
    pub(super) write_by: Option<Instant>,
    /// When somebody may have waited for a place for too long.
    pub(super) place_by: Option<Instant>,
    pub(super) not_understood: u8,
    pub(super) budget: Budget,
    wants_warnings: bool,
    /// Its places among the streams that there may be.
    _permits: [StreamPermits; 2],
    /// The session has ended; a command under way is answered before the connection closes.
    ended: Option<Close>,
}

impl<S: Wire> Connection<S> {
    pub fn new(
        streams: Arc<Streams>,
        socket: Socket<S>,
        principal: Arc<Principal>,
        mut subscriptions: Subscriptions,
        opening: &StreamParams,
        client: Client,
    ) -> Self {
        let now = Instant::now();
        Self {
            socket,
            pulse: Keepalive::start(opening.heartbeat, client.is_proxied, now),
            commanding: None,
            lifetime: Lifetime::of(&principal, streams.parts.clock.now()),
            write_by: None,
            place_by: subscriptions.waits_until(),
            not_understood: 0,
            budget: Budget::full(now),
            wants_warnings: opening.warnings,
            ended: None,
            address: client.address,
            _permits: client.permits,
            streams,
            principal,
            subscriptions,
        }
    }

    /// Serves until it ends. In a box, because a future holds room for what it is given
    /// and once more for what it makes of that.
    pub async fn serve(mut self: Box<Self>) {
        let mut timer = pin!(sleep_until(self.next_due()));
        let end = poll_fn(|context| self.poll(context, timer.as_mut())).await;
        // Nothing is followed while the last words are said.
        let Self { mut socket, streams, .. } = *self;
        if let End::Close(close) = end {
            let by = Instant::now() + streams.parts.timing.goodbye;
            goodbye(&mut socket, close, timer, by).await;
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
        let standing = self.lifetime.standing(&self.streams, &self.principal, self.address);
        if let Some(close) = standing.close() {
            return Err(close.into());
        }
        let is_written = self.flush(context)?;
        // A command under way goes on, also while its client does not read: it may hold
        // up others.
        let mut went_on = self.take_answers(context);
        if self.commanding.is_none()
            && let Some(close) = self.ended.take()
        {
            return Err(close.into());
        }
        if is_written {
            self.lifetime.prepare_to_leave(&self.streams);
            if standing == Standing::Good {
                went_on |= self.take_updates(context)?;
            }
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
            Ok(answer) if regarding.id.is_some() => self.send(&frames::ack(&regarding, &answer)),
            Ok(_) => {}
            Err(problem) => self.send_error(&regarding, *problem),
        }
        true
    }

    fn take_updates(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let mut went_on = false;
        while self.ended.is_none()
            && self.socket.has_room()
            && let Poll::Ready(fed) = self.subscriptions.poll_next(context)
        {
            went_on = true;
            match fed {
                SubscriptionEvent::Told(told) => self.send_update(&told),
                SubscriptionEvent::Placed(waiting, first) => self.session_placed(&waiting, first.as_deref()),
                SubscriptionEvent::NotPlaced(session, waiting, why) => {
                    self.session_not_placed(session.as_ref(), &waiting, why)?;
                }
                SubscriptionEvent::Ended(session, ended) => self.session_ended(session, ended)?,
            }
        }
        Ok(went_on)
    }

    pub(super) fn send_update(&mut self, told: &Update) {
        if told.kind == UpdateKind::Warnings && !self.wants_warnings {
            return;
        }
        self.streams.frames_out.increment(told.frames.len() as u64);
        self.socket.send(told.encoded(Encoding::WebSocket, |told| codec::texts(&told.frames)));
    }

    fn session_ended(&mut self, session: Option<SessionId>, ended: EndReason) -> Result<(), End> {
        let Subscriptions::Many(many) = &mut self.subscriptions else {
            let close = match ended {
                EndReason::Deleted => Close::SessionDeleted,
                EndReason::Missing => Close::NoSuchSession,
            };
            // Its own command may have deleted it, and is not answered yet.
            let Some(_) = self.commanding else { return Err(close.into()) };
            self.ended = Some(close);
            return Ok(());
        };
        session.as_ref().map(|session| many.leave(session));
        if ended == EndReason::Missing {
            let regarding = Regarding { id: None, session };
            self.send_error(&regarding, *ApiError::of(Code::SessionNotFound).0);
        }
        Ok(())
    }

    fn take_messages(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        if !self.budget.is_open() {
            return Ok(false);
        }
        for taken in 0..MAX_MESSAGES_PER_TURN {
            if !self.may_hear() || !self.socket.has_room() || self.ended.is_some() {
                return Ok(taken > 0);
            }
            match self.socket.poll_next(context) {
                Poll::Ready(Ok(incoming)) => {
                    let length = incoming.length();
                    self.take(incoming)?;
                    self.budget.charge_frame(length, Instant::now());
                    if self.budget.paused_until().is_some() {
                        return Ok(true);
                    }
                }
                Poll::Ready(Err(SocketError::Broken(close))) => return Err(close.into()),
                Poll::Ready(Err(SocketError::Gone)) => return Err(End::Gone),
                Poll::Pending => return Ok(taken > 0),
            }
        }
        Ok(true)
    }

    /// Whether what the client says next can be kept until it is answered.
    pub(super) fn may_hear(&self) -> bool {
        let may_command = self.commanding.as_ref().is_none_or(|commanding| commanding.has_room());
        may_command && (self.place_by.is_none() || self.subscriptions.has_room())
    }

    fn take(&mut self, incoming: Incoming) -> Result<(), End> {
        match incoming {
            Incoming::Text(text) => {
                self.streams.frames_in.increment(1);
                self.handle_text(&text)
            }
            Incoming::Binary => self.send_invalid_frame(
                &Regarding::default(),
                *ApiError::with_detail(Code::Invalid, "frames must be text messages of JSON, not binary ones").0,
            ),
            Incoming::Ping(payload) => {
                self.socket.send(codec::pong(&payload));
                Ok(())
            }
            Incoming::Pong(payload) => {
                self.pulse.pong(&payload, Instant::now());
                Ok(())
            }
            Incoming::Fragment(_) => Ok(()),
            Incoming::Close => Err(Close::Normal.into()),
        }
    }

    /// Says what went wrong, under a name of its own for the log: frames have no request.
    pub(super) fn send_error(&mut self, regarding: &Regarding, mut problem: Problem) {
        self.budget.charge(REFUSED);
        problem.request_id = Ids::Random.request();
        if problem.of.status() == 500 {
            tracing::error!(request.id = problem.request_id, "a frame could not be answered");
        }
        self.send(&frames::error(regarding, &problem));
    }

    pub(super) fn send(&mut self, frame: &bytes::Bytes) {
        self.streams.frames_out.increment(1);
        self.socket.send(codec::text(frame));
    }
}
