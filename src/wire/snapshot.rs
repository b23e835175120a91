//! A whole session at one version, as every answer and state frame carries it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::instant::Instant;
use crate::domain::id::{GroupId, ParticipantId, SessionId};
use crate::domain::session::bank::{Bank, Phase};
use crate::domain::session::control::{
    Action, Concurrency, LagPolicy, OnOutage, Overtime, Rights, SoftClose, SyncMode, TimeControl,
};
use crate::domain::session::edges::{Edge, EdgeKind};
use crate::domain::session::{Owner, Session, Status};
use crate::domain::time::Timestamp;

/// The snapshot of the wire contract.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's, named and explained there")]
pub struct Snapshot<'a> {
    pub session_id: &'a SessionId,
    pub epoch: i64,
    pub version: u64,
    pub sync_mode: SyncMode,
    pub status: &'static str,
    pub active_participant_id: Option<&'a ParticipantId>,
    pub active_group_id: Option<&'a GroupId>,
    pub cycle_started_at: Option<Instant>,
    pub deadline_at: Option<Instant>,
    pub expires_by: Option<Instant>,
    pub starts_at: Option<Instant>,
    pub concurrency: Concurrency,
    pub time_per_cycle_ms: Option<i64>,
    pub increment_ms: i64,
    pub max_time_ms: Option<i64>,
    pub time_control: &'a TimeControl,
    pub soft_close: Option<SoftClose>,
    pub rights: Rights,
    pub lag_policy: LagPolicy,
    pub on_outage: OnOutage,
    pub auto_advance: bool,
    pub action_on_timeout: ActionBody,
    pub pause_reasons: &'a std::collections::BTreeSet<String>,
    pub warnings_ms: &'a [i64],
    pub total_time_ms: Option<i64>,
    pub time_used_ms: i64,
    pub overrun_ms: i64,
    /// Absent from a partial frame, which says only what changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub participants: Option<Vec<ParticipantBody<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<GroupBody<'a>>>,
    pub edges: Vec<EdgeBody<'a>>,
    pub metadata: &'a Map<String, Value>,
    pub recovered: bool,
    pub recovered_at: Option<Instant>,
    pub recovered_from: Option<Instant>,
    pub created_at: Instant,
    pub started_at: Option<Instant>,
    pub updated_at: Instant,
    pub as_of: Instant,
}

/// `{"type": "expire"}`.
#[derive(Debug, Serialize)]
pub struct ActionBody {
    #[serde(rename = "type")]
    kind: Action,
}

/// One participant of a snapshot.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's, named and explained there")]
pub struct ParticipantBody<'a> {
    pub participant_id: &'a ParticipantId,
    pub participant_index: usize,
    pub group_id: Option<&'a GroupId>,
    pub total_time_ms: Option<i64>,
    pub time_used_ms: i64,
    pub overrun_ms: i64,
    pub cycle_count: u32,
    pub is_active: bool,
    pub has_expired: bool,
    pub phase: PhaseBody,
    pub delay_left_ms: i64,
    pub lag_quota_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_control: Option<&'a TimeControl>,
    pub metadata: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    pub alone: Option<SingleParticipant<'a>>,
}

/// One group of a snapshot.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's, named and explained there")]
pub struct GroupBody<'a> {
    pub group_id: &'a GroupId,
    pub total_time_ms: Option<i64>,
    pub time_used_ms: i64,
    pub overrun_ms: i64,
    pub cycle_count: u32,
    pub is_active: bool,
    pub has_expired: bool,
    pub phase: PhaseBody,
    pub delay_left_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    pub alone: Option<SingleParticipant<'a>>,
}

/// What each clock has for itself where all run at once.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's, named and explained there")]
pub struct SingleParticipant<'a> {
    pub status: &'static str,
    pub cycle_started_at: Option<Instant>,
    pub deadline_at: Option<Instant>,
    pub pause_reasons: &'a std::collections::BTreeSet<String>,
    pub edges: Vec<EdgeBody<'a>>,
}

/// Where one clock is.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are the contract's, named and explained there")]
pub enum PhaseBody {
    Main {
        #[serde(skip_serializing_if = "Option::is_none")]
        stage: Option<u32>,
    },
    Byoyomi {
        period: u32,
        periods: u32,
    },
    Canadian {
        cycles_left: u32,
        cycles: u32,
    },
    Reserve,
}

/// One thing to come.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's, named and explained there")]
pub struct EdgeBody<'a> {
    pub at: Instant,
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub participant_id: Option<&'a ParticipantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<&'a GroupId>,
    pub remaining_ms: i64,
}

impl<'a> Snapshot<'a> {
    /// `session` as it stands, said at `as_of`.
    pub fn of(session: &'a Session, as_of: Timestamp) -> Self {
        let rules = &*session.rules;
        let shown = shown_clock(session);
        let deadline = session.deadline();
        let expires_by = session.due_at.filter(|_| rules.lag_policy != LagPolicy::None && deadline.is_some());
        let recovered = session.recovered;
        Self {
            session_id: &session.session_id,
            epoch: session.position.epoch,
            version: session.position.version,
            sync_mode: session.sync_mode,
            status: session.status.as_str(),
            active_participant_id: session.active_participant().map(|active| &active.participant_id),
            active_group_id: active_group(session),
            cycle_started_at: shown.and_then(|owner| session.bank(owner).anchor).map(Instant),
            deadline_at: deadline.map(Instant),
            expires_by: expires_by.map(Instant),
            starts_at: session.starts_at.map(Instant),
            concurrency: rules.concurrency,
            time_per_cycle_ms: rules.time_per_cycle_ms,
            increment_ms: rules.increment_ms,
            max_time_ms: rules.max_time_ms,
            time_control: &rules.time_control,
            soft_close: rules.soft_close,
            rights: rules.rights,
            lag_policy: rules.lag_policy,
            on_outage: rules.on_outage,
            auto_advance: rules.auto_advance,
            action_on_timeout: ActionBody { kind: rules.action_on_timeout },
            pause_reasons: &session.reasons,
            warnings_ms: &rules.warnings_ms,
            total_time_ms: session.clock.left_ms.filter(|_| session.sync_mode != SyncMode::CountUp),
            time_used_ms: used(session),
            overrun_ms: session.clock.overrun_ms,
            participants: Some(
                (0..session.participants.len()).map(|seat| participant_at(session, seat, as_of)).collect(),
            ),
            groups: Some((0..session.groups.len()).map(|place| group_at(session, place, as_of)).collect()),
            edges: edges(session, session.edges(), as_of),
            metadata: &session.metadata,
            recovered: recovered.is_some(),
            recovered_at: recovered.map(|recovered| Instant(recovered.at)),
            recovered_from: recovered.map(|recovered| Instant(recovered.from)),
            created_at: Instant(session.created_at),
            started_at: session.started_at.map(Instant),
            updated_at: Instant(session.updated_at),
            as_of: Instant(as_of),
        }
    }
}

/// The clock the session's own anchor and deadline speak of.
fn shown_clock(session: &Session) -> Option<Owner> {
    if session.is_simultaneous() { session.soonest() } else { session.running() }
}

fn active_group(session: &Session) -> Option<&GroupId> {
    let place = session.group_of(session.active?)?;
    Some(&session.groups[place].group_id)
}

fn used(session: &Session) -> i64 {
    match session.sync_mode {
        SyncMode::Global | SyncMode::CountUp => session.clock.used_ms,
        SyncMode::PerGroup => session.groups.iter().map(|group| group.bank.used_ms).sum(),
        _ => session.participants.iter().map(|participant| participant.used_ms).sum(),
    }
}

/// One participant as the wire shows it.
pub fn participant(session: &Session, seat: usize) -> ParticipantBody<'_> {
    participant_at(session, seat, session.updated_at)
}

fn participant_at(session: &Session, seat: usize, as_of: Timestamp) -> ParticipantBody<'_> {
    let owner = Owner::Participant(seat);
    let participant = &session.participants[seat];
    let has_clock = session.sync_mode == SyncMode::PerParticipant;
    ParticipantBody {
        participant_id: &participant.participant_id,
        participant_index: seat,
        group_id: participant.group_id.as_ref(),
        total_time_ms: participant.bank.left_ms,
        time_used_ms: participant.used_ms,
        overrun_ms: participant.bank.overrun_ms,
        cycle_count: participant.cycle_count,
        is_active: session.active == Some(seat),
        has_expired: participant.bank.expired_at.is_some(),
        phase: phase(session, owner),
        delay_left_ms: participant.bank.delay_left_ms,
        lag_quota_ms: participant.lag_quota_ms,
        time_control: participant.time_control.as_ref(),
        metadata: &participant.metadata,
        alone: Some(owner).filter(|_| has_clock).and_then(|owner| alone(session, owner, as_of)),
    }
}

/// One group as the wire shows it.
pub fn group(session: &Session, place: usize) -> GroupBody<'_> {
    group_at(session, place, session.updated_at)
}

fn group_at(session: &Session, place: usize, as_of: Timestamp) -> GroupBody<'_> {
    let owner = Owner::Group(place);
    let group = &session.groups[place];
    let active = session.active.and_then(|seat| session.group_of(seat));
    GroupBody {
        group_id: &group.group_id,
        total_time_ms: group.bank.left_ms,
        time_used_ms: group.bank.used_ms,
        overrun_ms: group.bank.overrun_ms,
        cycle_count: group.bank.cycle_count,
        is_active: active == Some(place),
        has_expired: group.bank.expired_at.is_some(),
        phase: phase(session, owner),
        delay_left_ms: group.bank.delay_left_ms,
        alone: alone(session, owner, as_of),
    }
}

fn phase(session: &Session, owner: Owner) -> PhaseBody {
    let control = session.control(owner);
    match (session.bank(owner).phase, control.overtime) {
        (Phase::Byoyomi { period }, Some(Overtime::Byoyomi { periods, .. })) => PhaseBody::Byoyomi { period, periods },
        (Phase::Canadian { cycles_left }, Some(Overtime::Canadian { cycles, .. })) => {
            PhaseBody::Canadian { cycles_left, cycles }
        }
        (Phase::Reserve, _) => PhaseBody::Reserve,
        (phase, _) => PhaseBody::Main {
            stage: match phase {
                Phase::Main { stage } if !control.stages.is_empty() => Some(stage),
                _ => None,
            },
        },
    }
}

fn alone(session: &Session, owner: Owner, as_of: Timestamp) -> Option<SingleParticipant<'_>> {
    if !session.is_simultaneous() {
        return None;
    }
    let bank = session.bank(owner);
    let own = session.edges_of(owner);
    Some(SingleParticipant {
        status: status_alone(session.status, bank, session.rules.action()).as_str(),
        cycle_started_at: bank.anchor.map(Instant),
        deadline_at: own.last().map(|edge| Instant(edge.at)),
        pause_reasons: &bank.reasons,
        edges: edges(session, own, as_of),
    })
}

fn status_alone(session: Status, bank: &Bank, action: Action) -> Status {
    let is_out = bank.expired_at.is_some() && action != Action::Continue;
    match session {
        _ if bank.is_completed => Status::Completed,
        Status::Running | Status::Paused if !bank.reasons.is_empty() => Status::Paused,
        _ if is_out => Status::Expired,
        other => other,
    }
}

/// What is still to come; an expiry is until it is settled.
fn edges(session: &Session, edges: Vec<Edge>, as_of: Timestamp) -> Vec<EdgeBody<'_>> {
    let is_ahead = |edge: &Edge| edge.at > as_of || edge.kind == EdgeKind::Expiry;
    edges.into_iter().filter(is_ahead).map(|edge| edge_body(session, edge)).collect()
}

fn edge_body(session: &Session, edge: Edge) -> EdgeBody<'_> {
    let seat = match (edge.owner, session.sync_mode) {
        (Owner::Participant(seat), _) => Some(seat),
        (_, SyncMode::PerCycle) => session.active,
        _ => None,
    };
    let place = if let Owner::Group(place) = edge.owner { Some(place) } else { None };
    EdgeBody {
        at: Instant(edge.at),
        kind: edge.kind.as_str(),
        participant_id: seat.map(|seat| &session.participants[seat].participant_id),
        group_id: place.map(|place| &session.groups[place].group_id),
        remaining_ms: edge.remaining_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::session::tests::each_state;

    #[test]
    fn every_session_is_shown_with_its_version() {
        each_state(2_000, |session, _, now| {
            let shown = serde_json::to_value(Snapshot::of(session, now)).unwrap();
            assert_eq!(shown["version"], session.position.version);
        });
    }
}
