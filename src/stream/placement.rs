//! Waiting for a stream's place, which is not waiting for something to tell.
//!
//! Whoever is up to date has a place as soon as the session was read, and nothing is
//! handed out with it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Streams;
use super::feed::Feed;
use crate::domain::position::Position;
use crate::fanout::{Delivery, Unavailable, Update, UpdateKind};
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;

/// A read that is under way when a stop begins may take so long.
const LAST_READ: Duration = Duration::from_millis(200);

/// Why a feed has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlacementError {
    /// Where the session stands cannot be learned.
    Unavailable(Unavailable),
    /// The instance goes away.
    GoingAway,
}

/// As a plain read of the session says it.
impl From<Unavailable> for ApiError {
    fn from(Unavailable { code, retry_after }: Unavailable) -> Self {
        // Waiting repairs nothing.
        if code == Code::NeedsRepair { Self::of(code) } else { Self::unavailable_for(code, retry_after) }
    }
}

impl From<PlacementError> for ApiError {
    fn from(why: PlacementError) -> Self {
        match why {
            PlacementError::Unavailable(why) => why.into(),
            PlacementError::GoingAway => Self::unavailable(Code::Draining),
        }
    }
}

/// Whether a client has seen the session's end already, or none of the session: nothing follows.
pub(super) fn has_ended(first: &Update, last: Option<Position>) -> bool {
    first.kind == UpdateKind::Deletion && first.position == last.or(first.position)
}

impl Streams {
    /// Until when a stream that begins now waits for its place.
    pub(super) fn place_by(&self) -> Instant {
        Instant::now() + self.parts.timing.state_wait
    }

    /// Waits for a place until `by`; gives what comes first, if that is there already. A
    /// failure that lasts is not waited for, and neither is anything once a stop has begun.
    pub(super) async fn placed(&self, feed: &mut dyn Feed, by: Instant) -> Result<Option<Delivery>, PlacementError> {
        let mut timer = pin!(sleep_until(by));
        let mut is_leaving = false;
        poll_fn(|context| {
            if let Poll::Ready(first) = feed.poll_placed(context) {
                return Poll::Ready(Ok(first));
            }
            let failure = feed.unavailable();
            if let Some(why) = failure.filter(Unavailable::is_lasting) {
                return Poll::Ready(Err(PlacementError::Unavailable(why)));
            }
            // Whoever watches is woken when a stop begins.
            if !is_leaving && self.parts.shutdown.is_begun() {
                is_leaving = true;
                timer.as_mut().reset(by.min(Instant::now() + LAST_READ));
            }
            ready!(timer.as_mut().poll(context));
            let unavailable = PlacementError::Unavailable(failure.unwrap_or(Unavailable::STORE));
            Poll::Ready(Err(if is_leaving { PlacementError::GoingAway } else { unavailable }))
        })
        .await
    }
}
