//! Each command: what it does, and when it is refused.

use serde_json::{Value, json};

use crate::harness::answer::participant;
use crate::harness::{Caller, Cluster, Session, blitz, countdown, stopwatch, with};

#[tokio::test(flavor = "multi_thread")]
async fn a_game_of_blitz() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let started = cluster.caller(1).command(&session, "start").await.body;
    assert_eq!((&started["status"], &started["active_participant_id"]), (&json!("running"), &json!("white")));
    assert_eq!(started["cycle_started_at"], "2026-01-01T00:00:00.000Z");
    assert_eq!(started["deadline_at"], "2026-01-01T00:01:00.000Z");

    cluster.clock().advance_ms(10_000);
    let switched = cluster.caller(0).command(&session, "switch").await.body;
    let outcome = json!({
        "type": "switched", "charged_ms": 10000, "lag_credited_ms": 0, "lag_refused_ms": 0,
        "expired_participant_id": null, "action_applied": null,
    });
    assert_eq!(switched["outcome"], outcome);
    let white = participant(&switched, "white");
    assert_eq!(
        (&white["total_time_ms"], &white["time_used_ms"], &white["cycle_count"]),
        (&json!(51_000), &json!(10_000), &json!(1))
    );
    assert_eq!(switched["active_participant_id"], "black");

    cluster.clock().advance_ms(60_000);
    let over = cluster.caller(1).snapshot(&session).await;
    assert_eq!((&over["status"], &over["version"]), (&json!("expired"), &json!(4)));
    let black = participant(&over, "black");
    assert_eq!((&black["total_time_ms"], &black["has_expired"]), (&json!(0), &json!(true)));
}

/// What there is, the commands before it, the command with its body, its outcome, and the status after it.
type AppliedCase = (Value, &'static [&'static str], &'static str, Value, &'static str, &'static str);

/// The same, and the code it is refused with.
type RefusedCase = (Value, &'static [&'static str], &'static str, Value, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn every_command_says_what_it_did() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let soft = json!({"soft_close": {"window_ms": 60_000, "extension_ms": 60_000}});
    let rows: Vec<AppliedCase> = vec![
        (blitz(), &[], "start", json!({}), "started", "running"),
        (blitz(), &[], "start", json!({"participant_id": "black"}), "started", "running"),
        (blitz(), &[], "start", json!({"at": "2026-01-01T01:00:00Z"}), "scheduled", "pending"),
        (blitz(), &[], "start", json!({"at": "2025-01-01T01:00:00Z"}), "started", "running"),
        (
            blitz(),
            &["start"],
            "switch",
            json!({"current_participant_id": "white", "next_participant_id": "black"}),
            "switched",
            "running",
        ),
        (blitz(), &["start"], "switch", json!({"client_time_ms": 1_767_225_600_000.5}), "switched", "running"),
        (countdown(60_000), &["start"], "switch", json!({}), "switched", "running"),
        (stopwatch(), &["start"], "switch", json!({}), "switched", "running"),
        (blitz(), &["start"], "pause", json!({"reason": "arbiter"}), "paused", "paused"),
        (blitz(), &["start", "pause"], "pause", json!({"reason": "second"}), "paused", "paused"),
        (blitz(), &["start", "pause"], "resume", json!({}), "resumed", "running"),
        (blitz(), &["start", "pause"], "resume", json!({"reason": "requested"}), "resumed", "running"),
        (blitz(), &["start"], "complete", json!({}), "completed", "completed"),
        (blitz(), &["start", "pause"], "complete", json!({}), "completed", "completed"),
        (blitz(), &[], "cancel", json!({}), "cancelled", "cancelled"),
        (blitz(), &["start"], "cancel", json!({}), "cancelled", "cancelled"),
        (blitz(), &["start"], "reset", json!({}), "reset", "pending"),
        (blitz(), &["start"], "adjust", json!({"add_ms": 5_000}), "adjusted", "running"),
        (blitz(), &["start"], "adjust", json!({"participant_id": "black", "add_ms": -5_000}), "adjusted", "running"),
        (blitz(), &[], "adjust", json!({"participant_id": "white", "set_ms": 1}), "adjusted", "pending"),
        (countdown(60_000), &["start"], "adjust", json!({"set_ms": 90_000}), "adjusted", "running"),
        (with(countdown(30_000), soft.clone()), &["start"], "extend", json!({}), "extended", "running"),
        (blitz(), &["start", "switch"], "revert", json!({"to_version": 2}), "reverted", "running"),
    ];
    for (asked, before, command, body, outcome, status) in rows {
        let session = caller.create(asked).await;
        for each in before {
            caller.command(&session, each).await;
        }
        let version = before.len() as u64 + 1;
        let answer = caller.command_with(&session, command, body.clone()).await.expect(200);
        assert_eq!(answer.body["outcome"]["type"], outcome, "{command} {body}");
        assert_eq!(
            (answer.version(), answer.body["status"].as_str().unwrap()),
            (version + 1, status),
            "{command} {body}"
        );
        assert_eq!(answer.header("etag"), format!("W/\"{}-{}\"", answer.body["epoch"], version + 1));
        assert_eq!(caller.snapshot(&session).await["version"], version + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_decline_with_the_present_snapshot() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let exam = json!({
        "sync_mode": "per_participant", "concurrency": "simultaneous", "total_time_ms": 60_000,
        "participants": [{"participant_id": "a"}, {"participant_id": "b"}],
    });
    let rows: Vec<RefusedCase> = vec![
        (blitz(), &[], "switch", json!({}), "not_running"),
        (blitz(), &[], "pause", json!({}), "not_running"),
        (blitz(), &[], "complete", json!({}), "not_running"),
        (blitz(), &["start"], "resume", json!({}), "not_paused"),
        (blitz(), &["start", "pause"], "resume", json!({"reason": "another"}), "not_paused"),
        (blitz(), &["start", "pause"], "switch", json!({}), "not_running"),
        (blitz(), &["start"], "start", json!({}), "already_started"),
        (blitz(), &["start", "cancel"], "start", json!({}), "session_ended"),
        (blitz(), &["start", "complete"], "reset", json!({}), "session_ended"),
        (blitz(), &["start", "complete"], "revert", json!({"to_version": 2}), "session_ended"),
        (blitz(), &["start"], "switch", json!({"current_participant_id": "black"}), "not_active"),
        (blitz(), &["start"], "switch", json!({"current_participant_id": "nobody"}), "unknown_participant"),
        (blitz(), &["start"], "switch", json!({"next_participant_id": "nobody"}), "unknown_participant"),
        (blitz(), &[], "start", json!({"participant_id": "nobody"}), "unknown_participant"),
        (blitz(), &["start"], "adjust", json!({"participant_id": "nobody", "add_ms": 1}), "unknown_participant"),
        (blitz(), &["start"], "switch", json!({"next_group_id": "red"}), "wrong_mode"),
        (blitz(), &["start"], "adjust", json!({"group_id": "red", "add_ms": 1}), "wrong_mode"),
        (blitz(), &["start"], "extend", json!({}), "wrong_mode"),
        (blitz(), &["start"], "pause", json!({"participant_id": "white"}), "wrong_mode"),
        (exam.clone(), &["start"], "switch", json!({}), "wrong_mode"),
        (exam, &["start"], "pause", json!({"participant_id": "c"}), "unknown_participant"),
    ];
    for (asked, before, command, body, code) in rows {
        let session = caller.create(asked).await;
        for each in before {
            caller.command(&session, each).await;
        }
        let present = caller.snapshot(&session).await;
        let refused = caller.command_with(&session, command, body.clone()).await.refused(code);
        assert_eq!(refused.body["session"], present, "{command} {body} after {before:?}");
        assert_eq!(caller.snapshot(&session).await, present, "{command} {body} changed something");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_bank_cannot_go_on() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(with(blitz(), json!({"action_on_timeout": {"type": "pause"}}))).await;
    cluster.clock().advance_ms(60_000);
    caller.command_with(&session, "resume", json!({})).await.expect(409).refused("participant_expired");
    let present = caller.snapshot(&session).await;
    assert_eq!((&present["status"], &present["pause_reasons"]), (&json!("paused"), &json!(["timeout"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_in_grace_waits_for_the_switch_alone() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(with(blitz(), json!({"lag_policy": "standard"}))).await;
    cluster.clock().advance_ms(60_000);
    caller.command_with(&session, "pause", json!({})).await.expect(409).refused("deadline_pending");
    assert_eq!(caller.snapshot(&session).await["status"], "running");
    cluster.clock().advance_ms(2_000);
    assert_eq!(caller.snapshot(&session).await["status"], "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_starts_on_the_same_millisecond() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let mut tap = cluster.tap(&session).await;
    let scheduled = caller.command_with(&session, "start", json!({"at": "2026-01-01T00:00:05Z"})).await.expect(200);
    assert_eq!(scheduled.body["starts_at"], "2026-01-01T00:00:05.000Z");
    assert_eq!(tap.next().await[0]["event"]["command"], "start");
    cluster.clock().advance_ms(7_000);
    let begun = tap.next().await;
    assert_eq!(begun[0]["payload"]["cycle_started_at"], "2026-01-01T00:00:05.000Z");
    assert_eq!(caller.snapshot(&session).await["version"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_change_is_written_before_a_refused_command() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    cluster.clock().advance_ms(60_000);
    let late = caller.command_with(&session, "switch", json!({})).await.expect(409).refused("session_ended");
    assert_eq!((&late.body["session"]["version"], &late.body["session"]["status"]), (&json!(3), &json!("expired")));
    assert_eq!(caller.snapshot(&session).await["version"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn participants_come_change_and_go() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let path = format!("{}/participants", session.path());
    let added =
        caller.post(&path, json!({"participant_id": "red", "total_time_ms": 30_000, "participant_index": 1})).await;
    assert_eq!(added.clone().expect(201).body["outcome"]["type"], "participant_added");
    assert_eq!(ids(&added.body), ["white", "red", "black"]);
    caller.post(&path, json!({"participant_id": "red"})).await.expect(422).refused("invalid");
    caller.post(&path, json!({"participant_id": "blue"})).await.expect(422).refused("invalid_time_control");

    let change = async |id: &str, body: Value| ask(&caller, http::Method::PATCH, &session, id, body).await;
    let changed = change("red", json!({"participant_index": 2, "metadata": {"team": 1}})).await.expect(200);
    assert_eq!(ids(&changed.body), ["white", "black", "red"]);
    assert_eq!(participant(&changed.body, "red")["metadata"], json!({"team": 1}));
    change("red", json!({"total_time_ms": 1})).await.expect(409).refused("already_started");
    change("red", json!({"participant_id": "blue"})).await.expect(422).refused("invalid");
    change("nobody", json!({"metadata": {}})).await.expect(422).refused("unknown_participant");

    cluster.clock().advance_ms(4_000);
    let remove = async |id: &str| ask(&caller, http::Method::DELETE, &session, id, json!({})).await;
    let removed = remove("white").await.expect(200).body;
    assert_eq!(
        (&removed["outcome"]["charged_ms"], &removed["active_participant_id"]),
        (&json!(4_000), &json!("black"))
    );
    assert_eq!(participant(&removed, "black")["total_time_ms"], 60_000);
    remove("white").await.expect(422).refused("unknown_participant");
    remove("red").await.expect(200);
    remove("black").await.expect(422).refused("invalid");
}

async fn ask(
    caller: &Caller,
    method: http::Method,
    session: &Session,
    id: &str,
    body: Value,
) -> crate::harness::Answer {
    caller.asking(method, format!("{}/participants/{id}", session.path())).json(&body).send().await
}

fn ids(snapshot: &Value) -> Vec<&str> {
    snapshot["participants"].as_array().unwrap().iter().map(|each| each["participant_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_brings_clocks_and_turn_back_as_a_new_version() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    for _ in 0..3 {
        cluster.clock().advance_ms(5_000);
        caller.command(&session, "switch").await;
    }
    let reverted = caller.command_with(&session, "revert", json!({"to_version": 3})).await.expect(200).body;
    assert_eq!((&reverted["version"], &reverted["active_participant_id"]), (&json!(6), &json!("black")));
    assert_eq!(participant(&reverted, "white")["total_time_ms"], 56_000);
    assert_eq!(participant(&reverted, "black")["total_time_ms"], 60_000);
    for unknown in [json!(0), json!(99), json!(u64::MAX)] {
        caller.command_with(&session, "revert", json!({"to_version": unknown})).await.expect(422).refused("invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_is_pending_with_the_same_configuration() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(with(blitz(), json!({"metadata": {"round": 1}, "warnings_ms": [5_000]}))).await;
    cluster.clock().advance_ms(5_000);
    caller.command(&session, "switch").await;
    let path = format!("{}/clone", session.path());
    let cloned = caller.post(&path, json!({"session_id": "second"})).await.expect(201);
    assert_eq!(cloned.header("location"), "/v1/sessions/second");
    assert_eq!(
        (cloned.version(), &cloned.body["status"], &cloned.body["started_at"]),
        (1, &json!("pending"), &Value::Null)
    );
    assert_eq!((&cloned.body["metadata"], &cloned.body["warnings_ms"]), (&json!({"round": 1}), &json!([5_000])));
    assert_eq!(participant(&cloned.body, "white")["total_time_ms"], 60_000);
    let made = caller.post(&path, json!({})).await.expect(201);
    assert_ne!(made.body["session_id"], cloned.body["session_id"]);
    caller.post(&path, json!({"session_id": "second"})).await.expect(409).refused("session_exists");
    caller.post(&path, json!({"session_id": "a/b"})).await.expect(422).refused("invalid");
    caller.post(&path, json!({"name": "second"})).await.expect(422).refused("invalid");
}
