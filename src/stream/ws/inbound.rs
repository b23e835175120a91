//! What a connection does with what its client says.

use std::sync::Arc;

use serde_json::Value;

use super::budget::{READ, TOKEN};
use super::client;
use super::client::{ClientRequest, Frame, InvalidFrame};
use super::commands::QueuedCommand;
use super::connection::{Connection, End};
use super::followed_feed::{PendingRequest, RequestKind};
use super::rights;
use super::socket::Wire;
use super::subscriptions::Subscriptions;
use crate::auth::Denied;
use crate::domain::id::SessionId;
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::limits::{Caller, Class};
use crate::security::{EventKind, SecurityEvent};
use crate::stream::frames::Regarding;
use crate::stream::{MAX_SESSIONS, frames};
use crate::wire::api_error::ApiError;
use crate::wire::close::Close;
use crate::wire::error_code::Code;
use crate::wire::problem::Problem;

/// Frames that were not understood before the connection ends.
const MAX_INVALID_FRAMES: u8 = 3;

/// What an `ACK` says that has nothing to say.
const EMPTY_ANSWER: &[u8] = b"{}";

impl<S: Wire> Connection<S> {
    /// A text message came.
    pub(super) fn handle_text(&mut self, text: &str) -> Result<(), End> {
        let received_us = self.streams.parts.clock.now_us();
        self.lifetime.check_token(self.streams.parts.clock.now())?;
        match client::read(text) {
            Ok(frame) => self.handle_frame(frame, received_us),
            Err(InvalidFrame { regarding, problem }) => self.send_invalid_frame(&regarding, *problem),
        }
    }

    pub(super) fn send_invalid_frame(&mut self, regarding: &Regarding, problem: Problem) -> Result<(), End> {
        self.send_error(regarding, problem);
        self.not_understood += 1;
        if self.not_understood >= MAX_INVALID_FRAMES { Err(Close::NotUnderstood.into()) } else { Ok(()) }
    }

    fn handle_frame(&mut self, frame: Frame, received_us: i64) -> Result<(), End> {
        let Frame { mut regarding, wanted } = frame;
        if regarding.session.is_none() {
            regarding.session = self.subscriptions.session().cloned();
        }
        if let Err(refused) = self.admit(&wanted) {
            self.send_error(&regarding, *refused.0);
            return Ok(());
        }
        let done = match wanted {
            ClientRequest::Ping { timestamp } => {
                self.pong(&regarding, &timestamp, received_us);
                Ok(())
            }
            ClientRequest::Reconnect { last } => self.reconnect(&regarding, last),
            ClientRequest::Command(body) => self.command(&regarding, body),
            ClientRequest::Auth { token } => return self.renew(&regarding, &token),
            ClientRequest::Subscribe { last } => self.subscribe(&regarding, last),
            ClientRequest::Unsubscribe => self.unsubscribe(&regarding),
        };
        if let Err(error) = done {
            self.send_error(&regarding, *error.0);
        }
        Ok(())
    }

    /// Whether its sender may send such a frame, and has not sent too many.
    fn admit(&self, wanted: &ClientRequest) -> Result<(), ApiError> {
        let right = rights::right(wanted);
        self.streams.count(right.class, &self.principal, self.address)?;
        if self.principal.role < right.least_role { Err(ApiError::of(Code::Forbidden)) } else { Ok(()) }
    }

    fn pong(&mut self, regarding: &Regarding, timestamp: &Value, received_us: i64) {
        let frame = frames::pong(regarding, timestamp, received_us, &*self.streams.parts.clock);
        self.send(&frame);
    }

    /// The session a frame must be about; what the caller may not see is not there.
    fn named<'a>(&self, regarding: &'a Regarding) -> Result<&'a SessionId, ApiError> {
        let session = regarding.session.as_ref().ok_or_else(|| self.no_session())?;
        let is_ours = match &self.subscriptions {
            Subscriptions::One(followed) => followed.session() == Some(session),
            Subscriptions::Many(_) => true,
        };
        if is_ours && self.principal.sees(session) { Ok(session) } else { Err(ApiError::of(Code::SessionNotFound)) }
    }

    fn no_session(&self) -> ApiError {
        match self.subscriptions {
            Subscriptions::One(_) => ApiError::with_detail(Code::Invalid, "this stream follows no session"),
            Subscriptions::Many(_) => {
                ApiError::invalid("/session_id", "is needed: this stream follows several sessions")
            }
        }
    }

    fn reconnect(&mut self, regarding: &Regarding, last: Option<Position>) -> Result<(), ApiError> {
        let is_sessionless = self.subscriptions.find(None).is_some() && regarding.session.is_none();
        let session = if is_sessionless { None } else { Some(self.named(regarding)?) };
        self.budget.charge(READ);
        let waiting = self.waiting(regarding, RequestKind::Reconnect);
        let by = waiting.by;
        self.subscriptions.find(session).ok_or_else(|| ApiError::of(Code::SessionNotFound))?.resume(last, waiting);
        self.place_by.get_or_insert(by);
        Ok(())
    }

    fn command(&mut self, regarding: &Regarding, body: serde_json::Map<String, Value>) -> Result<(), ApiError> {
        if self.lifetime.is_held() {
            return Err(Denied::Unknown.into());
        }
        let session = self.named(regarding)?.clone();
        let by = Arc::clone(&self.principal);
        // Nobody asks for the lag where none is claimed.
        let is_claimed = body.contains_key("client_time_ms");
        let lag_ms = if is_claimed { self.pulse.lag_ms(|| self.socket.round_trip()) } else { 0 };
        let asked = QueuedCommand { regarding: regarding.clone(), session, by, body, lag_ms };
        self.commanding.get_or_insert_default().ask(asked);
        Ok(())
    }

    /// A token that does not prove the same caller in the same role, with no more sessions, ends
    /// the stream. One that proves nobody counts against its address.
    fn renew(&mut self, regarding: &Regarding, token: &str) -> Result<(), End> {
        self.budget.charge(TOKEN);
        let now = self.streams.parts.clock.now();
        let renewed = self.streams.parts.authenticator.authenticate(Some(token), now);
        if renewed.as_ref().is_err_and(|denied| *denied == Denied::Unknown) {
            self.send_error(regarding, *ApiError::from(Denied::Unknown).0);
            return Ok(());
        }
        if matches!(renewed, Err(denied) if denied.is_counted()) {
            let _ = self.streams.parts.limits.check(Class::RefusedToken, 1, || Caller::Address(self.address));
        }
        let renewed = renewed.ok().filter(|renewed| self.principal.is_renewed_by(renewed));
        self.record_renewal(renewed.as_deref());
        self.principal = renewed.ok_or(Close::TokenRefused)?;
        self.lifetime.renew(&self.principal, now);
        self.leave_hidden()?;
        if regarding.id.is_some() {
            self.send(&frames::ack(regarding, EMPTY_ANSWER));
        }
        Ok(())
    }

    /// A token that is refused, or that brings another role or participant, is an event.
    fn record_renewal(&self, renewed: Option<&Principal>) {
        let before = &self.principal;
        let event = match renewed {
            None => SecurityEvent::of(EventKind::TokenRefused).by(before).detail("AUTH on a stream"),
            Some(renewed) if renewed.role != before.role || renewed.participant_id != before.participant_id => {
                let detail = format!("AUTH on a stream: from {} to {}", before.role.as_str(), renewed.role.as_str());
                SecurityEvent::of(EventKind::TokenRenewed).by(renewed).detail(detail)
            }
            Some(_) => return,
        };
        self.streams.security().record(event);
    }

    /// A narrower token may have closed a session to its bearer.
    fn leave_hidden(&mut self) -> Result<(), End> {
        let hidden = match &mut self.subscriptions {
            Subscriptions::One(followed) => return Ok(followed.check_access(&self.principal)?),
            Subscriptions::Many(many) => many.keep_visible(&self.principal),
        };
        for (session, mut waiting) in hidden {
            if waiting.is_empty() {
                waiting.push(self.waiting(&Regarding { id: None, session: Some(session) }, RequestKind::Reconnect));
            }
            self.refuse(&waiting, &ApiError::of(Code::SessionNotFound));
        }
        Ok(())
    }

    fn subscribe(&mut self, regarding: &Regarding, last: Option<Position>) -> Result<(), ApiError> {
        let session = self.named(regarding)?;
        self.budget.charge(READ);
        let waiting = self.waiting(regarding, RequestKind::Subscribe { with_cursor: last.is_some() });
        let by = waiting.by;
        let Subscriptions::Many(many) = &mut self.subscriptions else { return Err(follows_one()) };
        let full = |_| {
            ApiError::with_detail(Code::TooManyConnections, format!("a stream follows at most {MAX_SESSIONS} sessions"))
        };
        many.follow(&self.streams, &self.principal, session, last, waiting).map_err(full)?;
        self.place_by.get_or_insert(by);
        Ok(())
    }

    fn unsubscribe(&mut self, regarding: &Regarding) -> Result<(), ApiError> {
        let session = self.named(regarding)?;
        let Subscriptions::Many(many) = &mut self.subscriptions else { return Err(follows_one()) };
        // Whoever asked for it before was heard: it was followed until now.
        for waiting in many.leave(session) {
            self.acknowledge(&waiting.regarding);
        }
        self.acknowledge(regarding);
        Ok(())
    }

    /// A frame that waits for a place from now on.
    fn waiting(&self, regarding: &Regarding, kind: RequestKind) -> PendingRequest {
        PendingRequest { regarding: regarding.clone(), kind, by: self.streams.place_by() }
    }

    pub(super) fn acknowledge(&mut self, regarding: &Regarding) {
        if regarding.id.is_some() {
            self.send(&frames::ack(regarding, EMPTY_ANSWER));
        }
    }
}

fn follows_one() -> ApiError {
    ApiError::with_detail(Code::Invalid, "this stream cannot follow more; /v1/ws follows many sessions")
}
