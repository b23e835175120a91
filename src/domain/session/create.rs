//! A session begins: what it is asked for becomes banks and seats.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::bank::Bank;
use super::command::NewParticipant;
use super::control::{Delay, Rules, SyncMode, TimeControl};
use super::event::{Change, Kind, Outcome};
use super::participant::{Group, Participant};
use super::validate::{self, Fault};
use super::{PLAIN, Session, Status, stored};
use crate::domain::chain::Digest;
use crate::domain::id::{GroupId, SessionId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;

/// A group to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroup {
    /// Its name within the session.
    pub group_id: GroupId,
    /// Its bank; the session's default if absent.
    pub total_time_ms: Option<i64>,
}

/// A session to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Its name within the tenant.
    pub session_id: SessionId,
    /// Whose clock runs.
    pub sync_mode: SyncMode,
    /// Who takes part.
    pub participants: Vec<NewParticipant>,
    /// Groups that share a bank.
    pub groups: Vec<NewGroup>,
    /// What its clocks go by.
    pub rules: Rules,
    /// The caller's own words about it.
    pub metadata: Map<String, Value>,
}

impl Session {
    /// The first version of a session, or what is wrong with it.
    pub fn create(new: NewSession, now: Timestamp) -> Result<Change, Fault> {
        Self::create_after(None, new, now)
    }

    /// The first version of a session whose id another had that was deleted at `predecessor`:
    /// its version goes on from there, in a newer epoch.
    pub fn create_after(predecessor: Option<Position>, mut new: NewSession, now: Timestamp) -> Result<Change, Fault> {
        validate::check(&new)?;
        new.rules.warnings_ms.sort_unstable_by(|a, b| b.cmp(a));
        new.rules.warnings_ms.dedup();
        new.participants.sort_by_key(|participant| participant.participant_index.unwrap_or(u32::MAX));
        let seats = new.participants.iter().map(|each| seated(each, new.sync_mode, &new.rules).into()).collect();
        let groups = new.groups.iter().map(|each| grouped(each, &new.rules)).collect();
        let mut session = Self::blank(new, seats, groups, now);
        if let Some(Position { epoch, version }) = predecessor {
            session.position = Position { epoch: now.as_ms().max(epoch.saturating_add(1)), version: version + 1 };
            session.predecessor = predecessor;
        }
        session.renew_quotas();
        Ok(Change { session, outcome: Outcome::of(Kind::Created), expired: Vec::new() })
    }

    fn blank(new: NewSession, participants: Vec<Arc<Participant>>, groups: Vec<Group>, now: Timestamp) -> Self {
        Self {
            format: stored::FORMAT,
            session_id: new.session_id,
            position: Position { epoch: now.as_ms(), version: 1 },
            predecessor: None,
            previous: Digest::NONE,
            status: Status::Pending,
            sync_mode: new.sync_mode,
            clock: own_clock(new.sync_mode, &new.rules),
            rules: Arc::new(new.rules),
            due_at: None,
            starts_at: None,
            active: None,
            reasons: BTreeSet::new(),
            cycle_used_ms: 0,
            participants,
            groups,
            metadata: new.metadata.into(),
            recovered: None,
            outage: None,
            created_at: now,
            started_at: None,
            updated_at: now,
            attended_at: None,
        }
    }

    /// A new pending session of the same configuration.
    #[must_use]
    pub fn blueprint(&self, session_id: SessionId) -> NewSession {
        let participants = self.participants.iter().zip(0..).map(|(each, index)| NewParticipant {
            participant_id: each.participant_id.clone(),
            total_time_ms: each.bank.base_ms,
            group_id: each.group_id.clone(),
            participant_index: Some(index),
            time_control: each.time_control.clone(),
            metadata: (*each.metadata).clone(),
        });
        let groups = self
            .groups
            .iter()
            .map(|each| NewGroup { group_id: each.group_id.clone(), total_time_ms: each.bank.base_ms });
        NewSession {
            session_id,
            sync_mode: self.sync_mode,
            participants: participants.collect(),
            groups: groups.collect(),
            rules: (*self.rules).clone(),
            metadata: (*self.metadata).clone(),
        }
    }

    /// Every bank as it was at creation.
    pub(super) fn renew_banks(&mut self) {
        self.clock = own_clock(self.sync_mode, &self.rules);
        for participant in self.participants.iter_mut().map(Arc::make_mut) {
            let own = self.sync_mode == SyncMode::PerParticipant;
            let control = participant.time_control.as_ref().unwrap_or(&self.rules.time_control);
            let base = participant.bank.base_ms;
            participant.bank = if own { fresh(base, control, &self.rules) } else { Bank::new(base, &PLAIN) };
            participant.used_ms = 0;
            participant.cycle_count = 0;
        }
        for group in &mut self.groups {
            group.bank = fresh(group.bank.base_ms, &self.rules.time_control, &self.rules);
            group.last_active = None;
        }
        self.renew_quotas();
    }

    fn renew_quotas(&mut self) {
        for seat in 0..self.participants.len() {
            self.participant_mut(seat).lag_quota_ms = self.allowance(seat).start;
        }
    }
}

/// The session's own clock, in the modes that have one.
fn own_clock(mode: SyncMode, rules: &Rules) -> Bank {
    let base = match mode {
        SyncMode::Global => rules.total_time_ms,
        SyncMode::PerCycle => rules.time_per_cycle_ms,
        SyncMode::CountUp => rules.max_time_ms,
        SyncMode::PerParticipant | SyncMode::PerGroup => None,
    };
    Bank::new(base, &PLAIN)
}

/// A participant takes its seat.
pub(super) fn seated(new: &NewParticipant, mode: SyncMode, rules: &Rules) -> Participant {
    let control = new.time_control.as_ref().unwrap_or(&rules.time_control);
    let base = new.total_time_ms.or(rules.total_time_ms);
    let bank = match mode {
        SyncMode::PerParticipant => fresh(base, control, rules),
        SyncMode::PerCycle => Bank::new(base, &PLAIN),
        _ => Bank::new(None, &PLAIN),
    };
    Participant {
        participant_id: new.participant_id.clone(),
        joined: None,
        group_id: new.group_id.clone(),
        bank,
        time_control: new.time_control.clone(),
        used_ms: 0,
        cycle_count: 0,
        lag_quota_ms: 0,
        metadata: new.metadata.clone().into(),
    }
}

fn grouped(new: &NewGroup, rules: &Rules) -> Group {
    let base = new.total_time_ms.or(rules.total_time_ms);
    Group { group_id: new.group_id.clone(), bank: fresh(base, &rules.time_control, rules), last_active: None }
}

/// A bank of its own. One of zero that only an increment or a give-back makes
/// playable opens with it; nobody could make a first move otherwise.
fn fresh(base: Option<i64>, control: &TimeControl, rules: &Rules) -> Bank {
    let mut bank = Bank::new(base, control);
    if bank.left_ms == Some(0) {
        let delay = match control.delay {
            Some(Delay::Bronstein { delay_ms }) => delay_ms,
            _ => 0,
        };
        bank.credit(control.increment_in(0, rules.increment_ms).max(delay), rules.max_time_ms);
    }
    bank
}
