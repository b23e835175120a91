//! What a poll waits for, and the answer that comes of it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::long_poll::PollCaller;
use super::response::PollResponse;
use crate::auth::Denied;
use crate::domain::position::Position;
use crate::fanout::{Delivery, Update, UpdateKind};
use crate::stream::Streams;
use crate::stream::feed::Feed;
use crate::stream::lifetime::{Lifetime, Standing};
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;
use crate::wire::frame;

/// Those an instance sends away come back within so long: a poll is no stream that the
/// drain waits for, and the next instance may be there already.
const UNAVAILABLE_AFTER: Duration = Duration::from_secs(1);

/// What ended the waiting.
pub(super) enum PollOutcome {
    Told(Delivery),
    InTime,
    /// The instance goes away; come back after so long.
    GoingAway(Duration),
}

/// An answer to be: all events from the client's position on, or none of them.
#[derive(Default)]
struct CollectedUpdates {
    events: Vec<Bytes>,
    newest: Option<Position>,
    /// Something before cannot be told any more: the snapshot stands for everything.
    has_hole: bool,
}

impl CollectedUpdates {
    fn add(&mut self, told: &Update) {
        match told.kind {
            UpdateKind::State => self.leave_to_snapshot(),
            UpdateKind::Write | UpdateKind::Deletion if !self.has_hole => {
                self.events.extend(told.frames.iter().cloned());
            }
            UpdateKind::Write | UpdateKind::Deletion | UpdateKind::Warnings => {}
        }
        self.newest = told.position.or(self.newest);
    }

    fn leave_to_snapshot(&mut self) {
        self.has_hole = true;
        self.events.clear();
    }
}

impl Streams {
    /// Waits for a write, counted as a stream; warnings are no reason to answer.
    pub(super) async fn wait(
        &self,
        feed: &mut dyn Feed,
        PollCaller { principal, address }: &PollCaller,
        patience: Duration,
    ) -> Result<PollOutcome, ApiError> {
        // A poll that waits is a stream.
        let _permits = self.admit(principal, *address, feed.session()).await?;
        let mut lifetime = Lifetime::of(principal, self.parts.clock.now());
        let by = Instant::now() + patience;
        let mut timer = pin!(sleep_until(lifetime.token_at().map_or(by, |at| at.min(by))));
        poll_fn(|context| {
            match lifetime.standing(self, principal, *address) {
                Standing::Good => {
                    if let Poll::Ready(told) = poll_write(feed, context) {
                        return Poll::Ready(Ok(PollOutcome::Told(told)));
                    }
                }
                Standing::Unknown => timer.as_mut().reset(lifetime.token_at().map_or(by, |at| at.min(by))),
                Standing::Excluded => return Poll::Ready(Err(ApiError::of(Code::AddressDenied))),
                Standing::Revoked => return Poll::Ready(Err(Denied::Revoked.into())),
            }
            // Whoever watches is woken when a stop begins.
            if self.parts.shutdown.is_begun() {
                return Poll::Ready(Ok(PollOutcome::GoingAway(self.share_of(UNAVAILABLE_AFTER))));
            }
            ready!(timer.as_mut().poll(context));
            let is_valid = lifetime.check_token(self.parts.clock.now());
            if lifetime.is_held() && is_valid.is_ok() && Instant::now() < by {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(is_valid.map(|()| PollOutcome::InTime).map_err(|_| ApiError::of(Code::TokenExpired)))
        })
        .await
    }

    pub(super) async fn answer(&self, feed: &mut dyn Feed, waited: PollOutcome) -> Result<PollResponse, ApiError> {
        let (timed_out, next_poll) = match &waited {
            PollOutcome::Told(_) => (false, Duration::ZERO),
            PollOutcome::InTime => (true, Duration::ZERO),
            PollOutcome::GoingAway(share) => (true, *share),
        };
        let mut gathered = CollectedUpdates::default();
        match waited {
            PollOutcome::Told(Delivery::Ended(_)) => return Err(ApiError::of(Code::SessionNotFound)),
            PollOutcome::Told(Delivery::Update(told)) => gathered.add(&told),
            PollOutcome::InTime | PollOutcome::GoingAway(_) => {}
        }
        let state = self.newest(feed).await?;
        catch_up(feed, &mut gathered, state.as_ref().and_then(|state| state.position));
        let session = state.and_then(|state| frame::payload_in(state.frames.first()?));
        let position = gathered.newest.or(feed.position()).unwrap_or_default();
        Ok(PollResponse::new(position, timed_out, &gathered.events, session.as_deref(), next_poll))
    }

    /// The newest snapshot as the ring has it; none of a session that is gone, or where no
    /// snapshot is.
    async fn newest(&self, feed: &dyn Feed) -> Result<Option<Arc<Update>>, ApiError> {
        let mut fresh = feed.fresh();
        match self.placed(&mut *fresh, self.place_by()).await? {
            Some(Delivery::Update(state)) if state.kind == UpdateKind::State => Ok(Some(state)),
            _ => Ok(None),
        }
    }
}

fn poll_write(feed: &mut dyn Feed, context: &Context<'_>) -> Poll<Delivery> {
    loop {
        match ready!(feed.poll_next(context)) {
            Delivery::Update(told) if told.kind == UpdateKind::Warnings => {}
            delivery => return Poll::Ready(delivery),
        }
    }
}

/// Tells everything up to where the snapshot stands, so that neither is ahead of the other. It
/// is no more than a topic's ring holds.
fn catch_up(feed: &mut dyn Feed, gathered: &mut CollectedUpdates, until: Option<Position>) {
    while gathered.newest < until {
        match feed.try_next() {
            Some(Delivery::Update(told)) => gathered.add(&told),
            _ => break,
        }
    }
    if gathered.newest < until {
        gathered.leave_to_snapshot();
        gathered.newest = gathered.newest.max(until);
    }
}
