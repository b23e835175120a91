//! The body of a create, and of a participant that joins.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::control::TimeControlBody;
use crate::domain::id::{GroupId, ParticipantId, SessionId};
use crate::domain::session::command::ParticipantChange;
use crate::domain::session::control::{Action, Concurrency, LagPolicy, OnOutage, Rights, Rules, SoftClose, SyncMode};
use crate::domain::session::new::{NewGroup, NewParticipant, NewSession};

/// `POST /v1/sessions`. A null field counts as absent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreateBody {
    /// Its id; the server makes one if absent.
    pub session_id: Option<SessionId>,
    sync_mode: Option<SyncMode>,
    participants: Option<Vec<ParticipantBody>>,
    groups: Option<Vec<GroupBody>>,
    total_time_ms: Option<i64>,
    time_per_cycle_ms: Option<i64>,
    increment_ms: Option<i64>,
    max_time_ms: Option<i64>,
    time_control: Option<TimeControlBody>,
    concurrency: Option<Concurrency>,
    soft_close: Option<SoftClose>,
    rights: Option<Rights>,
    lag_policy: Option<LagPolicy>,
    on_outage: Option<OnOutage>,
    auto_advance: Option<bool>,
    action_on_timeout: Option<ActionBody>,
    warnings_ms: Option<Vec<i64>>,
    metadata: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionBody {
    #[serde(rename = "type")]
    kind: Action,
}

/// A participant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParticipantBody {
    /// Its name within the session.
    pub participant_id: ParticipantId,
    total_time_ms: Option<i64>,
    group_id: Option<GroupId>,
    participant_index: Option<u32>,
    time_control: Option<TimeControlBody>,
    metadata: Option<Map<String, Value>>,
}

/// Changes to a participant.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParticipantChangeBody {
    total_time_ms: Option<i64>,
    group_id: Option<GroupId>,
    participant_index: Option<u32>,
    time_control: Option<TimeControlBody>,
    metadata: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupBody {
    group_id: GroupId,
    total_time_ms: Option<i64>,
}

impl From<ParticipantBody> for NewParticipant {
    fn from(body: ParticipantBody) -> Self {
        Self {
            participant_id: body.participant_id,
            total_time_ms: body.total_time_ms,
            group_id: body.group_id,
            participant_index: body.participant_index,
            time_control: body.time_control.map(Into::into),
            metadata: body.metadata.unwrap_or_default(),
        }
    }
}

/// Gives each participant of a create an id that has none.
pub fn name_participants(body: &mut Map<String, Value>, make_id: impl Fn() -> ParticipantId) {
    let Some(Value::Array(participants)) = body.get_mut("participants") else { return };
    participants.iter_mut().filter_map(Value::as_object_mut).for_each(|each| name_participant(each, &make_id));
}

/// Gives a participant that joins an id if it has none.
pub fn name_participant(body: &mut Map<String, Value>, make_id: impl Fn() -> ParticipantId) {
    if body.get("participant_id").is_none_or(Value::is_null) {
        body.insert("participant_id".to_owned(), make_id().as_str().into());
    }
}

impl From<ParticipantChangeBody> for ParticipantChange {
    fn from(body: ParticipantChangeBody) -> Self {
        Self {
            total_time_ms: body.total_time_ms,
            group_id: body.group_id,
            participant_index: body.participant_index,
            time_control: body.time_control.map(Into::into),
            metadata: body.metadata,
        }
    }
}

impl CreateBody {
    /// The session to be created; `None` without a sync mode.
    pub fn into_new(self, session_id: SessionId) -> Option<NewSession> {
        let sync_mode = self.sync_mode?;
        let rules = Rules {
            concurrency: self.concurrency.unwrap_or_default(),
            total_time_ms: self.total_time_ms,
            time_per_cycle_ms: self.time_per_cycle_ms,
            increment_ms: self.increment_ms.unwrap_or(0),
            max_time_ms: self.max_time_ms,
            time_control: self.time_control.map(Into::into).unwrap_or_default(),
            soft_close: self.soft_close,
            rights: self.rights.unwrap_or_default(),
            lag_policy: self.lag_policy.unwrap_or_default(),
            on_outage: self.on_outage.unwrap_or_default(),
            auto_advance: self.auto_advance.unwrap_or(false),
            action_on_timeout: self.action_on_timeout.map(|body| body.kind).unwrap_or_default(),
            warnings_ms: self.warnings_ms.unwrap_or_default(),
        };
        let groups = self
            .groups
            .unwrap_or_default()
            .into_iter()
            .map(|group| NewGroup { group_id: group.group_id, total_time_ms: group.total_time_ms });
        Some(NewSession {
            session_id,
            sync_mode,
            participants: self.participants.unwrap_or_default().into_iter().map(Into::into).collect(),
            groups: groups.collect(),
            rules,
            metadata: self.metadata.unwrap_or_default(),
        })
    }
}
