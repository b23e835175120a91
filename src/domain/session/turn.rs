//! Whose turn it is: cycles begin, are charged, earn, and hand on.

use super::bank::{Earned, Phase};
use super::command::{Next, Refused, Switch};
use super::control::{Action, SyncMode};
use super::event::{Kind, Outcome};
use super::{Owner, Session, Status};
use crate::domain::id::GroupId;
use crate::domain::time::Timestamp;

impl Session {
    pub(super) fn switch(&mut self, switch: &Switch, now: Timestamp) -> Result<Outcome, Refused> {
        let owner = self.may_switch(switch)?;
        let next = self.successor(&switch.next)?;
        let lag = self.judge_lag(owner, switch.acted_at, switch.connection_lag_ms, now);
        self.charge(owner, now, lag.credited_ms);
        let charged_ms = self.cycle_used_ms;
        self.finish_cycle(owner, true);
        if let Some(seat) = self.active {
            let allowance = self.allowance(seat);
            let participant = &mut self.participants[seat];
            participant.lag_quota_ms = allowance.after(participant.lag_quota_ms, lag.credited_ms);
        }
        self.begin_cycle(next, now);
        Ok(Outcome {
            lag_credited_ms: lag.credited_ms,
            lag_refused_ms: lag.refused_ms,
            ..Outcome::charging(Kind::Switched, charged_ms)
        })
    }

    /// The running clock, if this switch is about whoever is active.
    pub(super) fn may_switch(&self, switch: &Switch) -> Result<Owner, Refused> {
        if self.is_simultaneous() {
            return Err(Refused::WrongMode);
        }
        if let Some(id) = &switch.current {
            let seat = self.seat(id).ok_or(Refused::UnknownParticipant)?;
            if self.status == Status::Running && self.active != Some(seat) {
                return Err(Refused::NotActive);
            }
        }
        self.running().ok_or(Refused::NotRunning)
    }

    fn successor(&self, next: &Next) -> Result<Option<usize>, Refused> {
        match next {
            Next::InTurn if self.participants.is_empty() => Ok(None),
            Next::InTurn => self.seat_in_turn().map(Some).ok_or(Refused::ParticipantExpired),
            Next::Group(id) => self.successor_in(id).map(Some),
            Next::Participant(id) => {
                let seat = self.seat(id).ok_or(Refused::UnknownParticipant)?;
                if self.can_play(seat) { Ok(Some(seat)) } else { Err(Refused::ParticipantExpired) }
            }
        }
    }

    fn successor_in(&self, id: &GroupId) -> Result<usize, Refused> {
        if self.sync_mode != SyncMode::PerGroup {
            return Err(Refused::WrongMode);
        }
        let place = self.place(id).ok_or(Refused::UnknownGroup)?;
        let seat = self.next_of_group(place).ok_or(Refused::UnknownParticipant)?;
        if self.can_play(seat) { Ok(seat) } else { Err(Refused::ParticipantExpired) }
    }

    /// Whether a seat may become active: its own bank has not run out for good.
    pub(super) fn can_play(&self, seat: usize) -> bool {
        let is_out = self.has_own_banks() && self.bank(self.owner_of(seat)).expired_at.is_some();
        !is_out || self.rules.action() == Action::Continue
    }

    /// Who comes next in turn order and can play; whoever is active comes last.
    pub(super) fn seat_in_turn(&self) -> Option<usize> {
        if self.sync_mode == SyncMode::PerGroup {
            return self.group_in_turn();
        }
        let after = self.active.map_or(0, |seat| seat + 1);
        ring(after, self.participants.len()).find(|seat| self.can_play(*seat))
    }

    fn group_in_turn(&self) -> Option<usize> {
        let after = self.active.and_then(|seat| self.group_of(seat)).map_or(0, |place| place + 1);
        ring(after, self.groups.len()).filter_map(|place| self.next_of_group(place)).find(|seat| self.can_play(*seat))
    }

    /// The member that follows the group's last active one.
    fn next_of_group(&self, place: usize) -> Option<usize> {
        let last = self.groups[place].last_active.as_ref().and_then(|id| self.seat(id));
        let after = last.map_or(0, |seat| seat + 1);
        ring(after, self.participants.len()).find(|seat| self.group_of(*seat) == Some(place))
    }

    /// `seat`'s cycle begins at `at`; without a seat, the session's own.
    pub(super) fn begin_cycle(&mut self, seat: Option<usize>, at: Timestamp) {
        self.active = seat;
        self.cycle_used_ms = 0;
        if self.sync_mode == SyncMode::PerCycle {
            self.refill_cycle(seat);
        }
        if let Some(place) = seat.and_then(|seat| self.group_of(seat)) {
            self.groups[place].last_active = seat.map(|seat| self.participants[seat].participant_id.clone());
        }
        let owner = seat.map_or(Owner::Session, |seat| self.owner_of(seat));
        let before = seat.map_or(0, |seat| self.participants[seat].cycle_count);
        let (bank, control) = self.clocked(owner);
        bank.begin(at, control, before);
    }

    fn refill_cycle(&mut self, seat: Option<usize>) {
        self.clock.refill(self.rules.time_per_cycle_ms.unwrap_or(0));
        self.clock.expired_at = None;
        if let Some(seat) = seat {
            let reserve = &mut self.participants[seat].bank;
            reserve.expired_at = None;
            reserve.phase = Phase::Main { stage: 0 };
        }
    }

    pub(super) fn run_reserve(&mut self, seat: usize, at: Timestamp) {
        let reserve = &mut self.participants[seat].bank;
        reserve.phase = Phase::Reserve;
        reserve.anchor = Some(at);
    }

    /// Takes what ran by `now`, less credited lag, from an owner's clock.
    pub(super) fn charge(&mut self, owner: Owner, now: Timestamp, credit_ms: i64) -> i64 {
        let charged = self.bank_mut(owner).charge(now, credit_ms);
        let by = if let Owner::Participant(seat) = owner { Some(seat) } else { self.active };
        if let Some(seat) = by {
            self.participants[seat].used_ms += charged;
        }
        if !self.is_simultaneous() {
            self.cycle_used_ms += charged;
        }
        if let (true, Owner::Participant(seat)) = (self.rules.time_control.hourglass, owner) {
            self.participants[1 - seat].bank.grant(charged);
        }
        charged
    }

    /// Counts the cycle, lets it earn if it ended in time, and stops its clock.
    pub(super) fn finish_cycle(&mut self, owner: Owner, in_time: bool) {
        if let (false, Some(seat)) = (self.is_simultaneous(), self.active) {
            self.participants[seat].cycle_count += 1;
        }
        if let (true, Owner::Participant(seat)) = (self.is_simultaneous(), owner) {
            self.participants[seat].cycle_count += 1;
        }
        let (used, increment_ms) = (self.cycle_used_ms, self.rules.increment_ms);
        let cap_ms = self.rules.max_time_ms.filter(|_| self.has_own_banks());
        let (bank, control) = self.clocked(owner);
        let is_free = bank.is_free;
        bank.count_cycle();
        if in_time && bank.expired_at.is_none() {
            bank.earn(used, &Earned { control, increment_ms, cap_ms, is_free });
        }
        bank.anchor = None;
    }
}

/// All places once, from `after` on and round.
fn ring(after: usize, len: usize) -> impl Iterator<Item = usize> {
    (0..len).map(move |step| (after + step) % len.max(1))
}
