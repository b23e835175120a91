//! One subscriber's place in a session's ring.

use std::future::poll_fn;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::Unavailable;
use super::ring::{JoinPoint, Slot};
use super::shared::Shared;
use super::topic::Topic;
use super::transport::Transport;
use super::update::{Update, UpdateKind};
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::telemetry::metrics;

/// What a subscriber gets.
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
    /// The session is deleted; its deletion was delivered before.
    Deleted,
    /// There is no such session.
    Missing,
}

/// The outcome of looking for a place.
enum Joined {
    /// It has a place.
    Placed,
    /// It has a place and this stands before it; or it will never have one.
    With(Delivery),
    /// The session's state is being read.
    NotYet,
}

/// A place in a ring. It gets everything in order and nothing twice; dropping it frees everything it holds.
#[derive(Debug)]
pub struct Subscription {
    topic: Arc<Topic>,
    shared: Arc<Shared>,
    transport: Transport,
    /// The position it was last handed; while it has no place, the one that its client claims to have.
    position: Option<Position>,
    /// The place of its next entry.
    place: Option<u64>,
    /// The end of the ring when it joined: earlier warnings are not for it.
    joined_at: u64,
    waker: Option<Waker>,
    /// The read that it waits for, because another instance may know more than this one.
    awaited_read: Option<NonZeroU64>,
    /// Its slot in the topic's wake list.
    wake_slot: u32,
    is_ended: bool,
}

impl Subscription {
    pub(super) fn new(shared: Arc<Shared>, key: &SessionKey, position: Option<Position>, transport: Transport) -> Self {
        ::metrics::gauge!(metrics::SUBSCRIBERS, "transport" => transport.label()).increment(1);
        let (topic, wake_slot) = shared.join(key, transport);
        Self {
            joined_at: topic.next(),
            topic,
            shared,
            transport,
            position,
            place: None,
            waker: None,
            awaited_read: None,
            wake_slot,
            is_ended: false,
        }
    }

    /// Another subscription to the same session, which begins with the newest state.
    pub fn fresh(&self) -> Self {
        Self::new(Arc::clone(&self.shared), &self.topic.key, None, self.transport)
    }

    /// The session it watches.
    pub fn key(&self) -> &SessionKey {
        &self.topic.key
    }

    /// The position it was last handed, or has resumed from; `None` before the first state.
    pub fn position(&self) -> Option<Position> {
        self.position.filter(|_| self.place.is_some())
    }

    /// Whether there is nothing more to hand out now.
    pub fn is_up_to_date(&self) -> bool {
        self.place == Some(self.topic.next())
    }

    /// Gives up its place for the one after `last`, as if it joined now.
    pub fn resume(&mut self, last: Option<Position>) {
        (self.place, self.position) = (None, last);
        self.joined_at = self.topic.next();
        (self.is_ended, self.awaited_read) = (false, None);
    }

    /// Ready once it has a place, or will never have one; with the first delivery, if that is
    /// there already. A subscriber that is up to date gets a place and no delivery.
    pub fn poll_placed(&mut self, context: &Context<'_>) -> Poll<Option<Delivery>> {
        match self.poll_next(context) {
            Poll::Ready(first) => Poll::Ready(Some(first)),
            Poll::Pending if self.place.is_some() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Why it has no place yet, if the last read of the session failed. After this call the
    /// next failed read wakes it.
    pub fn unavailable(&self) -> Option<Unavailable> {
        self.topic.await_failure()
    }

    /// Waits for the next delivery.
    pub async fn next(&mut self) -> Delivery {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next delivery, if it is there. The waker stays until another replaces it, so that
    /// waiting again takes no lock.
    pub fn poll_next(&mut self, context: &Context<'_>) -> Poll<Delivery> {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            self.waker = Some(context.waker().clone());
            self.topic.wake_list.set(self.wake_slot, self.waker.clone());
        }
        self.try_next().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next delivery, if it is there.
    pub fn try_next(&mut self) -> Option<Delivery> {
        if self.is_ended {
            return Some(Delivery::Ended(EndReason::Deleted));
        }
        while !self.is_up_to_date() {
            let Some(place) = self.place else {
                match self.join() {
                    Joined::Placed => continue,
                    Joined::With(delivery) => return Some(delivery),
                    Joined::NotYet => return None,
                }
            };
            match self.topic.at(place) {
                Slot::End => return None,
                Slot::Evicted => self.place = None,
                Slot::Entry(update) => {
                    self.place = Some(place + 1);
                    let is_new = place >= self.joined_at;
                    if update.position.is_some() || is_new {
                        let update = self.sealed(place, update);
                        return Some(self.deliver(update, is_new));
                    }
                }
            }
        }
        None
    }

    /// As its tenant wants it. Where it is sealed here, that is once for all subscribers.
    fn sealed(&self, place: u64, update: Arc<Update>) -> Arc<Update> {
        match self.shared.resealed(&self.topic, &update) {
            Some(sealed) => self.topic.replace(place, sealed),
            None => update,
        }
    }

    fn sealed_state(&self, state: Arc<Update>) -> Arc<Update> {
        match self.shared.resealed(&self.topic, &state) {
            Some(sealed) => self.topic.replace_state(sealed),
            None => state,
        }
    }

    /// An update from before it joined does not count as late.
    fn deliver(&mut self, update: Arc<Update>, is_new: bool) -> Delivery {
        self.is_ended = update.kind == UpdateKind::Deletion;
        if update.position.is_some() {
            self.position = update.position;
            if is_new {
                self.shared.lag.record(Instant::now().duration_since(update.received_at));
            }
        }
        Delivery::Update(update)
    }

    fn join(&mut self) -> Joined {
        let (point, effects) = self.topic.join_point(self.position, &mut self.awaited_read);
        self.shared.apply(&self.topic, effects);
        match point {
            JoinPoint::At(place) => {
                self.place = Some(place);
                Joined::Placed
            }
            JoinPoint::Sync { state, after } => {
                state.position.inspect(|position| self.count_skipped(*position));
                (self.place, self.position) = (Some(after), state.position);
                Joined::With(Delivery::Update(self.sealed_state(state)))
            }
            JoinPoint::Missing => Joined::With(Delivery::Ended(EndReason::Missing)),
            JoinPoint::Unknown => Joined::NotYet,
        }
    }

    fn count_skipped(&self, position: Position) {
        let before = self.position.filter(|before| before.epoch == position.epoch);
        let skipped = before.map_or(0, |before| position.version.saturating_sub(before.version + 1));
        if skipped > 0 {
            ::metrics::counter!(metrics::SNAPSHOTS_SKIPPED_TOTAL, "transport" => self.transport.label())
                .increment(skipped);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.leave(&self.topic, self.wake_slot, self.transport);
        ::metrics::gauge!(metrics::SUBSCRIBERS, "transport" => self.transport.label()).decrement(1);
    }
}
