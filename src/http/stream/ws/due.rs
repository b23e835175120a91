//! What a connection does by the clock: heartbeats, pings, ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::codec;
use super::connection::{Connection, End};
use crate::domain::time::Timestamp;
use crate::http::stream::frames;
use crate::wire::close::Close;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// What the timer is for. Whether it went off.
    pub(super) fn take_due(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Result<bool, End> {
        // It may go off for nothing; it must not go off late.
        let next = self.next_due();
        if next < timer.deadline() {
            timer.as_mut().reset(next);
        }
        if timer.as_mut().poll(context).is_pending() {
            return Ok(false);
        }
        let now = Instant::now();
        self.due(now)?;
        timer.as_mut().reset(self.next_due());
        Ok(true)
    }

    fn due(&mut self, now: Instant) -> Result<(), End> {
        let is_past = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        if is_past(self.write_by) {
            return Err(Close::TooSlow.into());
        }
        if is_past(self.ends_at) {
            self.look_at_token(self.streams.parts.clock.now(), now);
        }
        if is_past(self.state_by.take_if(|at| now >= *at)) && self.feed.position().is_none() {
            return Err(Close::StoreUnavailable.into());
        }
        if is_past(self.leave_at) && self.commanding.is_none() {
            return Err(Close::GoingAway.into());
        }
        self.beat(now)
    }

    fn beat(&mut self, now: Instant) -> Result<(), End> {
        let streams = Arc::clone(&self.streams);
        let (parts, timing) = (&streams.parts, &streams.parts.timing);
        self.check_token(parts.clock.now())?;
        // Nothing is added to what does not go out, and nothing was read meanwhile.
        let is_written = self.write_by.is_none();
        let was_read = is_written && self.commanding.as_ref().is_none_or(|commanding| commanding.has_room());
        if self.pulse.is_lost(now, timing) {
            if was_read {
                return Err(Close::NoPong.into());
            }
            self.pulse.excuse(now);
        }
        if is_written && let Some(payload) = self.pulse.take_ping(now, timing) {
            self.socket.send(codec::ping(&payload));
        }
        if self.pulse.take_heartbeat(now) && is_written {
            let (session, position) = (self.feed.session(), self.feed.position());
            let frame = frames::heartbeat(session, position, parts.clock.now(), parts.hub.health());
            self.say(&frame);
        }
        Ok(())
    }

    pub(super) fn next_due(&self) -> Instant {
        let at = self.pulse.next(&self.streams.parts.timing, self.write_by.is_none());
        let leave_at = self.leave_at.filter(|_| self.commanding.is_none());
        let others = [self.write_by, self.state_by, leave_at, self.ends_at];
        others.into_iter().flatten().fold(at, Instant::min)
    }

    /// A stop has begun: each goes at its own instant, so that they do not all come back at once.
    pub(super) fn prepare_to_leave(&mut self) {
        if self.leave_at.is_none() && self.streams.parts.shutdown.is_begun() {
            self.leave_at = Some(Instant::now() + self.streams.share_of_drain());
        }
    }

    /// When to look at the token again; it ends by cluster time, which this host's timers only follow.
    pub(super) fn look_at_token(&mut self, cluster_now: Timestamp, now: Instant) {
        self.ends_at = self.principal.expires_at.map(|end| {
            let left = u64::try_from(end.as_ms().saturating_sub(cluster_now.as_ms())).unwrap_or(0);
            // A timer that is asked for too much would be refused.
            now + Duration::from_millis(left.min(24 * 3_600_000))
        });
    }

    pub(super) fn check_token(&self, now: Timestamp) -> Result<(), End> {
        match self.principal.expires_at {
            Some(end) if now >= end => Err(Close::TokenRefused.into()),
            _ => Ok(()),
        }
    }
}
