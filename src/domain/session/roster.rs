//! Participants come, change and go, also while the session runs.

use super::command::{ParticipantChange, Refused};
use super::control::{MAX_PARTICIPANTS, SyncMode};
use super::event::{Kind, Outcome};
use super::new::NewParticipant;
use super::participant::{Joined, Participant};
use super::validate::{check_metadata, check_newcomer, needs_participants};
use super::{Owner, Session, Status};
use crate::domain::id::ParticipantId;
use crate::domain::time::Timestamp;

impl Session {
    pub(super) fn add_participant(&mut self, new: &NewParticipant, now: Timestamp) -> Result<Outcome, Refused> {
        if self.seat(&new.participant_id).is_some() || self.participants.len() >= MAX_PARTICIPANTS {
            return Err(Refused::InvalidParticipants);
        }
        if self.rules.time_control.hourglass {
            return Err(Refused::WrongMode);
        }
        check_newcomer(self, new)?;
        let joined = Some(Joined { version: self.position.version + 1, at: now });
        let participant = Participant { joined, ..Participant::new(new, self.sync_mode, &self.rules) };
        let seat = new.participant_index.map_or(usize::MAX, |index| index as usize).min(self.participants.len());
        self.participants.insert(seat, participant.into());
        self.active = self.active.map(|active| if active >= seat { active + 1 } else { active });
        self.participant_mut(seat).lag_quota_ms = self.allowance(seat).start;
        self.welcome(seat, now);
        Ok(Outcome::of(Kind::ParticipantAdded))
    }

    /// Where all clocks run at once, a newcomer's does too.
    fn welcome(&mut self, seat: usize, now: Timestamp) {
        let runs = self.is_simultaneous() && self.status == Status::Running;
        if runs && self.sync_mode == SyncMode::PerParticipant {
            let (bank, control) = self.clocked(Owner::Participant(seat));
            bank.begin(now, control, 0);
        }
    }

    pub(super) fn change_participant(
        &mut self,
        id: &ParticipantId,
        change: &ParticipantChange,
    ) -> Result<Outcome, Refused> {
        let seat = self.seat(id).ok_or(Refused::UnknownParticipant)?;
        let is_of_the_clock =
            change.total_time_ms.is_some() || change.group_id.is_some() || change.time_control.is_some();
        if is_of_the_clock {
            self.change_terms(seat, change)?;
        }
        if let Some(metadata) = &change.metadata {
            check_metadata("", metadata).map_err(|_| Refused::OutOfBounds)?;
            self.participant_mut(seat).metadata = metadata.clone().into();
        }
        if let Some(index) = change.participant_index {
            self.move_seat(seat, index as usize);
        }
        Ok(Outcome::of(Kind::ParticipantChanged))
    }

    /// Bank, group and control are agreed before the start.
    fn change_terms(&mut self, seat: usize, change: &ParticipantChange) -> Result<(), Refused> {
        if self.status != Status::Pending {
            return Err(Refused::AlreadyStarted);
        }
        let renewed = self.renewed(seat, change);
        check_newcomer(self, &renewed)?;
        let joined = self.participants[seat].joined;
        self.participants[seat] =
            Participant { joined, ..Participant::new(&renewed, self.sync_mode, &self.rules) }.into();
        self.participant_mut(seat).lag_quota_ms = self.allowance(seat).start;
        Ok(())
    }

    /// A participant as a change would have it.
    pub(super) fn renewed(&self, seat: usize, change: &ParticipantChange) -> NewParticipant {
        let present = &self.participants[seat];
        NewParticipant {
            participant_id: present.participant_id.clone(),
            total_time_ms: change.total_time_ms.or(present.bank.base_ms),
            group_id: change.group_id.clone().or_else(|| present.group_id.clone()),
            participant_index: None,
            time_control: change.time_control.clone().or_else(|| present.time_control.clone()),
            metadata: (*present.metadata).clone(),
        }
    }

    fn move_seat(&mut self, from: usize, to: usize) {
        let active = self.active_participant().map(|participant| participant.participant_id.clone());
        let participant = self.participants.remove(from);
        self.participants.insert(to.min(self.participants.len()), participant);
        self.active = active.and_then(|id| self.seat(&id));
    }

    pub(super) fn remove_participant(&mut self, id: &ParticipantId, now: Timestamp) -> Result<Outcome, Refused> {
        let seat = self.seat(id).ok_or(Refused::UnknownParticipant)?;
        let is_needed = needs_participants(self.sync_mode, self.rules.concurrency);
        if self.rules.time_control.hourglass || (is_needed && self.participants.len() == 1) {
            return Err(Refused::InvalidParticipants);
        }
        let charged = if self.active == Some(seat) { self.hand_on_from(seat, now) } else { 0 };
        self.participants.remove(seat);
        self.active = self.active.filter(|active| *active != seat).map(|active| active - usize::from(active > seat));
        if self.is_simultaneous() && matches!(self.status, Status::Running | Status::Paused) {
            self.end_with_the_last();
        }
        Ok(Outcome::charging(Kind::ParticipantRemoved, charged))
    }

    /// The next one's cycle begins, and the one who leaves earns nothing. While
    /// paused it is made ready but does not run.
    fn hand_on_from(&mut self, seat: usize, now: Timestamp) -> i64 {
        let next = self.seat_in_turn().filter(|next| *next != seat);
        if self.status == Status::Pending {
            self.active = next;
            return 0;
        }
        let charged = self.charge_all(now);
        self.finish_cycle(self.owner_in_turn(), false);
        if next.is_none() && self.has_own_banks() {
            self.end(Status::Expired);
        } else {
            self.begin_cycle(next, now);
        }
        if self.status == Status::Paused {
            self.stop_clocks();
        }
        charged
    }
}
