//! An arbiter's correction: clocks and turn as they stood in an earlier version.

use std::sync::Arc;

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
        match (self.status, then.status) {
            (Status::Running | Status::Paused, Status::Pending) => self.begin_anew(now)?,
            (Status::Running, _) => self.run_on(now)?,
            _ => {}
        }
        Ok(Outcome::of(Kind::Reverted))
    }

    /// Before the start nobody had the turn, though somebody has to now.
    fn begin_anew(&mut self, now: Timestamp) -> Result<(), Refused> {
        if self.nobody_can_play() {
            return Err(Refused::ParticipantExpired);
        }
        let was = self.status;
        self.begin(now);
        if was == Status::Paused {
            self.status = was;
            self.stop_clocks();
        }
        Ok(())
    }

    fn take_clocks_of(&mut self, mut past: Self) {
        for participant in &mut past.participants {
            if let Some(seat) = self.seat(&participant.participant_id) {
                Arc::make_mut(participant).metadata = self.participants[seat].metadata.clone();
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
