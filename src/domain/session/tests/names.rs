//! Names and stored forms, and the few cases that random commands do not reach.

use serde_json::{Map, Value, json};

use crate::domain::id::{ParticipantId, SessionId};
use crate::domain::session::command::{Adjustment, Command, ParticipantChange, Refused, Target};
use crate::domain::session::control::{Action, OnOutage, Rules, SyncMode};
use crate::domain::session::event::Step;
use crate::domain::session::new::{NewParticipant, NewSession};
use crate::domain::session::restore::{Gap, OUTAGE_MS, Outage};
use crate::domain::session::summary::Summary;
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;

const NOW: Timestamp = Timestamp::from_ms(1_000);

fn session(sync_mode: SyncMode, names: &[&str], on_outage: OnOutage) -> Session {
    let participant = |name: &&str| NewParticipant {
        participant_id: ParticipantId::new(*name).unwrap(),
        total_time_ms: None,
        group_id: None,
        participant_index: None,
        time_control: None,
        metadata: Map::new(),
    };
    let new = NewSession {
        session_id: SessionId::new("s").unwrap(),
        sync_mode,
        participants: names.iter().map(participant).collect(),
        groups: Vec::new(),
        rules: Rules { total_time_ms: Some(60_000), on_outage, ..Rules::default() },
        metadata: Map::new(),
    };
    Session::create(new, NOW).unwrap().session
}

fn blitz() -> Session {
    session(SyncMode::PerParticipant, &["a", "b"], OnOutage::Pause)
}

#[test]
fn commands_that_no_body_makes_have_names_too() {
    let revert = Command::Revert { then: Box::new(blitz()) };
    let names = [revert, Command::Delete, Command::Settle].map(|command| command.name());
    assert_eq!(names, ["revert", "delete", "settle"]);
}

#[test]
fn an_action_is_called_the_same_everywhere() {
    for action in [Action::Expire, Action::Advance, Action::Pause, Action::Complete, Action::Continue] {
        assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
    }
}

#[test]
fn a_summary_is_read_from_a_stored_session() {
    let summary = Summary::of(&blitz().stored()).unwrap();
    assert_eq!(
        (summary.status.as_str(), summary.sync_mode.as_str(), summary.due_at),
        ("pending", "per_participant", None)
    );
    let names: Vec<_> = summary.participants.iter().map(|named| named.participant_id.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn defaults_are_not_stored_and_a_full_form_is_read() {
    let stored = blitz().stored();
    let text = String::from_utf8(stored.clone()).unwrap();
    for absent in ["null", "[]", "false", ":0,", "starts_at", "groups", "metadata", "overrun_ms"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
    let mut full: Value = serde_json::from_slice(&stored).unwrap();
    for (name, nothing) in [("due_at", json!(null)), ("reasons", json!([])), ("cycle_used_ms", json!(0))] {
        assert_eq!(full[name], json!(null), "{name}");
        full[name] = nothing;
    }
    let bank = &mut full["participants"][1]["bank"];
    bank["phase"] = json!({"main": {"stage": 0}});
    bank["is_free"] = json!(false);
    assert_eq!(Session::from_stored(full.to_string().as_bytes()).unwrap(), blitz());
}

#[test]
fn without_an_outage_a_restored_session_is_as_it_was() {
    let lost = blitz();
    let restored = lost.restored(None, NOW);
    assert_eq!((restored.status, restored.position.version), (lost.status, lost.position.version));
    assert!(restored.position > lost.position && restored.recovered.is_some());
}

fn running(on_outage: OnOutage) -> Session {
    let pending = session(SyncMode::Global, &[], on_outage);
    match pending.next(&Command::Start { at: None, participant: None }, NOW) {
        Step::Done(change) => change.session,
        other => panic!("it starts: {other:?}"),
    }
}

#[test]
fn a_stop_in_order_is_never_charged_however_short() {
    let span = |ms| Outage { from: NOW + 2_000, until: NOW + 2_000 + ms };
    for ms in [0, 30, OUTAGE_MS, 3_600_000] {
        let stopped = running(OnOutage::Pause).restored_after(Some(Gap::Stop(span(ms))), false, NOW + 9_000_000);
        assert_eq!((stopped.status, stopped.clock.used_ms), (Status::Paused, 2_000), "{ms}");
        assert_eq!((stopped.recovered, stopped.outage), (None, Some(span(ms))), "{ms}");
        let short = running(OnOutage::Pause).restored(Some(span(ms)), NOW + 9_000_000);
        assert_eq!(short.status == Status::Paused, ms >= OUTAGE_MS, "{ms}");
        assert!(short.recovered.is_some() && short.outage.is_some() == (ms >= OUTAGE_MS), "{ms}");
    }
}

#[test]
fn a_stop_in_order_is_charged_where_the_rules_say_so() {
    let gap = Some(Gap::Stop(Outage { from: NOW + 2_000, until: NOW + 4_000 }));
    let charged = running(OnOutage::Charge).restored_after(gap, false, NOW + 4_000);
    assert_eq!((charged.status, charged.outage, charged.recovered), (Status::Running, None, None));
}

#[test]
fn a_session_that_was_not_lost_has_a_new_epoch_and_no_mark() {
    let back = blitz().restored_after(None, false, NOW + 5_000);
    assert_eq!((back.recovered, back.position.epoch), (None, (NOW + 5_000).as_ms()));
    let lost = blitz().restored(None, NOW + 5_000);
    assert_eq!(lost.restored_after(None, false, NOW + 6_000).recovered, lost.recovered, "a loss stays one");
}

#[test]
fn the_rules_refuse_what_the_wire_refuses() {
    let id = ParticipantId::new("a").unwrap();
    let below = Command::Adjust { target: Target::Participant(id.clone()), change: Adjustment::Set(-1) };
    assert_eq!(blitz().next(&below, NOW), Step::Refused(Refused::OutOfBounds));
    let metadata = Map::from_iter([("note".to_owned(), Value::from("x".repeat(9_000)))]);
    let change = Box::new(ParticipantChange { metadata: Some(metadata), ..ParticipantChange::default() });
    let oversized = Command::ChangeParticipant { id, change };
    assert_eq!(blitz().next(&oversized, NOW), Step::Refused(Refused::OutOfBounds));
}
