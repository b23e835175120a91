//! An arbiter's correction: clocks and turn as they stood in an earlier version.

use super::command::Refused;
use super::event::{Kind, Outcome};
use super::{Session, Status};
use crate::domain::time::Timestamp;

impl Session {
    pub(super) fn revert(&mut self, then: &Self, now: Timestamp) -> Result<Outcome, Refused> {
        let mut past = then.clone();
        past.charge_all(past.updated_at);
        self.take_clocks_of(past);
        match (self.status, then.status) {
            (_, Status::Pending) => {
                self.status = Status::Pending;
                self.reasons.clear();
                self.starts_at = None;
                self.started_at = None;
            }
            (Status::Running, _) => self.run_on(now)?,
            (Status::Pending, _) => {
                self.starts_at = None;
                self.started_at = then.started_at;
                self.stand_still("revert");
            }
            _ => {}
        }
        Ok(Outcome::of(Kind::Reverted))
    }

    fn take_clocks_of(&mut self, past: Self) {
        self.clock = past.clock;
        self.active = past.active;
        self.cycle_used_ms = past.cycle_used_ms;
        self.participants = past.participants;
        self.groups = past.groups;
        self.stop_clocks();
    }
}
