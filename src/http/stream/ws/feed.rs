//! What a connection follows: one session, or as many as it asks for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::domain::id::{SessionId, SessionKey};
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::fanout::{Delivery, Ended, Subscription, Told};
use crate::http::stream::{MAX_SESSIONS, Streams};

/// As the metrics call it.
pub const TRANSPORT: &str = "websocket";

/// What is followed.
#[derive(Debug)]
pub enum Feed {
    /// The session the path names.
    One(Subscription),
    /// Those the client names.
    Many(Box<Many>),
}

/// Sessions that come and go.
#[derive(Debug)]
pub struct Many {
    subscriptions: Vec<Subscription>,
    /// Who is asked first, so that a busy session does not keep the others waiting.
    turn: usize,
    /// Whoever follows nothing is not woken by anything else when a stop begins.
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// What a feed gives.
#[derive(Debug)]
pub enum Fed {
    /// To be written.
    Told(Arc<Told>),
    /// Nothing more of that session.
    Ended(SessionId, Ended),
}

/// Too many sessions at once.
#[derive(Debug)]
pub struct Full;

impl Feed {
    pub fn one(streams: &Streams, key: &SessionKey, last: Option<Position>) -> Self {
        Self::One(streams.parts.hub.subscribe(key, last, TRANSPORT))
    }

    pub fn many(streams: &Streams) -> Self {
        let stop = Box::pin(streams.parts.shutdown.soft().cancelled_owned());
        Self::Many(Box::new(Many { subscriptions: Vec::new(), turn: 0, stop }))
    }

    /// The session every frame is about, where there is one.
    pub fn session(&self) -> Option<&SessionId> {
        match self {
            Self::One(subscription) => Some(&subscription.key().session),
            Self::Many(_) => None,
        }
    }

    /// Where that session stands.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::One(subscription) => subscription.position(),
            Self::Many(_) => None,
        }
    }

    /// The subscription a client's frame is about.
    pub fn find(&mut self, session: &SessionId) -> Option<&mut Subscription> {
        match self {
            Self::One(subscription) => (subscription.key().session == *session).then_some(subscription),
            Self::Many(many) => many.subscriptions.iter_mut().find(|each| each.key().session == *session),
        }
    }

    /// What is next.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Fed> {
        match self {
            Self::One(subscription) => poll(subscription, context),
            Self::Many(many) => many.poll_next(context),
        }
    }
}

fn poll(subscription: &mut Subscription, context: &Context<'_>) -> Poll<Fed> {
    subscription.poll_next(context).map(|delivery| match delivery {
        Delivery::Told(told) => Fed::Told(told),
        Delivery::Ended(ended) => Fed::Ended(subscription.key().session.clone(), ended),
    })
}

impl Many {
    /// Follows a session, or goes on with it from `last`.
    pub fn follow(
        &mut self,
        streams: &Streams,
        by: &Principal,
        session: &SessionId,
        last: Option<Position>,
    ) -> Result<(), Full> {
        if let Some(followed) = self.subscriptions.iter_mut().find(|each| each.key().session == *session) {
            followed.resume(last);
            return Ok(());
        }
        if self.subscriptions.len() >= MAX_SESSIONS {
            return Err(Full);
        }
        let key = SessionKey { tenant: by.tenant.clone(), session: session.clone() };
        self.subscriptions.push(streams.parts.hub.subscribe(&key, last, TRANSPORT));
        Ok(())
    }

    /// Follows a session no more.
    pub fn leave(&mut self, session: &SessionId) {
        self.subscriptions.retain(|each| each.key().session != *session);
    }

    /// Leaves what `by` may not see; gives what that was.
    pub fn keep_visible(&mut self, by: &Principal) -> Vec<SessionId> {
        let is_hidden = |each: &mut Subscription| !by.sees(&each.key().session);
        self.subscriptions.extract_if(.., is_hidden).map(|each| each.key().session.clone()).collect()
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Fed> {
        // It is looked at elsewhere whether a stop has begun: this is only to be woken.
        let _ = self.stop.as_mut().poll(context);
        for turn in 0..self.subscriptions.len() {
            let index = (self.turn + turn) % self.subscriptions.len();
            if let Poll::Ready(fed) = poll(&mut self.subscriptions[index], context) {
                self.turn = index + 1;
                return Poll::Ready(fed);
            }
        }
        Poll::Pending
    }
}
