//! The one timer of a connection that the library serves.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::{Activity, Waiting};
use super::deadlines::ConnectionTimeouts;

/// Looks at what a connection waits for. The timer may go off for nothing, so that no
/// request has to set it; it does not go off late.
pub(super) struct IdleTimer {
    activity: Activity,
    deadlines: ConnectionTimeouts,
    /// How long to wait for another request.
    idle: Duration,
    timer: Pin<Box<Sleep>>,
}

impl IdleTimer {
    pub(super) fn new(activity: Activity, deadlines: ConnectionTimeouts, idle: Duration) -> Self {
        let timer = Box::pin(sleep_until(Instant::now() + deadlines.head));
        Self { activity, deadlines, idle, timer }
    }

    /// Ready once it has waited for too long, and for what.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Waiting> {
        loop {
            let (waiting, until) = self.activity.waits(&self.deadlines, self.idle);
            if let Some(until) = until.filter(|until| *until < self.timer.deadline()) {
                self.timer.as_mut().reset(until);
            }
            ready!(self.timer.as_mut().poll(context));
            let now = Instant::now();
            if until.is_some_and(|until| now >= until) {
                // It is asked again only if the answer was to wait a little longer.
                self.timer.as_mut().reset(now + self.deadlines.write);
                return Poll::Ready(waiting);
            }
            self.timer.as_mut().reset(until.unwrap_or(now + self.deadlines.write));
        }
    }
}
