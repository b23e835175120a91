//! Creates a session: its banks and seats from what the caller asks for.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bank::Bank;
use super::control::{PLAIN, Rules, SyncMode};
use super::event::{Change, Kind, Outcome};
use super::new::{NewGroup, NewParticipant, NewSession};
use super::participant::{Group, Participant};
use super::validate::{self, ValidationError};
use super::{Session, Status, stored};
use crate::domain::chain::Digest;
use crate::domain::id::SessionId;
use crate::domain::position::Position;
use crate::domain::time::Timestamp;

impl Session {
    /// The first version of a session, or what is wrong with it.
    pub fn create(new: NewSession, now: Timestamp) -> Result<Change, ValidationError> {
        Self::create_after(None, new, now)
    }

    /// The first version of a session whose id another had that was deleted at `predecessor`:
    /// its version goes on from there, in a newer epoch.
    pub fn create_after(
        predecessor: Option<Position>,
        mut new: NewSession,
        now: Timestamp,
    ) -> Result<Change, ValidationError> {
        validate::check(&new)?;
        new.rules.warnings_ms.sort_unstable_by(|a, b| b.cmp(a));
        new.rules.warnings_ms.dedup();
        new.participants.sort_by_key(|participant| participant.participant_index.unwrap_or(u32::MAX));
        let seats =
            new.participants.iter().map(|each| Participant::new(each, new.sync_mode, &new.rules).into()).collect();
        let groups = new.groups.iter().map(|each| Group::new(each, &new.rules)).collect();
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
            participant.bank = if own { Bank::opening(base, control, &self.rules) } else { Bank::new(base, &PLAIN) };
            participant.used_ms = 0;
            participant.cycle_count = 0;
        }
        for group in &mut self.groups {
            group.bank = Bank::opening(group.bank.base_ms, &self.rules.time_control, &self.rules);
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
