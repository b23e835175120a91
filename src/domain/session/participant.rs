//! Who takes part: participants in turn order, and groups that share a bank.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::bank::Bank;
use super::control::{PLAIN, Rules, SyncMode, TimeControl};
use super::new::{NewGroup, NewParticipant};
use super::skip::{is_default, is_empty};
use crate::domain::id::{GroupId, ParticipantId};
use crate::domain::time::Timestamp;

/// How a participant joined an existing session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The version that added it: no one else who had or gets its id has the same.
    pub version: u64,
    /// When.
    pub at: Timestamp,
}

/// Someone with a place in the turn order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Its name within the session.
    pub participant_id: ParticipantId,
    /// How it joined; `None` if it was there from the beginning.
    #[serde(default, skip_serializing_if = "is_default")]
    pub joined: Option<Joined>,
    /// Its group.
    #[serde(default, skip_serializing_if = "is_default")]
    pub group_id: Option<GroupId>,
    /// Its own bank, or its reserve.
    #[serde(default, skip_serializing_if = "Bank::is_unused")]
    pub bank: Bank,
    /// In place of the session's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub time_control: Option<TimeControl>,
    /// What its cycles were charged, to any bank.
    #[serde(default, skip_serializing_if = "is_default")]
    pub used_ms: i64,
    /// Its finished cycles.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cycle_count: u32,
    /// What lag may still be credited.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lag_quota_ms: i64,
    /// The caller's metadata.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub metadata: Arc<Map<String, Value>>,
}

impl Participant {
    /// A participant as it takes its seat.
    pub(super) fn new(new: &NewParticipant, mode: SyncMode, rules: &Rules) -> Self {
        let control = new.time_control.as_ref().unwrap_or(&rules.time_control);
        let base = new.total_time_ms.or(rules.total_time_ms);
        let bank = match mode {
            SyncMode::PerParticipant => Bank::opening(base, control, rules),
            SyncMode::PerCycle => Bank::new(base, &PLAIN),
            _ => Bank::new(None, &PLAIN),
        };
        Self {
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
}

/// Participants who share one bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name within the session.
    pub group_id: GroupId,
    /// Its bank.
    #[serde(default, skip_serializing_if = "Bank::is_unused")]
    pub bank: Bank,
    /// Its last active participant, by id: seats may move.
    #[serde(default, skip_serializing_if = "is_default")]
    pub last_active: Option<ParticipantId>,
}

impl Group {
    /// A group as a session begins with it.
    pub(super) fn new(new: &NewGroup, rules: &Rules) -> Self {
        let base = new.total_time_ms.or(rules.total_time_ms);
        let bank = Bank::opening(base, &rules.time_control, rules);
        Self { group_id: new.group_id.clone(), bank, last_active: None }
    }
}
