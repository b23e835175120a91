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
        let epoch = now.as_ms().max(self.position.epoch.saturating_add(1));
        session.position = Position { epoch, ..self.position };
        session.recovered = Some(Recovered { at: now, from: self.updated_at });
        let alive = alive.max(self.updated_at);
        if session.rules.on_outage == OnOutage::Pause && now.since(alive) >= OUTAGE_MS {
            session.sit_out(alive, now);
        }
        session.due_at = session.next_due();
        session
    }

    /// What nobody could act on is not charged. A session that had ended before
    /// the outage is left as it is: settling that is a write of its own.
    fn sit_out(&mut self, alive: Timestamp, now: Timestamp) {
        let mut then = self.clone();
        then.settle(alive);
        if then.is_in_grace(alive) {
            then.expire_running();
        }
        if then.status == Status::Pending && then.is_due(now) {
            then.settle_start();
        }
        if then.status == Status::Running {
            then.charge_all(alive);
            then.stand_still("outage");
            *self = then;
        }
    }

    /// A start that fell into the outage happens, but its clock stands still.
    fn settle_start(&mut self) {
        if let Some(at) = self.starts_at {
            self.begin(at);
        }
    }
}
