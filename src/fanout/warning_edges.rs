//! Reads the warnings out of snapshots and partial frames, and nothing else.

use serde::Deserialize;

use crate::domain::id::{GroupId, ParticipantId};
use crate::wire::frame::Warning;
use crate::wire::instant::Instant;

#[derive(Deserialize)]
struct Snapshot<'a> {
    #[serde(borrow, default)]
    edges: Vec<Edge<'a>>,
    #[serde(borrow, default)]
    participants: Vec<Clock<'a>>,
    #[serde(borrow, default)]
    groups: Vec<Clock<'a>>,
}

/// A `STATE_UPDATE` that names only what changed.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    payload: Partial<'a>,
}

#[derive(Deserialize)]
struct Partial<'a> {
    #[serde(borrow, default)]
    changed: Vec<Clock<'a>>,
    #[serde(borrow, default)]
    changed_groups: Vec<Clock<'a>>,
}

/// A participant or a group. It has edges of its own if all clocks run at once.
#[derive(Deserialize)]
struct Clock<'a> {
    #[serde(borrow, default)]
    participant_id: Option<&'a str>,
    #[serde(borrow, default)]
    group_id: Option<&'a str>,
    #[serde(borrow, default)]
    edges: Vec<Edge<'a>>,
}

#[derive(Deserialize)]
struct Edge<'a> {
    at: Instant,
    #[serde(borrow, rename = "type")]
    kind: &'a str,
    #[serde(borrow, default)]
    participant_id: Option<&'a str>,
    #[serde(borrow, default)]
    group_id: Option<&'a str>,
    remaining_ms: i64,
}

impl Edge<'_> {
    fn warning(&self) -> Option<Warning> {
        (self.kind == "warning").then(|| Warning {
            at: self.at,
            participant_id: self.participant_id.and_then(|id| ParticipantId::new(id).ok()),
            group_id: self.group_id.and_then(|id| GroupId::new(id).ok()),
            remaining_ms: self.remaining_ms,
        })
    }
}

/// Every warning that a whole snapshot names. If all clocks run at once, the session's own edges
/// repeat those of the earliest clock, and are taken once.
pub(super) fn in_snapshot(snapshot: &[u8]) -> Vec<Warning> {
    let Ok(snapshot) = serde_json::from_slice::<Snapshot<'_>>(snapshot) else { return Vec::new() };
    let clocks = snapshot.participants.iter().chain(&snapshot.groups).flat_map(|clock| &clock.edges);
    let mut warnings: Vec<Warning> = clocks.filter_map(Edge::warning).collect();
    let clock_warnings = warnings.len();
    for warning in snapshot.edges.iter().filter_map(Edge::warning) {
        if !warnings[..clock_warnings].contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings
}

/// Replaces the warnings of the clocks that a partial frame names.
pub(super) fn apply_partial(frame: &[u8], warnings: &mut Vec<Warning>) {
    let Ok(Frame { payload }) = serde_json::from_slice::<Frame<'_>>(frame) else { return };
    for clock in &payload.changed {
        warnings.retain(|warning| warning.participant_id.as_ref().map(ParticipantId::as_str) != clock.participant_id);
    }
    for clock in &payload.changed_groups {
        let is_of = |warning: &Warning| warning.group_id.as_ref().map(GroupId::as_str) == clock.group_id;
        warnings.retain(|warning| warning.participant_id.is_some() || !is_of(warning));
    }
    let changed = payload.changed.iter().chain(&payload.changed_groups);
    warnings.extend(changed.flat_map(|clock| &clock.edges).filter_map(Edge::warning));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(kind: &str, id: &str, at: i64) -> String {
        format!(r#"{{"at":{at},"type":"{kind}",{id}"remaining_ms":5000}}"#)
    }

    fn shown(warnings: &[Warning]) -> Vec<(i64, Option<&str>, Option<&str>)> {
        let mut shown: Vec<_> = warnings
            .iter()
            .map(|each| {
                let participant = each.participant_id.as_ref().map(ParticipantId::as_str);
                (each.at.0.as_ms(), participant, each.group_id.as_ref().map(GroupId::as_str))
            })
            .collect();
        shown.sort_unstable();
        shown
    }

    #[test]
    fn only_warnings_are_taken_each_once() {
        let (a, b) = (r#""participant_id":"a","#, r#""participant_id":"b","#);
        let snapshot = format!(
            r#"{{"metadata":{{"edges":[1]}},"edges":[{0},{1}],"participants":[{{"participant_id":"a","edges":[{0},{1}]}},{{"participant_id":"b","edges":[{2}]}}],"groups":[]}}"#,
            edge("warning", a, 10),
            edge("expiry", a, 15),
            edge("warning", b, 20),
        );
        assert_eq!(shown(&in_snapshot(snapshot.as_bytes())), [(10, Some("a"), None), (20, Some("b"), None)]);
        assert_eq!(in_snapshot(b"no snapshot"), []);
    }

    #[test]
    fn a_partial_frame_replaces_the_clocks_it_names() {
        let (a, b, g) = (r#""participant_id":"a","#, r#""participant_id":"b","#, r#""group_id":"g","#);
        let all = [edge("warning", a, 10), edge("warning", b, 20), edge("warning", g, 30)].join(",");
        let mut warnings = in_snapshot(format!(r#"{{"edges":[{all}]}}"#).as_bytes());
        let partial = format!(
            r#"{{"payload":{{"changed":[{{"participant_id":"a","edges":[]}}],"changed_groups":[{{"group_id":"g","edges":[{}]}}]}}}}"#,
            edge("warning", g, 40),
        );
        apply_partial(partial.as_bytes(), &mut warnings);
        assert_eq!(shown(&warnings), [(20, Some("b"), None), (40, None, Some("g"))]);
    }
}
