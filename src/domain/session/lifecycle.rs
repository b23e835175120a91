//! The life of a session: start, pause, resume, complete, cancel, reset.

use super::bank::{Bank, Phase, lift};
use super::command::{Refused, Target};
use super::control::{Action, SyncMode};
use super::event::{Kind, Outcome};
use super::{Owner, Session, Status};
use crate::domain::id::ParticipantId;
use crate::domain::time::Timestamp;

/// The reason of a pause that names none.
pub const DEFAULT_REASON: &str = "requested";

impl Session {
    pub(super) fn start(
        &mut self,
        at: Option<Timestamp>,
        first: Option<&ParticipantId>,
        now: Timestamp,
    ) -> Result<Outcome, Refused> {
        if self.status != Status::Pending {
            return Err(Refused::AlreadyStarted);
        }
        if let Some(id) = first {
            self.active = Some(self.first(id)?);
        }
        if self.nobody_can_play() {
            return Err(Refused::ParticipantExpired);
        }
        if let Some(at) = at.filter(|at| *at > now) {
            self.starts_at = Some(at);
            return Ok(Outcome::of(Kind::Scheduled));
        }
        self.begin(now);
        Ok(Outcome::of(Kind::Started))
    }

    fn first(&self, id: &ParticipantId) -> Result<usize, Refused> {
        let seat = self.seat(id).ok_or(Refused::UnknownParticipant)?;
        match () {
            () if self.is_simultaneous() => Err(Refused::WrongMode),
            () if !self.can_play(seat) => Err(Refused::ParticipantExpired),
            () => Ok(seat),
        }
    }

    /// Every bank was emptied before the start.
    pub(super) fn nobody_can_play(&self) -> bool {
        let emptied = |owner| self.bank(owner).expired_at.is_some();
        match self.has_own_banks() {
            true if self.is_simultaneous() => self.owners().all(emptied),
            true => self.seat_in_turn().is_none(),
            false => self.sync_mode != SyncMode::PerCycle && emptied(Owner::Session),
        }
    }

    /// The clocks run from exactly `at`.
    pub(super) fn begin(&mut self, at: Timestamp) {
        if self.nobody_can_play() {
            return self.end(Status::Expired);
        }
        self.status = Status::Running;
        self.starts_at = None;
        self.started_at.get_or_insert(at);
        if self.is_simultaneous() {
            self.run_all(at);
        } else {
            let first = self.active.filter(|seat| self.can_play(*seat));
            let first = first.or_else(|| self.seat_in_turn());
            self.begin_cycle(first, at);
        }
    }

    pub(super) fn pause(
        &mut self,
        reason: Option<&str>,
        target: &Target,
        by_participant: bool,
        now: Timestamp,
    ) -> Result<Outcome, Refused> {
        let reason = reason.unwrap_or(DEFAULT_REASON);
        if *target != Target::Session {
            return self.pause_alone(reason, target, by_participant, now);
        }
        match self.status {
            Status::Running => {}
            Status::Paused => {
                self.reasons.insert(reason.to_owned());
                return Ok(Outcome::of(Kind::Paused));
            }
            _ => return Err(Refused::NotRunning),
        }
        let charged = self.charge_all(now);
        self.stand_still(reason);
        Ok(Outcome::charging(Kind::Paused, charged))
    }

    fn pause_alone(
        &mut self,
        reason: &str,
        target: &Target,
        by_participant: bool,
        now: Timestamp,
    ) -> Result<Outcome, Refused> {
        let owner = self.alone(target)?;
        self.charge(owner, now, 0);
        let bank = self.bank_mut(owner);
        bank.anchor = None;
        bank.pause_for(reason, by_participant);
        Ok(Outcome::charging(Kind::Paused, self.charged_in_cycle(owner)))
    }

    pub(super) fn resume(
        &mut self,
        reason: Option<&str>,
        target: &Target,
        by_participant: bool,
        now: Timestamp,
    ) -> Result<Outcome, Refused> {
        if *target != Target::Session {
            return self.resume_alone(reason, target, by_participant, now);
        }
        if self.status != Status::Paused || !lift(&mut self.reasons, reason) {
            return Err(Refused::NotPaused);
        }
        if self.reasons.is_empty() {
            self.status = Status::Running;
            self.run_on(now)?;
        }
        Ok(Outcome::of(Kind::Resumed))
    }

    fn resume_alone(
        &mut self,
        reason: Option<&str>,
        target: &Target,
        by_participant: bool,
        now: Timestamp,
    ) -> Result<Outcome, Refused> {
        let owner = self.alone(target)?;
        let is_running = self.status == Status::Running;
        let action = self.rules.action();
        let bank = self.bank_mut(owner);
        if !bank.lift_reasons(reason, by_participant) {
            return Err(Refused::NotPaused);
        }
        if bank.reasons.is_empty() {
            playable(bank, action)?;
            bank.anchor = is_running.then_some(now);
        }
        Ok(Outcome::of(Kind::Resumed))
    }

    /// The running clock goes on from `now`, unless it is empty.
    pub(super) fn run_on(&mut self, now: Timestamp) -> Result<(), Refused> {
        if self.is_simultaneous() {
            self.run_all_again(now);
            return Ok(());
        }
        let action = self.rules.action();
        let owner = self.owner_to_run();
        let bank = self.bank_mut(owner);
        playable(bank, action)?;
        bank.anchor = Some(now);
        if let (SyncMode::PerCycle, Owner::Participant(seat)) = (self.sync_mode, owner) {
            self.run_reserve(seat, now);
        }
        Ok(())
    }

    /// The clock of the turn, or the reserve once the cycle's own time is out.
    fn owner_to_run(&self) -> Owner {
        let on_reserve = |seat: &usize| {
            let has_begun = self.participants[*seat].bank.phase == Phase::Reserve;
            self.clock.left_ms == Some(0) && (has_begun || self.has_reserve(*seat))
        };
        match self.active.filter(on_reserve) {
            Some(seat) if self.sync_mode == SyncMode::PerCycle => Owner::Participant(seat),
            _ => self.owner_in_turn(),
        }
    }

    fn run_all(&mut self, at: Timestamp) {
        for owner in self.owners() {
            let (bank, control) = self.clocked(owner);
            bank.begin(at, control, 0);
            if !bank.reasons.is_empty() || bank.expired_at.is_some() {
                bank.anchor = None;
            }
        }
    }

    fn run_all_again(&mut self, now: Timestamp) {
        let action = self.rules.action();
        for owner in self.owners() {
            let bank = self.bank_mut(owner);
            let may_run = bank.reasons.is_empty() && !bank.is_completed && playable(bank, action).is_ok();
            bank.anchor = may_run.then_some(now);
        }
        self.end_with_the_last();
    }

    /// The clock a command for one of many simultaneous ones is about.
    fn alone(&self, target: &Target) -> Result<Owner, Refused> {
        let owner = self.targeted(target)?;
        if !self.is_simultaneous() {
            return Err(Refused::WrongMode);
        }
        if !matches!(self.status, Status::Running | Status::Paused) {
            return Err(Refused::NotRunning);
        }
        if self.is_over(owner) { Err(Refused::ParticipantExpired) } else { Ok(owner) }
    }

    /// The clock a target names, in the modes that have one for it.
    pub(super) fn targeted(&self, target: &Target) -> Result<Owner, Refused> {
        match target {
            Target::Participant(id) => {
                let seat = self.seat(id).ok_or(Refused::UnknownParticipant)?;
                match self.sync_mode {
                    SyncMode::PerParticipant | SyncMode::PerCycle => Ok(Owner::Participant(seat)),
                    _ => Err(Refused::WrongMode),
                }
            }
            Target::Group(id) => match self.sync_mode {
                SyncMode::PerGroup => self.place(id).map(Owner::Group).ok_or(Refused::UnknownGroup),
                _ => Err(Refused::WrongMode),
            },
            Target::Session => match (self.has_own_banks(), self.active) {
                (false, _) => Ok(Owner::Session),
                (true, Some(seat)) if !self.is_simultaneous() => Ok(self.owner_of(seat)),
                _ => Err(Refused::UnknownParticipant),
            },
        }
    }

    pub(super) fn complete(&mut self, target: &Target, now: Timestamp) -> Result<Outcome, Refused> {
        if *target != Target::Session {
            return self.complete_alone(target, now);
        }
        if !matches!(self.status, Status::Running | Status::Paused) {
            return Err(Refused::NotRunning);
        }
        let charged = self.charge_all(now);
        self.count_last_cycles();
        self.end(Status::Completed);
        Ok(Outcome::charging(Kind::Completed, charged))
    }

    /// A completed cycle is a finished one, but earns nothing.
    fn count_last_cycles(&mut self) {
        if !self.is_simultaneous() {
            return self.finish_cycle(self.owner_in_turn(), false);
        }
        for owner in self.owners().filter(|owner| !self.is_over(*owner)).collect::<Vec<_>>() {
            self.finish_cycle(owner, false);
            self.bank_mut(owner).is_completed = true;
        }
    }

    fn complete_alone(&mut self, target: &Target, now: Timestamp) -> Result<Outcome, Refused> {
        let owner = self.alone(target)?;
        self.charge(owner, now, 0);
        self.finish_cycle(owner, false);
        let bank = self.bank_mut(owner);
        bank.is_completed = true;
        bank.clear_reasons();
        let charged = self.charged_in_cycle(owner);
        self.end_with_the_last();
        Ok(Outcome::charging(Kind::Completed, charged))
    }

    pub(super) fn cancel(&mut self, now: Timestamp) -> Outcome {
        let charged = self.charge_all(now);
        self.end(Status::Cancelled);
        Outcome::charging(Kind::Cancelled, charged)
    }

    pub(super) fn delete(&mut self, now: Timestamp) -> Outcome {
        let charged = if self.status.is_ended() { 0 } else { self.charge_all(now) };
        self.end(Status::Deleted);
        Outcome::charging(Kind::Deleted, charged)
    }

    pub(super) fn reset(&mut self) -> Outcome {
        self.end(Status::Pending);
        self.active = None;
        self.started_at = None;
        self.cycle_used_ms = 0;
        self.renew_banks();
        Outcome::of(Kind::Reset)
    }
}

fn playable(bank: &Bank, action: Action) -> Result<(), Refused> {
    let runs_past_zero = bank.expired_at.is_some() && action == Action::Continue;
    if bank.is_empty() && !runs_past_zero { Err(Refused::ParticipantExpired) } else { Ok(()) }
}
