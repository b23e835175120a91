//! What a connection follows: one session, or as many as it asks for.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Instant;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::session_feed::{PendingRequest, SessionFeed, SubscriptionEvent};
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::stream::{MAX_SESSIONS, Streams};

/// As the metrics call it.
pub const TRANSPORT: &str = "websocket";

/// Past so many frames that wait for their answer, no more are read from a client.
const MAX_PENDING_REQUESTS: usize = MAX_SESSIONS + 64;

/// What is followed.
#[derive(Debug)]
pub enum Subscriptions {
    /// The session the path names.
    One(SessionFeed),
    /// Those the client names.
    Many(Box<ManySessions>),
}

/// Sessions that come and go.
#[derive(Debug)]
pub struct ManySessions {
    followed: Vec<SessionFeed>,
    /// Who is asked first, so that a busy session does not keep the others waiting.
    turn: usize,
    /// Whoever follows nothing is not woken by anything else when a stop begins.
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// Too many sessions at once.
#[derive(Debug)]
pub struct TooManyWaiting;

impl Subscriptions {
    pub fn one(streams: &Streams, key: &SessionKey, last: Option<Position>, waiting: PendingRequest) -> Self {
        Self::One(SessionFeed::new(streams.parts.hub.subscribe(key, last, TRANSPORT), waiting))
    }

    pub fn many(streams: &Streams) -> Self {
        let stop = Box::pin(streams.parts.shutdown.soft().cancelled_owned());
        Self::Many(Box::new(ManySessions { followed: Vec::new(), turn: 0, stop }))
    }

    /// The session every frame is about, where there is one.
    pub fn session(&self) -> Option<&SessionId> {
        match self {
            Self::One(followed) => Some(followed.session()),
            Self::Many(_) => None,
        }
    }

    /// Where that session stands.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::One(followed) => followed.position(),
            Self::Many(_) => None,
        }
    }

    /// What a client's frame is about, if that is followed.
    pub fn find(&mut self, session: &SessionId) -> Option<&mut SessionFeed> {
        self.all().iter_mut().find(|each| each.session() == session)
    }

    fn all(&mut self) -> &mut [SessionFeed] {
        match self {
            Self::One(followed) => std::slice::from_mut(followed),
            Self::Many(many) => &mut many.followed,
        }
    }

    /// Whether more frames may be read that wait for an answer.
    pub fn has_room(&self) -> bool {
        let waiting = match self {
            Self::One(followed) => followed.waiting(),
            Self::Many(many) => many.followed.iter().map(SessionFeed::waiting).sum(),
        };
        waiting < MAX_PENDING_REQUESTS
    }

    /// The next session whose clients have waited for its place until `now`.
    pub fn take_overdue(&mut self, now: Instant) -> Option<SubscriptionEvent> {
        self.all().iter_mut().find_map(|each| each.take_overdue(now))
    }

    /// Until when somebody waits for a place.
    pub fn waits_until(&mut self) -> Option<Instant> {
        self.all().iter().filter_map(SessionFeed::waits_until).min()
    }

    /// What is next.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<SubscriptionEvent> {
        match self {
            Self::One(followed) => followed.poll_next(context),
            Self::Many(many) => many.poll_next(context),
        }
    }
}

impl ManySessions {
    /// Follows a session, or goes on with it from `last`.
    pub fn follow(
        &mut self,
        streams: &Streams,
        by: &Principal,
        session: &SessionId,
        last: Option<Position>,
        waiting: PendingRequest,
    ) -> Result<(), TooManyWaiting> {
        if let Some(followed) = self.followed.iter_mut().find(|each| each.session() == session) {
            followed.resume(last, waiting);
            return Ok(());
        }
        if self.followed.len() >= MAX_SESSIONS {
            return Err(TooManyWaiting);
        }
        let key = SessionKey { tenant: by.tenant.clone(), session: session.clone() };
        let subscription = streams.parts.hub.subscribe(&key, last, TRANSPORT);
        self.followed.push(SessionFeed::new(subscription, waiting));
        Ok(())
    }

    /// Follows a session no more; gives those who waited for it.
    pub fn leave(&mut self, session: &SessionId) -> Vec<PendingRequest> {
        let left = self.followed.extract_if(.., |each| each.session() == session);
        left.flat_map(|mut each| each.take_waiting()).collect()
    }

    /// Leaves what `by` may not see; gives what that was, with those who waited for it.
    pub fn keep_visible(&mut self, by: &Principal) -> Vec<(SessionId, Vec<PendingRequest>)> {
        let hidden = self.followed.extract_if(.., |each| !by.sees(each.session()));
        hidden.map(|mut each| (each.session().clone(), each.take_waiting())).collect()
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<SubscriptionEvent> {
        // It is looked at elsewhere whether a stop has begun: this is only to be woken.
        let _ = self.stop.as_mut().poll(context);
        for turn in 0..self.followed.len() {
            let index = (self.turn + turn) % self.followed.len();
            if let Poll::Ready(fed) = self.followed[index].poll_next(context) {
                self.turn = index + 1;
                return Poll::Ready(fed);
            }
        }
        Poll::Pending
    }
}
