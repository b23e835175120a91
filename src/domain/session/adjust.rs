//! Time given, taken or set by hand, also while it runs; and the soft close.

use super::bank::Phase;
use super::command::{Adjustment, Refused, Target};
use super::control::{SoftClose, SyncMode};
use super::event::{Kind, Outcome};
use super::{Owner, Session, Status};
use crate::domain::time::{MAX_SPAN_MS, Timestamp};

impl Session {
    pub(super) fn adjust(&mut self, target: &Target, change: Adjustment, now: Timestamp) -> Result<Outcome, Refused> {
        let owner = self.targeted(target)?;
        if self.rules.time_control.hourglass {
            self.charge_all(now);
        } else {
            self.charge(owner, now, 0);
        }
        if self.sync_mode == SyncMode::CountUp {
            self.adjust_elapsed(change)?;
        } else {
            self.adjust_left(owner, change)?;
        }
        self.judge_bank(owner, now);
        self.choose_cycle_clock(now);
        Ok(Outcome::of(Kind::Adjusted))
    }

    fn adjust_left(&mut self, owner: Owner, change: Adjustment) -> Result<(), Refused> {
        let bank = self.bank_mut(owner);
        let left = bank.left_ms.unwrap_or(0);
        let to = adjusted(left, change)?;
        bank.left_ms.get_or_insert(0);
        bank.refill(to);
        Ok(())
    }

    /// What counts up has its elapsed time adjusted; a maximum comes nearer by it.
    fn adjust_elapsed(&mut self, change: Adjustment) -> Result<(), Refused> {
        let to = adjusted(self.clock.used_ms, change)?;
        let further = to - self.clock.used_ms;
        let further = self.clock.left_ms.map_or(further, |left| further.min(left));
        self.clock.used_ms += further;
        self.clock.left_ms = self.clock.left_ms.map(|left| left - further);
        Ok(())
    }

    /// A bank with time again is not out; one made empty is, at this instant.
    fn judge_bank(&mut self, owner: Owner, now: Timestamp) {
        let runs_alone = self.is_simultaneous() && self.status == Status::Running;
        let is_reserve = self.sync_mode == SyncMode::PerCycle && owner != Owner::Session;
        let (bank, control) = self.clocked(owner);
        if bank.left_ms != Some(0) {
            let is_back = bank.expired_at.take().is_some() && bank.reasons.is_empty() && !bank.is_completed;
            if is_back && runs_alone {
                bank.anchor = Some(now);
            }
            return;
        }
        bank.forget_the_waiting();
        if runs_alone && !bank.is_completed && bank.expired_at.is_none() {
            // It runs for no time at all, so that it expires like any other.
            bank.clear_reasons();
            bank.anchor = Some(now);
        } else if bank.anchor.is_none() && !is_reserve && !bank.enter_overtime(control) {
            bank.expired_at.get_or_insert(now);
        }
    }

    /// Time given to a cycle or to its reserve may change which of them runs.
    fn choose_cycle_clock(&mut self, now: Timestamp) {
        let (SyncMode::PerCycle, Some(seat)) = (self.sync_mode, self.active) else { return };
        if self.clock.left_ms != Some(0) {
            self.leave_reserve(seat, now);
        } else if self.status == Status::Running && self.clock.expired_at.is_some() && self.has_reserve(seat) {
            self.run_reserve(seat, now);
        }
    }

    fn leave_reserve(&mut self, seat: usize, now: Timestamp) {
        if self.participants[seat].bank.phase != Phase::Reserve {
            return;
        }
        self.charge(Owner::Participant(seat), now, 0);
        let reserve = &mut self.participant_mut(seat).bank;
        reserve.phase = Phase::Main { stage: 0 };
        self.clock.anchor = reserve.anchor.take();
    }

    pub(super) fn extend(&mut self, now: Timestamp) -> Result<Outcome, Refused> {
        let rule = self.rules.soft_close.ok_or(Refused::WrongMode)?;
        if self.status != Status::Running {
            return Err(Refused::NotRunning);
        }
        let deadline = self.clock.dry_at().ok_or(Refused::ParticipantExpired)?;
        let left = deadline.since(now);
        if left < rule.window_ms {
            let wanted = (rule.extension_ms - left).max(0);
            let room = self.room_to_extend(rule);
            self.clock.grant(wanted.min(room));
        }
        Ok(Outcome::of(Kind::Extended))
    }

    /// What the clock (the cycle's, where it is) may still be given.
    fn room_to_extend(&self, rule: SoftClose) -> i64 {
        let granted = match self.sync_mode {
            SyncMode::PerCycle => self.clock.left_ms.unwrap_or(0) + self.cycle_used_ms,
            _ => self.clock.granted_ms,
        };
        rule.max_total_ms.map_or(i64::MAX, |most| (most - granted).max(0))
    }
}

fn adjusted(from: i64, change: Adjustment) -> Result<i64, Refused> {
    let to = match change {
        Adjustment::Add(ms) => from.saturating_add(ms).max(0),
        Adjustment::Set(ms) if ms < 0 => return Err(Refused::OutOfBounds),
        Adjustment::Set(ms) => ms,
    };
    if to > MAX_SPAN_MS { Err(Refused::OutOfBounds) } else { Ok(to) }
}
