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
        let epoch = now.as_ms().max(self.position.epoch + 1);
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

    /// What nobody could act on is not charged.
    fn sit_out(&mut self, alive: Timestamp, until: Timestamp) {
        self.settle(alive);
        if self.status == Status::Pending && self.is_due(until) {
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
