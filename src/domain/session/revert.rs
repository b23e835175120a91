//! An arbiter's correction: clocks and turn as they stood in an earlier version.
//!
//! Who takes part stays as it is now. A participant that was removed since does not come
//! back, and one that was added since keeps its own bank.

use std::sync::Arc;

use super::command::Refused;
use super::event::{Kind, Outcome};
use super::participant::Participant;
use super::{Session, Status};
use crate::domain::time::Timestamp;

impl Session {
    /// Banks, phases, counts and turn become what they were; the status stays
    /// what it is, so what runs runs on.
    pub(super) fn revert(&mut self, then: &Self, now: Timestamp) -> Result<Outcome, Refused> {
        let mut past = then.clone();
        past.charge_all(past.updated_at);
        self.charge_all(now);
        self.take_clocks_of(&past);
        let turn_passes = self.take_turn_of(&past);
        match (self.status, then.status) {
            (Status::Running | Status::Paused, Status::Pending) => self.begin_anew(now)?,
            (Status::Running | Status::Paused, _) if turn_passes => self.begin_turn(now)?,
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
        self.stand_still_if(was);
        Ok(())
    }

    /// Begins the cycle of the participant that has the turn now.
    fn begin_turn(&mut self, now: Timestamp) -> Result<(), Refused> {
        if self.active.is_none() && self.nobody_can_play() {
            return Err(Refused::ParticipantExpired);
        }
        let was = self.status;
        self.begin_cycle(self.active, now);
        self.stand_still_if(was);
        Ok(())
    }

    fn stand_still_if(&mut self, was: Status) {
        if was == Status::Paused {
            self.status = was;
            self.stop_clocks();
        }
    }

    fn take_clocks_of(&mut self, past: &Self) {
        self.clock = past.clock.clone();
        self.cycle_used_ms = past.cycle_used_ms;
        for participant in &mut self.participants {
            if let Some(before) = past.participants.iter().find(|before| is_same(before, participant)) {
                Arc::make_mut(participant).take_clock_of(before);
            }
        }
        for group in &mut self.groups {
            if let Some(place) = past.place(&group.group_id) {
                group.bank = past.groups[place].bank.clone();
                group.last_active.clone_from(&past.groups[place].last_active);
            }
        }
        self.stop_clocks();
    }

    /// Takes the turn as it was. Where it was that of a participant that is gone, it passes
    /// to the next one; gives whether it did.
    fn take_turn_of(&mut self, past: &Self) -> bool {
        self.active = past.active_participant().and_then(|before| self.seat_of(before));
        let Some(gone) = past.active.filter(|_| self.active.is_none()) else { return false };
        let after = (1..past.participants.len()).map(|step| (gone + step) % past.participants.len());
        let still_here = after.filter_map(|seat| self.seat_of(&past.participants[seat]));
        let next = still_here.into_iter().find(|seat| self.can_play(*seat));
        self.active = next.or_else(|| self.seat_in_turn());
        true
    }

    fn seat_of(&self, before: &Participant) -> Option<usize> {
        self.participants.iter().position(|participant| is_same(before, participant))
    }
}

/// The same id may be another participant's by now.
fn is_same(before: &Participant, now: &Participant) -> bool {
    before.participant_id == now.participant_id && before.joined == now.joined
}

impl Participant {
    fn take_clock_of(&mut self, before: &Self) {
        self.bank = before.bank.clone();
        self.used_ms = before.used_ms;
        self.cycle_count = before.cycle_count;
        self.lag_quota_ms = before.lag_quota_ms;
    }
}
