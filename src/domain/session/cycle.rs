//! A cycle begins, is charged, earns and ends.

use super::bank::{Earned, Phase};
use super::control::SyncMode;
use super::{Owner, Session};
use crate::domain::time::Timestamp;

impl Session {
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
        let owner = self.owner_in_turn();
        let before = seat.map_or(0, |seat| self.participants[seat].cycle_count);
        let (bank, control) = self.clocked(owner);
        bank.begin(at, control, before);
    }

    fn refill_cycle(&mut self, seat: Option<usize>) {
        self.clock.refill(self.rules.time_per_cycle_ms.unwrap_or(0));
        self.clock.expired_at = None;
        if let Some(seat) = seat {
            let reserve = &mut self.participant_mut(seat).bank;
            reserve.expired_at = None;
            reserve.phase = Phase::Main { stage: 0 };
        }
    }

    /// The cycle's own time is out; the reserve of the active participant runs.
    pub(super) fn run_reserve(&mut self, seat: usize, at: Timestamp) {
        self.clock.anchor = None;
        let reserve = &mut self.participant_mut(seat).bank;
        reserve.phase = Phase::Reserve;
        reserve.anchor = Some(at);
    }

    /// Takes what ran by `now`, less credited lag, from an owner's clock.
    pub(super) fn charge(&mut self, owner: Owner, now: Timestamp, credit_ms: i64) {
        let charged = self.bank_mut(owner).charge(now, credit_ms);
        if let Some(seat) = self.seat_behind(owner) {
            let participant = self.participant_mut(seat);
            participant.used_ms = participant.used_ms.saturating_add(charged);
        }
        self.cycle_used_ms = self.cycle_used_ms.saturating_add(charged);
        if let (true, Owner::Participant(seat)) = (self.rules.time_control.hourglass, owner) {
            self.participant_mut(1 - seat).bank.grant(charged);
        }
    }

    /// Charges every running clock; gives what the cycle (or all of them) was charged.
    pub(super) fn charge_all(&mut self, now: Timestamp) -> i64 {
        if self.is_simultaneous() {
            self.owners().for_each(|owner| self.charge(owner, now, 0));
        } else if let Some(owner) = self.running() {
            self.charge(owner, now, 0);
        }
        self.cycle_used_ms
    }

    /// What the present cycle of an owner's clock was charged, pauses bridged.
    pub(super) fn charged_in_cycle(&self, owner: Owner) -> i64 {
        if self.is_simultaneous() { self.bank(owner).used_ms } else { self.cycle_used_ms }
    }

    /// Counts the cycle, lets it earn if it ended in time, and stops its clock.
    pub(super) fn finish_cycle(&mut self, owner: Owner, in_time: bool) {
        if self.count_cycle(owner) && in_time {
            self.earn(owner);
        }
        self.bank_mut(owner).stop();
    }

    /// Counts a finished cycle; false if it counts already because it ran out.
    pub(super) fn count_cycle(&mut self, owner: Owner) -> bool {
        // A reserve runs within the cycle that the session's own clock keeps.
        let keeper = if self.sync_mode == SyncMode::PerCycle { Owner::Session } else { owner };
        let counts = self.bank_mut(keeper).count_cycle();
        if let (true, Some(seat)) = (counts, self.seat_behind(owner)) {
            self.participant_mut(seat).cycle_count += 1;
            self.gain_quota(seat);
        }
        counts
    }

    fn earn(&mut self, owner: Owner) {
        let (cycle_used_ms, increment_ms) = (self.cycle_used_ms, self.rules.increment_ms);
        let cap_ms = self.rules.max_time_ms.filter(|_| self.has_own_banks());
        let (bank, control) = self.clocked(owner);
        if bank.expired_at.is_none() {
            bank.earn(cycle_used_ms, &Earned { control, increment_ms, cap_ms });
        }
    }

    /// Whose time it is that an owner's clock counts.
    fn seat_behind(&self, owner: Owner) -> Option<usize> {
        if let Owner::Participant(seat) = owner { Some(seat) } else { self.active }
    }
}
