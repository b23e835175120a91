//! A session that was lost is made again from its newest audited version.

use super::control::OnOutage;
use super::{Recovered, Session, Status};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;

/// A shorter absence is charged as usual.
pub const OUTAGE_MS: i64 = 5_000;

/// A span in which no instance was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// The last proof of life before it.
    pub from: Timestamp,
    /// When somebody was there again.
    pub until: Timestamp,
}

impl Session {
    /// The same version in a new epoch, made at `now`; nobody was there in `absence`.
    #[must_use]
    pub fn restored(&self, absence: Option<Absence>, now: Timestamp) -> Self {
        let mut session = self.clone();
        let epoch = now.as_ms().max(self.position.epoch.saturating_add(1));
        session.position = Position { epoch, ..self.position };
        session.recovered = Some(Recovered { at: now, from: self.updated_at });
        if let Some(Absence { from, until }) = absence {
            let alive = from.max(self.updated_at);
            if session.rules.on_outage == OnOutage::Pause && until.since(alive) >= OUTAGE_MS {
                session.sit_out(alive, until);
            }
        }
        session.due_at = session.next_due();
        session
    }

    /// What nobody could act on is not charged. A session that had ended before
    /// the outage is left as it is: settling that is a write of its own.
    fn sit_out(&mut self, alive: Timestamp, until: Timestamp) {
        let mut then = self.clone();
        then.settle(alive);
        if then.is_in_grace(alive) {
            then.expire_running();
        }
        if then.status == Status::Pending && then.is_due(until) {
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
