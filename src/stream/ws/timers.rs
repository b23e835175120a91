//! What a connection does by the clock: heartbeats, pings, ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;

use tokio::time::{Instant, Sleep};

use super::codec;
use super::connection::{Connection, End};
use super::socket::Wire;
use crate::stream::frames;
use crate::wire::close::Close;

impl<S: Wire> Connection<S> {
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
        if is_past(self.lifetime.token_at()) {
            self.lifetime.look_at_token(self.streams.parts.clock.now())?;
        }
        if is_past(self.place_by) {
            self.give_up_places(now)?;
        }
        if self.lifetime.is_to_leave(now) && self.commanding.is_none() {
            return Err(Close::GoingAway.into());
        }
        self.beat(now)
    }

    fn beat(&mut self, now: Instant) -> Result<(), End> {
        let streams = Arc::clone(&self.streams);
        let (parts, timing) = (&streams.parts, &streams.parts.timing);
        self.lifetime.check_token(parts.clock.now())?;
        // Nothing is added to what does not go out, and nothing was read meanwhile.
        let is_written = self.write_by.is_none();
        let was_read = is_written && self.may_hear() && self.budget.paused_until().is_none();
        if self.pulse.is_lost(now, timing) {
            if was_read {
                return Err(Close::NoPong.into());
            }
            self.pulse.excuse(now);
        }
        if is_written && let Some(payload) = self.pulse.take_ping(now, timing) {
            self.socket.send(codec::ping(&payload));
        }
        // How a stream begins is said first.
        let is_placed = self.place_by.is_none() || self.subscriptions.session().is_none();
        if self.pulse.take_heartbeat(now) && is_written && is_placed {
            let (session, position) = (self.subscriptions.session().cloned(), self.subscriptions.position());
            let frame = frames::heartbeat(session.as_ref(), position, parts.clock.now(), parts.hub.health());
            self.send(session.as_ref(), frame);
        }
        Ok(())
    }

    pub(super) fn next_due(&self) -> Instant {
        let at = self.pulse.next(&self.streams.parts.timing, self.write_by.is_none());
        let leave_at = self.lifetime.leave_at().filter(|_| self.commanding.is_none());
        let paused_until = self.budget.paused_until().filter(|_| self.write_by.is_none());
        let others = [self.write_by, self.place_by, leave_at, self.lifetime.token_at(), paused_until];
        others.into_iter().flatten().fold(at, Instant::min)
    }
}
