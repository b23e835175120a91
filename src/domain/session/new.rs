//! What a session and its parts are created from.

use serde_json::{Map, Value};

use super::control::{Rules, SyncMode, TimeControl};
use crate::domain::id::{GroupId, ParticipantId, SessionId};

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
    /// The caller's metadata.
    pub metadata: Map<String, Value>,
}

/// Someone to take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewParticipant {
    /// Its name within the session.
    pub participant_id: ParticipantId,
    /// Its bank; the session's default if absent.
    pub total_time_ms: Option<i64>,
    /// Its group.
    pub group_id: Option<GroupId>,
    /// Its place in the turn order; last if absent.
    pub participant_index: Option<u32>,
    /// In place of the session's.
    pub time_control: Option<TimeControl>,
    /// The caller's metadata.
    pub metadata: Map<String, Value>,
}
