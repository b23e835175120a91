//! Whose turn it is: cycles begin, are charged, earn, and hand on.

use super::command::{Next, Refused, Switch};
use super::control::{Action, HandOn, SyncMode};
use super::event::{Kind, Outcome};
use super::{Owner, Session, Status};
use crate::domain::id::GroupId;
use crate::domain::time::Timestamp;

impl Session {
    pub(super) fn switch(&mut self, switch: &Switch, now: Timestamp) -> Result<Outcome, Refused> {
        let owner = self.check_switch(switch)?;
        let next = self.successor(&switch.next)?;
        let lag = self.judge_lag(owner, switch.acted_at, switch.connection_lag_ms, now);
        self.charge(owner, now, lag.credited_ms);
        self.spend_quota(lag.credited_ms);
        let charged_ms = self.cycle_used_ms;
        self.finish_cycle(owner, true);
        self.begin_cycle(next, now);
        Ok(Outcome {
            lag_credited_ms: lag.credited_ms,
            lag_refused_ms: lag.refused_ms,
            ..Outcome::charging(Kind::Switched, charged_ms)
        })
    }

    /// The running clock, if this switch is about the active participant.
    pub(super) fn check_switch(&self, switch: &Switch) -> Result<Owner, Refused> {
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

    /// Whether the session's rights let the active participant hand on so: to the next in
    /// turn, or to anyone else where they say `any`. What the rules refuse anyway passes,
    /// so that the refusal can say why.
    pub fn lets_hand_on(&self, next: &Next) -> bool {
        let (Some(active), Ok(Some(seat))) = (self.active, self.successor(next)) else { return true };
        if self.earns_from_itself(active, seat, next) {
            return false;
        }
        self.rules.rights.hand_on == HandOn::Any || self.seat_in_turn() == Some(seat)
    }

    /// Handing on to one's own clock would end a cycle, with all that a cycle earns, and go on.
    /// Where cycles earn nothing, a turn that comes round to the only participant is a lap.
    fn earns_from_itself(&self, active: usize, seat: usize, next: &Next) -> bool {
        match self.sync_mode {
            SyncMode::PerGroup => self.owner_of(active) == self.owner_of(seat),
            SyncMode::PerParticipant | SyncMode::PerCycle => active == seat,
            SyncMode::Global | SyncMode::CountUp => active == seat && *next != Next::InTurn,
        }
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
        !self.has_own_banks() || self.can_run(self.owner_of(seat))
    }

    fn can_run(&self, owner: Owner) -> bool {
        self.bank(owner).expired_at.is_none() || self.rules.action() == Action::Continue
    }

    /// The next seat in turn order that can play; the active one comes last.
    pub(super) fn seat_in_turn(&self) -> Option<usize> {
        if self.sync_mode == SyncMode::PerGroup {
            return self.group_in_turn();
        }
        let after = self.active.map_or(0, |seat| seat + 1);
        ring(after, self.participants.len()).find(|seat| self.can_play(*seat))
    }

    fn group_in_turn(&self) -> Option<usize> {
        let after = self.active.and_then(|seat| self.group_of(seat)).map_or(0, |place| place + 1);
        ring(after, self.groups.len())
            .filter(|place| self.can_run(Owner::Group(*place)))
            .find_map(|place| self.next_of_group(place))
    }

    /// The member that follows the group's last active one.
    fn next_of_group(&self, place: usize) -> Option<usize> {
        let group = &self.groups[place];
        let last = group.last_active.as_ref().and_then(|id| self.seat(id));
        let after = last.map_or(0, |seat| seat + 1);
        let belongs = |seat: &usize| self.participants[*seat].group_id.as_ref() == Some(&group.group_id);
        ring(after, self.participants.len()).find(belongs)
    }
}

/// All places once, from `after` on and round.
fn ring(after: usize, len: usize) -> impl Iterator<Item = usize> {
    (0..len).map(move |step| (after + step) % len.max(1))
}
