//! One feed of a connection, and the client's frames that wait for its place.
//!
//! Whether everything missed follows, and whether there is such a session at all, is known
//! once the session was read. So a frame that asks for it is answered then, and once.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt as _;
use tokio::time::Instant;

use crate::domain::id::SessionId;
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::fanout::{Delivery, EndReason, Unavailable, Update};
use crate::limits::{Counting, StreamPermits, StreamRefused};
use crate::stream::feed::Feed;
use crate::stream::frames::Regarding;
use crate::wire::close::Close;

/// What a client asked for that waits for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// It opened the stream of one session; with a cursor, or without.
    Open { with_cursor: bool },
    /// `SUBSCRIBE`; with a cursor, or without.
    Subscribe { with_cursor: bool },
    /// `RECONNECT`.
    Reconnect,
}

/// A client's frame that waits for a place.
#[derive(Debug)]
pub struct PendingRequest {
    /// Whom to answer.
    pub regarding: Regarding,
    /// What was asked for.
    pub kind: RequestKind,
    /// Until when it waits.
    pub by: Instant,
}

/// What comes of a followed feed.
#[derive(Debug)]
pub enum SubscriptionEvent {
    /// To be written.
    Told(Arc<Update>),
    /// A session has its place: those who waited for it, and what comes first, if that is
    /// there already.
    Placed(Vec<PendingRequest>, Option<Arc<Update>>),
    /// A session has no place, and those who waited for it are told why.
    NotPlaced(Option<SessionId>, Vec<PendingRequest>, Rejection),
    /// Nothing more of that session.
    Ended(Option<SessionId>, EndReason),
}

/// Why a session has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// There is no such session.
    Missing,
    /// It has too many watchers, or nobody can count them.
    Uncounted(StreamRefused),
    /// It cannot be learned where the session stands. One that was followed before stays,
    /// and goes on once that is known.
    Unavailable { reason: Unavailable, is_new: bool },
}

/// A followed feed.
#[derive(Debug)]
pub struct FollowedFeed {
    feed: Box<dyn Feed>,
    waiting: Vec<PendingRequest>,
    /// It has had no place so far.
    is_new: bool,
    /// Whether it is counted as a watcher.
    watch: Watch,
}

/// A watcher's count.
enum Watch {
    /// It is under way.
    Counting(Counting),
    /// It is done, or not limited.
    Counted(#[expect(dead_code, reason = "it counts until it is dropped")] StreamPermits),
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Counting(_)) { "Counting" } else { "Counted" })
    }
}

impl FollowedFeed {
    pub fn new(feed: Box<dyn Feed>, waiting: PendingRequest) -> Self {
        Self { feed, waiting: vec![waiting], is_new: true, watch: Watch::Counted(StreamPermits::default()) }
    }

    /// The same, once it is counted as a watcher.
    pub fn counted(self, counting: Option<Counting>) -> Self {
        match counting {
            Some(counting) => Self { watch: Watch::Counting(counting), ..self },
            None => self,
        }
    }

    pub fn session(&self) -> Option<&SessionId> {
        self.feed.session()
    }

    pub fn check_access(&self, principal: &Principal) -> Result<(), Close> {
        self.feed.check_access(principal)
    }

    pub fn position(&self) -> Option<Position> {
        self.feed.position()
    }

    /// Goes on from `last`.
    pub fn resume(&mut self, last: Option<Position>, waiting: PendingRequest) {
        self.feed.resume(last);
        self.waiting.push(waiting);
    }

    /// How many frames wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Until when the first of them waits.
    pub fn waits_until(&self) -> Option<Instant> {
        self.waiting.first().map(|waiting| waiting.by)
    }

    /// All that wait; none of them waits any more.
    pub fn take_waiting(&mut self) -> Vec<PendingRequest> {
        std::mem::take(&mut self.waiting)
    }

    pub fn take_overdue(&mut self, now: Instant) -> Option<SubscriptionEvent> {
        self.waits_until().filter(|by| now >= *by)?;
        let reason = self.feed.unavailable().unwrap_or(Unavailable::STORE);
        Some(self.reject(Rejection::Unavailable { reason, is_new: self.is_new }))
    }

    /// What is next.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<SubscriptionEvent> {
        if !self.waiting.is_empty() {
            return self.poll_place(context);
        }
        self.feed.poll_next(context).map(|delivery| match delivery {
            Delivery::Update(told) => SubscriptionEvent::Told(told),
            Delivery::Ended(ended) => SubscriptionEvent::Ended(self.session().cloned(), ended),
        })
    }

    fn poll_place(&mut self, context: &mut Context<'_>) -> Poll<SubscriptionEvent> {
        if let Watch::Counting(counting) = &mut self.watch {
            match ready!(counting.poll_unpin(context)) {
                Ok(permits) => self.watch = Watch::Counted(permits),
                Err(refused) => {
                    self.watch = Watch::Counted(StreamPermits::default());
                    return Poll::Ready(self.reject(Rejection::Uncounted(refused)));
                }
            }
        }
        let first = match self.feed.poll_placed(context) {
            Poll::Ready(Some(Delivery::Update(told))) => Some(told),
            Poll::Ready(Some(Delivery::Ended(_))) => return Poll::Ready(self.reject(Rejection::Missing)),
            Poll::Ready(None) => None,
            Poll::Pending => return self.poll_failed(),
        };
        self.is_new = false;
        Poll::Ready(SubscriptionEvent::Placed(self.take_waiting(), first))
    }

    fn poll_failed(&mut self) -> Poll<SubscriptionEvent> {
        match self.feed.unavailable().filter(Unavailable::is_lasting) {
            Some(reason) => {
                let why = Rejection::Unavailable { reason, is_new: self.is_new };
                Poll::Ready(self.reject(why))
            }
            None => Poll::Pending,
        }
    }

    fn reject(&mut self, why: Rejection) -> SubscriptionEvent {
        SubscriptionEvent::NotPlaced(self.session().cloned(), self.take_waiting(), why)
    }
}
