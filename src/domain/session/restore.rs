//! A session that was lost is made again from its newest audited version.

use super::control::OnOutage;
use super::{Recovered, Session, Status};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;

/// A shorter absence is charged as usual.
pub const OUTAGE_MS: i64 = 5_000;

impl Session {
    /// The same version in a new epoch, as of `now`; `alive` is the last proof
    /// that somebody could have acted.
    #[must_use]
    pub fn restored(&self, alive: Timestamp, now: Timestamp) -> Self {
        let mut session = self.clone();
        let epoch = now.as_ms().max(self.position.epoch + 1);
        session.position = Position { epoch, ..self.position };
        session.recovered = Some(Recovered { at: now, from: self.updated_at });
        let alive = alive.max(self.updated_at);
        if session.rules.on_outage == OnOutage::Pause && now.since(alive) >= OUTAGE_MS {
            session.sit_out(alive, now);
        }
        session.due_at = session.next_due();
        session
    }

    /// What nobody could act on is not charged.
    fn sit_out(&mut self, alive: Timestamp, now: Timestamp) {
        self.settle(alive);
        if self.status == Status::Pending && self.is_due(now) {
            self.settle_start();
        }
        if self.status == Status::Running {
            self.charge_all(alive);
            self.stand_still("outage");
        }
    }

    /// A start that fell into the outage happens, but its clock stands still.
    fn settle_start(&mut self) {
        if let Some(at) = self.starts_at {
            self.begin(at);
        }
    }
}
