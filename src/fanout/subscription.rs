//! One subscriber's place in a session's ring.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::hub::Lines;
use super::ring::{At, Entrance, Told};
use super::topic::Topic;
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::telemetry::metrics;

/// What a subscriber is handed.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// A write or warnings, the next in order.
    Told(Arc<Told>),
    /// The newest state: first, and whenever something before it cannot be told any more.
    Sync {
        /// Where it stands.
        position: Position,
        /// `STATE_SYNC`.
        frame: Bytes,
    },
    /// Nothing will follow.
    Ended(Ended),
}

/// Why nothing will follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The session is deleted; that was handed out before.
    Deleted,
    /// There is no such session.
    Missing,
}

/// A place in a ring. In order, nothing twice; dropping it frees everything it holds.
#[derive(Debug)]
pub struct Subscription {
    topic: Arc<Topic>,
    lines: Arc<Lines>,
    transport: &'static str,
    /// What it was last handed; what the client says it has, while it has no place.
    position: Option<Position>,
    /// The place of what it is handed next.
    place: Option<u64>,
    /// Warnings from before it came are not for it.
    came_at: u64,
    waker: Option<Waker>,
    slot: u32,
    is_ended: bool,
}

impl Subscription {
    pub(super) fn new(
        topic: Arc<Topic>,
        lines: Arc<Lines>,
        slot: u32,
        position: Option<Position>,
        transport: &'static str,
    ) -> Self {
        lines.joined();
        ::metrics::gauge!(metrics::SUBSCRIBERS, "transport" => transport).increment(1);
        let came_at = topic.next();
        Self { topic, lines, transport, position, place: None, came_at, waker: None, slot, is_ended: false }
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

    /// Goes on from `last` if everything since is known; otherwise a sync is next.
    /// Whether it goes on.
    pub fn resume(&mut self, last: Option<Position>) -> bool {
        self.place = last.and_then(|last| self.topic.after(last));
        self.position = last.filter(|_| self.place.is_some());
        self.came_at = self.topic.next();
        self.is_ended = false;
        self.place.is_some()
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
            return Some(Delivery::Ended(Ended::Deleted));
        }
        loop {
            match self.place {
                Some(place) if !self.topic.has_told_beyond(place) => return None,
                Some(place) => match self.topic.at(place) {
                    At::End => return None,
                    At::Fallen => self.fall(),
                    At::Entry(told) => {
                        self.place = Some(place + 1);
                        if told.position.is_some() || place >= self.came_at {
                            return Some(self.hand(told));
                        }
                    }
                },
                None => {
                    if let Some(delivery) = self.enter() {
                        return delivery;
                    }
                }
            }
        }
    }

    fn hand(&mut self, told: Arc<Told>) -> Delivery {
        self.is_ended = told.is_deletion;
        if told.position.is_some() {
            self.position = told.position;
            self.lines.lag.record(Instant::now().duration_since(told.heard_at));
        }
        Delivery::Told(told)
    }

    /// What it had not been handed yet is gone.
    fn fall(&mut self) {
        self.place = None;
    }

    /// Finds a place; `None` if it has one now, with nothing to be handed yet.
    fn enter(&mut self) -> Option<Option<Delivery>> {
        self.place = self.position.and_then(|last| self.topic.after(last));
        if self.place.is_some() {
            return None;
        }
        match self.topic.entrance() {
            Entrance::Sync { position, frame, after } => {
                self.count_skipped(position);
                (self.place, self.position) = (Some(after), Some(position));
                Some(Some(Delivery::Sync { position, frame }))
            }
            Entrance::Deleted(place) => {
                self.place = Some(place);
                None
            }
            Entrance::Unknown if self.topic.is_missing() => Some(Some(Delivery::Ended(Ended::Missing))),
            Entrance::Unknown => Some(None),
        }
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
        self.lines.left();
        ::metrics::gauge!(metrics::SUBSCRIBERS, "transport" => self.transport).decrement(1);
    }
}
