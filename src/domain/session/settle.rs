//! Settles what is due by now, in order, each at its own exact instant, however late the call.

use std::sync::Arc;

use super::control::{Action, SyncMode};
use super::event::{Expired, MAX_EXPIRED};
use super::{Owner, Session, Status};
use crate::domain::time::Timestamp;

/// A longer chain of advances pauses, because nobody is there.
const MAX_ADVANCES: usize = 10_000;

/// Something that happens without a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happening {
    Start,
    Overtime(Owner),
    Reserve(usize),
    Expiry(Owner),
}

/// What, when exactly, and from when on it is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ahead {
    what: Happening,
    at: Timestamp,
    certain_at: Timestamp,
}

impl Ahead {
    const fn at(what: Happening, at: Timestamp) -> Self {
        Self { what, at, certain_at: at }
    }
}

impl Session {
    /// Whether anything is due by `now` that is not in this state yet.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.ahead().is_some_and(|ahead| ahead.certain_at <= now)
    }

    /// Settles everything that is due by `now`.
    pub(super) fn settle(&mut self, now: Timestamp) -> Vec<Expired> {
        let mut expired = Vec::new();
        while let Some(ahead) = self.ahead().filter(|ahead| ahead.certain_at <= now) {
            if expired.len() == MAX_ADVANCES && !self.is_simultaneous() {
                self.stand_still("settle_limit");
                break;
            }
            expired.extend(self.happen(ahead));
        }
        expired.drain(..expired.len().saturating_sub(MAX_EXPIRED));
        expired
    }

    /// Lets the running clock expire now that its grace has been judged.
    pub(super) fn expire_running(&mut self) -> Vec<Expired> {
        self.ahead().and_then(|ahead| self.happen(ahead)).into_iter().collect()
    }

    /// When the session must be settled, though no caller reads it.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        match self.status {
            Status::Running if !self.is_simultaneous() => Some(self.deadline()? + self.grace_ms()),
            _ => Some(self.ahead()?.certain_at),
        }
    }

    /// When the running clock is out for good if nobody acts.
    pub fn deadline(&self) -> Option<Timestamp> {
        if self.is_simultaneous() {
            return self.bank(self.soonest()?).dry_at();
        }
        let owner = self.running()?;
        let deadline = self.bank(owner).deadline(self.control(owner))?;
        Some(deadline + self.reserve_behind(owner).map_or(0, |(_, reserve)| reserve))
    }

    fn ahead(&self) -> Option<Ahead> {
        match self.status {
            Status::Pending => self.starts_at.map(|at| Ahead::at(Happening::Start, at)),
            Status::Running if self.is_simultaneous() => self.first_to_expire(),
            Status::Running => self.ahead_of_running(),
            _ => None,
        }
    }

    /// Of simultaneous clocks, the one that runs out first.
    pub fn soonest(&self) -> Option<Owner> {
        let dry = |owner| self.bank(owner).dry_at().map(|at| (at, owner));
        self.owners().filter_map(dry).min_by_key(|(at, _)| *at).map(|(_, owner)| owner)
    }

    fn first_to_expire(&self) -> Option<Ahead> {
        let owner = self.soonest()?;
        Some(Ahead::at(Happening::Expiry(owner), self.bank(owner).dry_at()?))
    }

    fn ahead_of_running(&self) -> Option<Ahead> {
        let owner = self.running()?;
        let bank = self.bank(owner);
        let at = bank.dry_at()?;
        if let Some((seat, _)) = self.reserve_behind(owner) {
            return Some(Ahead::at(Happening::Reserve(seat), at));
        }
        if bank.deadline(self.control(owner)) > Some(at) {
            return Some(Ahead::at(Happening::Overtime(owner), at));
        }
        Some(Ahead { what: Happening::Expiry(owner), at, certain_at: at + self.grace_ms() })
    }

    /// The reserve that runs when this clock is out, and what it holds.
    pub(super) fn reserve_behind(&self, owner: Owner) -> Option<(usize, i64)> {
        let seat = self.active.filter(|seat| owner == Owner::Session && self.has_reserve(*seat))?;
        Some((seat, self.participants[seat].bank.left_ms?))
    }

    pub(super) fn has_reserve(&self, seat: usize) -> bool {
        self.sync_mode == SyncMode::PerCycle && self.participants[seat].bank.left_ms > Some(0)
    }

    fn happen(&mut self, ahead: Ahead) -> Option<Expired> {
        match ahead.what {
            Happening::Start => self.begin(ahead.at),
            Happening::Overtime(owner) => {
                self.charge(owner, ahead.at, 0);
                let (bank, control) = self.clocked(owner);
                bank.enter_overtime(control);
            }
            Happening::Reserve(seat) => {
                self.charge(Owner::Session, ahead.at, 0);
                self.run_reserve(seat, ahead.at);
            }
            Happening::Expiry(owner) => return Some(self.expire(owner, ahead.at)),
        }
        None
    }

    fn expire(&mut self, owner: Owner, at: Timestamp) -> Expired {
        let action = self.rules.action();
        self.charge(owner, at, 0);
        let expired = self.expired_event(owner, at, action);
        self.mark_expired(owner, at);
        match action {
            Action::Continue => {}
            _ if self.is_simultaneous() => self.expire_alone(owner, action),
            Action::Expire => self.end(Status::Expired),
            Action::Complete => self.end(Status::Completed),
            Action::Pause => self.stand_still("timeout"),
            Action::Advance => self.advance(at),
        }
        expired
    }

    fn expired_event(&self, owner: Owner, at: Timestamp, action: Action) -> Expired {
        let seat = match (owner, self.sync_mode) {
            (Owner::Participant(seat), _) => Some(seat),
            (_, SyncMode::PerCycle | SyncMode::PerGroup) => self.active,
            _ => None,
        };
        let group = if let Owner::Group(place) = owner { Some(self.groups[place].group_id.clone()) } else { None };
        Expired {
            charged_ms: self.charged_in_cycle(owner),
            at,
            participant_id: seat.map(|seat| self.participants[seat].participant_id.clone()),
            group_id: group,
            action,
        }
    }

    /// Flags the clock and counts the cycle, also one that goes on past zero.
    fn mark_expired(&mut self, owner: Owner, at: Timestamp) {
        self.bank_mut(owner).expired_at = Some(at);
        if let (SyncMode::PerCycle, Some(seat)) = (self.sync_mode, self.active) {
            self.participant_mut(seat).bank.expired_at = Some(at);
        }
        self.count_cycle(owner);
        if self.rules.action() != Action::Continue {
            self.bank_mut(owner).stop();
        }
    }

    fn expire_alone(&mut self, owner: Owner, action: Action) {
        let bank = self.bank_mut(owner);
        match action {
            Action::Pause => bank.pause_for("timeout", false),
            Action::Complete => bank.is_completed = true,
            _ => {}
        }
        self.end_with_the_last();
    }

    /// Whether one of many simultaneous clocks has ended for good.
    pub(super) fn is_over(&self, owner: Owner) -> bool {
        let bank = self.bank(owner);
        let is_out = bank.expired_at.is_some() && bank.reasons.is_empty();
        bank.is_completed || (is_out && self.rules.action() != Action::Continue)
    }

    /// Ends a simultaneous session once the last clock has; well, if any has.
    pub(super) fn end_with_the_last(&mut self) {
        if self.owners().all(|owner| self.is_over(owner)) {
            let is_completed = self.owners().any(|owner| self.bank(owner).is_completed);
            self.end(if is_completed { Status::Completed } else { Status::Expired });
        }
    }

    fn advance(&mut self, at: Timestamp) {
        match self.seat_in_turn() {
            Some(seat) => self.begin_cycle(Some(seat), at),
            None => self.end(Status::Expired),
        }
    }

    /// Every clock stands still where it is, for one more reason.
    pub(super) fn stand_still(&mut self, reason: &str) {
        self.stop_clocks();
        self.status = Status::Paused;
        self.reasons.insert(reason.to_owned());
    }

    /// The end; nothing runs and nothing waits.
    pub(super) fn end(&mut self, status: Status) {
        self.stop_clocks();
        self.status = status;
        self.reasons.clear();
        self.starts_at = None;
    }

    pub(super) fn stop_clocks(&mut self) {
        self.clock.anchor = None;
        let running = self.participants.iter_mut().filter(|participant| participant.bank.anchor.is_some());
        running.for_each(|participant| Arc::make_mut(participant).bank.anchor = None);
        self.groups.iter_mut().for_each(|group| group.bank.anchor = None);
    }
}
