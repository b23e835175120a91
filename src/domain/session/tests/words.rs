//! The words that stand for things, and the few ways in that random play does not take.

use serde_json::{Map, Value, json};

use crate::domain::id::{ParticipantId, SessionId};
use crate::domain::session::command::{Adjustment, Command, ParticipantChange, Refused, Target};
use crate::domain::session::control::Action;
use crate::domain::session::event::Step;
use crate::domain::session::restore::{Gap, OUTAGE_MS, Outage};
use crate::domain::session::summary::Summary;
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;
use crate::wire::command;
use crate::wire::command::{CommandInput, parsed};
use crate::wire::create::CreateBody;

const NOW: Timestamp = Timestamp::from_ms(1_000);

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("an object") };
    map
}

fn session(body: Value) -> Session {
    let id = SessionId::new("s").unwrap();
    let new = parsed::<CreateBody>(object(body)).unwrap().into_new(id).unwrap();
    Session::create(new, NOW).unwrap().session
}

fn blitz() -> Session {
    session(json!({"sync_mode": "per_participant", "total_time_ms": 60_000,
                   "participants": [{"participant_id": "a"}, {"participant_id": "b"}]}))
}

#[test]
fn a_command_is_called_what_it_was_asked_by() {
    for (name, body) in [
        ("start", json!({})),
        ("switch", json!({})),
        ("pause", json!({})),
        ("resume", json!({})),
        ("complete", json!({})),
        ("cancel", json!({})),
        ("reset", json!({})),
        ("adjust", json!({"add_ms": 1})),
        ("extend", json!({})),
        ("add_participant", json!({"participant_id": "p"})),
        ("change_participant", json!({"participant_id": "p"})),
        ("remove_participant", json!({"participant_id": "p"})),
    ] {
        let CommandInput::Command(command) = command::read(name, object(body)).unwrap().input else { panic!("{name}") };
        assert_eq!(command.name(), name);
    }
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
fn a_list_reads_what_it_needs_off_a_stored_session() {
    let facts = Summary::of(&blitz().stored()).unwrap();
    assert_eq!((facts.status.as_str(), facts.sync_mode.as_str(), facts.due_at), ("pending", "per_participant", None));
    let names: Vec<_> = facts.participants.iter().map(|named| named.participant_id.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn what_says_nothing_is_not_stored_and_what_was_stored_in_full_is_read() {
    let stored = blitz().stored();
    let text = String::from_utf8(stored.clone()).unwrap();
    for silent in ["null", "[]", "false", ":0,", "starts_at", "groups", "metadata", "overrun_ms"] {
        assert!(!text.contains(silent), "{silent} in {text}");
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
fn without_an_absence_a_restored_session_is_as_it_was() {
    let lost = blitz();
    let restored = lost.restored(None, NOW);
    assert_eq!((restored.status, restored.position.version), (lost.status, lost.position.version));
    assert!(restored.position > lost.position && restored.recovered.is_some());
}

fn running(more: Value) -> Session {
    let mut body = object(json!({"sync_mode": "global", "total_time_ms": 60_000}));
    body.extend(object(more));
    match session(Value::Object(body)).next(&Command::Start { at: None, participant: None }, NOW) {
        Step::Done(change) => change.session,
        other => panic!("it starts: {other:?}"),
    }
}

#[test]
fn a_stop_in_order_is_never_charged_however_short() {
    let span = |ms| Outage { from: NOW + 2_000, until: NOW + 2_000 + ms };
    for ms in [0, 30, OUTAGE_MS, 3_600_000] {
        let stopped = running(json!({})).restored_after(Some(Gap::Stop(span(ms))), false, NOW + 9_000_000);
        assert_eq!((stopped.status, stopped.clock.used_ms), (Status::Paused, 2_000), "{ms}");
        assert_eq!((stopped.recovered, stopped.outage), (None, Some(span(ms))), "{ms}");
        let short = running(json!({})).restored(Some(span(ms)), NOW + 9_000_000);
        assert_eq!(short.status == Status::Paused, ms >= OUTAGE_MS, "{ms}");
        assert!(short.recovered.is_some() && short.outage.is_some() == (ms >= OUTAGE_MS), "{ms}");
    }
}

#[test]
fn a_stop_in_order_is_charged_where_that_was_asked_for() {
    let gap = Some(Gap::Stop(Outage { from: NOW + 2_000, until: NOW + 4_000 }));
    let charged = running(json!({"on_outage": "charge"})).restored_after(gap, false, NOW + 4_000);
    assert_eq!((charged.status, charged.outage, charged.recovered), (Status::Running, None, None));
}

#[test]
fn what_is_merely_read_back_has_a_new_epoch_and_no_mark() {
    let back = blitz().restored_after(None, false, NOW + 5_000);
    assert_eq!((back.recovered, back.position.epoch), (None, (NOW + 5_000).as_ms()));
    let lost = blitz().restored(None, NOW + 5_000);
    assert_eq!(lost.restored_after(None, false, NOW + 6_000).recovered, lost.recovered, "a loss stays one");
}

#[test]
fn what_the_wire_would_not_let_through_is_refused_by_the_rules_too() {
    let id = ParticipantId::new("a").unwrap();
    let below = Command::Adjust { target: Target::Participant(id.clone()), change: Adjustment::Set(-1) };
    assert_eq!(blitz().next(&below, NOW), Step::Refused(Refused::OutOfBounds));
    let words = object(json!({"words": "x".repeat(9_000)}));
    let change = Box::new(ParticipantChange { metadata: Some(words), ..ParticipantChange::default() });
    let wordy = Command::ChangeParticipant { id, change };
    assert_eq!(blitz().next(&wordy, NOW), Step::Refused(Refused::OutOfBounds));
}
