//! What each clock shows at an instant. Nothing ticks: each read computes it from the last anchor.

use super::control::{PLAIN, SyncMode};
use super::{Owner, Session};
use crate::domain::time::Timestamp;

impl Session {
    /// What an owner's clock shows at `now`: what remains, or what has elapsed
    /// where time counts up. `None` if it has no clock to show.
    ///
    /// Valid up to the next instant at which settling changes anything.
    pub fn remaining(&self, owner: Owner, now: Timestamp) -> Option<i64> {
        let now = now.max(self.updated_at);
        match owner {
            Owner::Session if self.sync_mode == SyncMode::CountUp => Some(self.elapsed(now)),
            Owner::Session if self.has_own_banks() => None,
            Owner::Participant(seat) if self.rules.time_control.hourglass => Some(self.sand(seat, now)),
            Owner::Participant(seat) if self.sync_mode == SyncMode::PerCycle => self.reserve(seat, now),
            _ => self.bank(owner).remaining(now, self.control(owner)),
        }
    }

    /// What has been counted up.
    fn elapsed(&self, now: Timestamp) -> i64 {
        let ran = self.clock.anchor.map_or(0, |anchor| now.since(anchor));
        self.clock.used_ms + self.clock.left_ms.map_or(ran, |left| ran.min(left))
    }

    /// What one has lost the other has gained.
    fn sand(&self, seat: usize, now: Timestamp) -> i64 {
        let shown = |seat: usize| self.participants[seat].bank.remaining(now, self.control(Owner::Participant(seat)));
        let lost = |seat: usize| self.participants[seat].bank.left_ms.unwrap_or(0) - shown(seat).unwrap_or(0);
        shown(seat).unwrap_or(0) + lost(1 - seat)
    }

    /// The reserve stands until the cycle's own time is out.
    fn reserve(&self, seat: usize, now: Timestamp) -> Option<i64> {
        let reserve = &self.participants[seat].bank;
        let over = match self.clock.dry_at() {
            Some(dry) if self.active == Some(seat) => now.since(dry),
            _ => 0,
        };
        Some((reserve.remaining(now, &PLAIN)? - over).max(0))
    }
}
