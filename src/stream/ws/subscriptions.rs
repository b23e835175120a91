//! What a connection follows: one feed, or as many sessions as it asks for.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::StreamExt as _;
use tokio::time::Instant;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::followed_feed::{FollowedFeed, PendingRequest, SubscriptionEvent};
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::fanout::Transport;
use crate::stream::feed::Feed;
use crate::stream::{MAX_SESSIONS, Streams};

/// Past so many frames that wait for their answer, no more are read from a client.
const MAX_PENDING_REQUESTS: usize = MAX_SESSIONS + 64;

/// What is followed.
#[derive(Debug)]
pub enum Subscriptions {
    /// The feed that the path names.
    One(FollowedFeed),
    /// Those the client names.
    Many(Box<ManySessions>),
}

/// Sessions that come and go.
#[derive(Debug)]
pub struct ManySessions {
    followed: Vec<FollowedFeed>,
    /// Who is asked first, so that a busy session does not keep the others waiting.
    turn: usize,
    /// Whoever follows nothing is not woken by anything else when a stop begins.
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Nor when its token is revoked.
    revocations: WatchStream<u64>,
}

/// Too many sessions at once.
#[derive(Debug)]
pub struct TooManyWaiting;

impl Subscriptions {
    pub fn one(feed: Box<dyn Feed>, waiting: PendingRequest) -> Self {
        Self::One(FollowedFeed::new(feed, waiting))
    }

    pub fn many(streams: &Streams) -> Self {
        let stop = Box::pin(streams.parts.shutdown.soft().cancelled_owned());
        let revocations = WatchStream::from_changes(streams.parts.authenticator.validity().changes());
        Self::Many(Box::new(ManySessions { followed: Vec::new(), turn: 0, stop, revocations }))
    }

    /// The session every frame is about, where there is one.
    pub fn session(&self) -> Option<&SessionId> {
        match self {
            Self::One(followed) => followed.session(),
            Self::Many(_) => None,
        }
    }

    /// The position of the one feed.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::One(followed) => followed.position(),
            Self::Many(_) => None,
        }
    }

    /// The feed that a client's frame is about, if that is followed. Only a feed of no session has a frame about none.
    pub fn find(&mut self, session: Option<&SessionId>) -> Option<&mut FollowedFeed> {
        self.all().iter_mut().find(|each| each.session() == session)
    }

    fn all(&mut self) -> &mut [FollowedFeed] {
        match self {
            Self::One(followed) => std::slice::from_mut(followed),
            Self::Many(many) => &mut many.followed,
        }
    }

    /// Whether more frames may be read that wait for an answer.
    pub fn has_room(&self) -> bool {
        let waiting = match self {
            Self::One(followed) => followed.waiting(),
            Self::Many(many) => many.followed.iter().map(FollowedFeed::waiting).sum(),
        };
        waiting < MAX_PENDING_REQUESTS
    }

    /// The next session whose clients have waited for its place until `now`.
    pub fn take_overdue(&mut self, now: Instant) -> Option<SubscriptionEvent> {
        self.all().iter_mut().find_map(|each| each.take_overdue(now))
    }

    /// Until when somebody waits for a place.
    pub fn waits_until(&mut self) -> Option<Instant> {
        self.all().iter().filter_map(FollowedFeed::waits_until).min()
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
        if let Some(followed) = self.followed.iter_mut().find(|each| each.session() == Some(session)) {
            followed.resume(last, waiting);
            return Ok(());
        }
        if self.followed.len() >= MAX_SESSIONS {
            return Err(TooManyWaiting);
        }
        let key = SessionKey { tenant: by.tenant.clone(), session: session.clone() };
        let feed = streams.follow(&key, last, Transport::WebSocket);
        let counting = streams.watch(by, session);
        self.followed.push(FollowedFeed::new(feed, waiting).counted(counting));
        Ok(())
    }

    /// Follows a session no more; gives those who waited for it.
    pub fn leave(&mut self, session: &SessionId) -> Vec<PendingRequest> {
        let left = self.followed.extract_if(.., |each| each.session() == Some(session));
        left.flat_map(|mut each| each.take_waiting()).collect()
    }

    /// Leaves what `by` may not see; gives what that was, with those who waited for it.
    pub fn keep_visible(&mut self, by: &Principal) -> Vec<(SessionId, Vec<PendingRequest>)> {
        let hidden = self.followed.extract_if(.., |each| each.check_access(by).is_err());
        hidden.filter_map(|mut each| Some((each.session()?.clone(), each.take_waiting()))).collect()
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<SubscriptionEvent> {
        // It is looked at elsewhere whether a stop has begun: this is only to be woken.
        let _ = self.stop.as_mut().poll(context);
        if self.followed.is_empty() {
            while let Poll::Ready(Some(_)) = self.revocations.poll_next_unpin(context) {}
        }
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
