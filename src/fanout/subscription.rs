//! One subscriber's place in a session's ring.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::Unavailable;
use super::hub::Shared;
use super::ring::{JoinPoint, Slot};
use super::topic::Topic;
use super::update::{Update, UpdateKind};
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::telemetry::metrics;

/// What a subscriber is handed.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// The next in order.
    Update(Arc<Update>),
    /// Nothing will follow.
    Ended(EndReason),
}

/// Why nothing will follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The session is deleted; that was handed out before.
    Deleted,
    /// There is no such session.
    Missing,
}

/// What came of looking for a place.
enum Joined {
    /// It has one.
    Placed,
    /// It has one, and this stands before it; or it will never have one.
    With(Delivery),
    /// Where the session stands is being read.
    NotYet,
}

/// A place in a ring. In order, nothing twice; dropping it frees everything it holds.
#[derive(Debug)]
pub struct Subscription {
    topic: Arc<Topic>,
    shared: Arc<Shared>,
    transport: &'static str,
    /// What it was last handed; what the client says it has, while it has no place.
    position: Option<Position>,
    /// The place of what it is handed next.
    place: Option<u64>,
    /// Warnings from before it came are not for it.
    came_at: u64,
    waker: Option<Waker>,
    /// The read that says whether what the client claims to have is to be believed, if
    /// nobody here has heard of it; 0 if there is none to wait for.
    doubt: u64,
    slot: u32,
    is_ended: bool,
}

impl Subscription {
    pub(super) fn new(
        topic: Arc<Topic>,
        lines: Arc<Shared>,
        slot: u32,
        position: Option<Position>,
        transport: &'static str,
    ) -> Self {
        lines.subscriber_joined();
        ::metrics::gauge!(metrics::SUBSCRIBERS, "transport" => transport).increment(1);
        let came_at = topic.next();
        Self {
            topic,
            shared: lines,
            transport,
            position,
            place: None,
            came_at,
            waker: None,
            doubt: 0,
            slot,
            is_ended: false,
        }
    }

    /// Whose session it watches.
    #[must_use]
    pub fn key(&self) -> &SessionKey {
        &self.topic.key
    }

    /// What it was last handed, or has resumed from; `None` before the first state.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position.filter(|_| self.place.is_some())
    }

    /// Whether there is nothing more to hand out now.
    #[must_use]
    pub fn is_up_to_date(&self) -> bool {
        self.place.is_some_and(|place| !self.topic.has_updates_beyond(place))
    }

    /// Gives up its place for that after `last`, as if it came now: it is to be placed again.
    pub fn resume(&mut self, last: Option<Position>) {
        (self.place, self.position) = (None, last);
        self.came_at = self.topic.next();
        (self.is_ended, self.doubt) = (false, 0);
    }

    /// Ready once it has a place, or will never have one; with what comes first, if that is
    /// there already. Whoever is up to date gets a place and nothing with it.
    pub fn poll_placed(&mut self, context: &Context<'_>) -> Poll<Option<Delivery>> {
        match self.poll_next(context) {
            Poll::Ready(first) => Poll::Ready(Some(first)),
            Poll::Pending if self.place.is_some() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Why it has no place yet, where the last read of the session failed. Whoever asks while
    /// it waits for a place is woken when a read fails.
    #[must_use]
    pub fn unavailable(&self) -> Option<Unavailable> {
        self.topic.failure()
    }

    /// What is next; waits for it.
    pub async fn next(&mut self) -> Delivery {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// What is next, if it is there. The waker is kept until another takes its
    /// place, so that waiting again costs no lock.
    pub fn poll_next(&mut self, context: &Context<'_>) -> Poll<Delivery> {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            self.waker = Some(context.waker().clone());
            self.topic.set_waker(self.slot, self.waker.clone());
        }
        self.try_next().map_or(Poll::Pending, Poll::Ready)
    }

    /// What is next, if it is there.
    pub fn try_next(&mut self) -> Option<Delivery> {
        if self.is_ended {
            return Some(Delivery::Ended(EndReason::Deleted));
        }
        loop {
            match self.place {
                Some(place) if !self.topic.has_updates_beyond(place) => return None,
                Some(place) => match self.topic.at(place) {
                    Slot::End => return None,
                    // What it had not been handed yet is gone.
                    Slot::Evicted => self.place = None,
                    Slot::Entry(told) => {
                        self.place = Some(place + 1);
                        let is_new = place >= self.came_at;
                        if told.position.is_some() || is_new {
                            return Some(self.deliver(told, is_new));
                        }
                    }
                },
                None => match self.join() {
                    Joined::Placed => {}
                    Joined::With(delivery) => return Some(delivery),
                    Joined::NotYet => return None,
                },
            }
        }
    }

    /// What was there before it came is no later for that.
    fn deliver(&mut self, told: Arc<Update>, is_new: bool) -> Delivery {
        self.is_ended = told.kind == UpdateKind::Deletion;
        if told.position.is_some() {
            self.position = told.position;
            if is_new {
                self.shared.lag.record(Instant::now().duration_since(told.received_at));
            }
        }
        Delivery::Update(told)
    }

    fn join(&mut self) -> Joined {
        // Asked first: what is told in between then only makes a place easier to find.
        if self.is_ahead_of_topic() || self.may_be_created_again() {
            return Joined::NotYet;
        }
        self.place = self.position.and_then(|last| self.topic.after(last));
        if self.place.is_some() {
            return Joined::Placed;
        }
        match self.topic.join_point() {
            JoinPoint::Sync { state, after } => {
                state.position.inspect(|position| self.count_skipped(*position));
                (self.place, self.position) = (Some(after), state.position);
                Joined::With(Delivery::Update(state))
            }
            // It was created again after that end, and the store has lost what this client has seen.
            JoinPoint::Deleted(_) if self.position.is_some_and(|last| self.topic.is_before(last)) => {
                Joined::With(Delivery::Ended(EndReason::Missing))
            }
            JoinPoint::Deleted(place) => {
                self.place = Some(place);
                Joined::Placed
            }
            JoinPoint::Unknown if self.topic.is_missing() => Joined::With(Delivery::Ended(EndReason::Missing)),
            JoinPoint::Unknown => Joined::NotYet,
        }
    }

    /// Whether it must wait because its client has seen more than this instance: it
    /// comes from another one, and would be shown what is older than what it has.
    fn is_ahead_of_topic(&mut self) -> bool {
        let Some(last) = self.position.filter(|last| self.topic.is_before(*last)) else { return false };
        if self.doubt == 0 {
            tracing::trace!(session.id = %self.topic.key.session, position = %last, "a client is ahead");
        }
        !self.has_read_since_it_came()
    }

    /// Whether it must wait because the session is deleted as far as is known here. Its id may
    /// have been created again, and that is told to others first.
    fn may_be_created_again(&mut self) -> bool {
        self.topic.is_deleted() && !self.has_read_since_it_came()
    }

    fn has_read_since_it_came(&mut self) -> bool {
        if self.doubt == 0 {
            self.doubt = self.topic.request_confirmation();
        }
        self.topic.is_confirmed(self.doubt)
    }

    fn count_skipped(&self, position: Position) {
        let before = self.position.filter(|before| before.epoch == position.epoch);
        let skipped = before.map_or(0, |before| position.version.saturating_sub(before.version + 1));
        if skipped > 0 {
            ::metrics::counter!(metrics::SNAPSHOTS_SKIPPED_TOTAL, "transport" => self.transport).increment(skipped);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.topic.leave(self.slot);
        self.shared.subscriber_left();
        ::metrics::gauge!(metrics::SUBSCRIBERS, "transport" => self.transport).decrement(1);
    }
}
