//! An arbiter's correction: clocks and turn as they stood in an earlier version.

use super::command::Refused;
use super::event::{Kind, Outcome};
use super::{Session, Status};
use crate::domain::time::Timestamp;

impl Session {
    /// Banks, phases, counts and turn become what they were; the status stays
    /// what it is, so what runs runs on.
    pub(super) fn revert(&mut self, then: &Self, now: Timestamp) -> Result<Outcome, Refused> {
        let mut past = then.clone();
        past.charge_all(past.updated_at);
        self.take_clocks_of(past);
        match (self.status, self.is_turn_open()) {
            (Status::Running, true) => self.begin_cycle(self.seat_in_turn(), now),
            (Status::Running, false) => self.run_on(now)?,
            (Status::Paused, true) => {
                self.begin_cycle(self.seat_in_turn(), now);
                self.stop_clocks();
            }
            _ => {}
        }
        Ok(Outcome::of(Kind::Reverted))
    }

    /// Before the first turn nobody had it, though somebody has to now.
    fn is_turn_open(&self) -> bool {
        !self.is_simultaneous() && self.active.is_none()
    }

    fn take_clocks_of(&mut self, mut past: Self) {
        for participant in &mut past.participants {
            if let Some(seat) = self.seat(&participant.participant_id) {
                participant.metadata = self.participants[seat].metadata.clone();
            }
        }
        self.clock = past.clock;
        self.active = past.active;
        self.cycle_used_ms = past.cycle_used_ms;
        self.participants = past.participants;
        self.groups = past.groups;
        self.stop_clocks();
    }
}
