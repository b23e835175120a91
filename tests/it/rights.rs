//! What a participant may do by itself: hand on, stop its own clock, and nothing else's.

use serde_json::{Value, json};

use crate::harness::answer::participant;
use crate::harness::watch::{Transport, Watching};
use crate::harness::{Authority, Caller, Cluster, Session, blitz, with};

/// A session of each mode and control in which a cycle earns something, where `a` has the turn.
fn sessions_that_earn() -> Vec<(&'static str, Value)> {
    let own = |more: Value| {
        let base = json!({
            "sync_mode": "per_participant", "total_time_ms": 60_000,
            "participants": [{"participant_id": "a"}, {"participant_id": "b"}, {"participant_id": "c"}],
        });
        with(base, more)
    };
    vec![
        ("an increment", own(json!({"increment_ms": 2_000}))),
        ("an increment with lag credit", own(json!({"increment_ms": 2_000, "lag_policy": "standard"}))),
        ("stages", own(json!({"time_control": {"stages": [{"cycles": 1, "add_ms": 3_600_000}]}}))),
        ("byo-yomi", own(json!({"time_control": {"overtime": {"type": "byoyomi", "periods": 1, "period_ms": 5_000}}}))),
        ("a simple delay", own(json!({"time_control": {"delay": {"type": "simple", "delay_ms": 5_000}}}))),
        ("a Bronstein delay", own(json!({"time_control": {"delay": {"type": "bronstein", "delay_ms": 5_000}}}))),
        ("free cycles", own(json!({"time_control": {"free_cycles": 3}}))),
        (
            "a cycle's clock",
            json!({
                "sync_mode": "per_cycle", "time_per_cycle_ms": 30_000,
                "participants": [{"participant_id": "a"}, {"participant_id": "b"}, {"participant_id": "c"}],
            }),
        ),
        (
            "a group's bank",
            json!({
                "sync_mode": "per_group", "increment_ms": 2_000,
                "groups": [{"group_id": "red", "total_time_ms": 60_000}, {"group_id": "blue", "total_time_ms": 60_000}],
                "participants": [
                    {"participant_id": "a", "group_id": "red"}, {"participant_id": "a2", "group_id": "red"},
                    {"participant_id": "b", "group_id": "blue"},
                ],
            }),
        ),
    ]
}

/// Bodies by which `a` would hand on to its own clock.
fn to_itself(name: &str) -> Vec<Value> {
    let mut bodies = vec![json!({"next_participant_id": "a"})];
    if name == "a group's bank" {
        bodies.extend([json!({"next_group_id": "red"}), json!({"next_participant_id": "a2"})]);
    }
    bodies
}

async fn version(caller: &Caller, session: &Session) -> u64 {
    caller.snapshot(session).await["version"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_never_hands_on_to_its_own_clock() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    let a = operator.being(Authority::Participant("a"));
    for hand_on in ["next", "any"] {
        for (name, body) in sessions_that_earn() {
            let session = operator.running(with(body, json!({"rights": {"hand_on": hand_on}}))).await;
            for body in to_itself(name) {
                let refused = a.command_with(&session, "switch", body.clone()).await;
                refused.expect(403).refused("forbidden");
                let command = with(json!({"session_id": session.id, "command": "switch"}), body.clone());
                let batch = a.post("/v1/sessions/batch", json!({"commands": [command]})).await.expect(200).body;
                assert_eq!(batch["results"][0]["status"], 403, "{name}, {hand_on}: {body}");
            }
            assert_eq!(version(&operator, &session).await, 2, "{name}, {hand_on}");
            a.command(&session, "switch").await;
            assert_eq!(operator.snapshot(&session).await["active_participant_id"], "b", "{name}, {hand_on}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_socket_a_participant_has_the_same_rights() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    let session = operator.running(blitz()).await;
    let white = operator.being(Authority::Participant("white"));
    let mut white = Watching::of(white, &session).over(Transport::WebSocket).await;
    let switch = |to: &str| json!({"type": "COMMAND", "command": "switch", "next_participant_id": to});
    assert_eq!(white.ask(switch("white")).await["payload"]["code"], "forbidden");
    assert_eq!(white.ask(switch("black")).await["payload"]["active_participant_id"], "black");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_hands_on_in_turn_unless_any_is_allowed() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    let a = operator.being(Authority::Participant("a"));
    let three = |rights: Value| {
        json!({
            "sync_mode": "per_participant", "total_time_ms": 60_000, "rights": rights,
            "participants": [{"participant_id": "a"}, {"participant_id": "b"}, {"participant_id": "c"}],
        })
    };
    for (rights, to, status) in [
        (json!({}), "c", 403),
        (json!({"hand_on": "next"}), "c", 403),
        (json!({"hand_on": "next"}), "b", 200),
        (json!({"hand_on": "any"}), "c", 200),
        (json!({"hand_on": "any"}), "nobody", 422),
        (json!({}), "nobody", 422),
    ] {
        let session = operator.running(three(rights.clone())).await;
        let switched = a.command_with(&session, "switch", json!({"next_participant_id": to})).await;
        assert_eq!(switched.status, status, "{rights} to {to}: {}", switched.body);
    }
    // An operator hands on to whom it likes.
    let session = operator.running(three(json!({}))).await;
    operator.command_with(&session, "switch", json!({"next_participant_id": "c"})).await.expect(200);
    operator.command_with(&session, "switch", json!({"next_participant_id": "c"})).await.expect(200);
    for bad in [json!({"hand_on": "all"}), json!({"hand_on": 1}), json!({"fly": true}), json!([])] {
        operator.post("/v1/sessions", three(bad)).await.expect(422).refused("invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lap_of_the_only_participant_is_its_own_to_take() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    let a = operator.being(Authority::Participant("a"));
    let session = operator.running(json!({"sync_mode": "count_up", "participants": [{"participant_id": "a"}]})).await;
    a.command(&session, "switch").await;
    a.command_with(&session, "switch", json!({"next_participant_id": "a"})).await.expect(403);
}

/// An exam of two, both clocks running.
fn exam(rights: &Value) -> Value {
    json!({
        "sync_mode": "per_participant", "concurrency": "simultaneous", "total_time_ms": 600_000, "rights": rights,
        "participants": [{"participant_id": "ann"}, {"participant_id": "bob"}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_taken_back_by_its_giver_or_an_operator() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    let ann = operator.being(Authority::Participant("ann"));
    let session = operator.running(exam(&json!({}))).await;
    let asked = async |by: &Caller, command: &str, reason: Option<&str>| {
        let body = json!({"participant_id": "ann", "reason": reason});
        by.command_with(&session, command, body).await.status
    };
    let reasons = async || participant(&operator.snapshot(&session).await, "ann")["pause_reasons"].clone();
    assert_eq!(asked(&operator, "pause", Some("penalty")).await, 200);
    assert_eq!(asked(&ann, "resume", Some("penalty")).await, 403);
    assert_eq!(asked(&ann, "resume", None).await, 403);
    // Giving the same reason does not make it hers, and her own is hers alone.
    assert_eq!(asked(&ann, "pause", Some("penalty")).await, 200);
    assert_eq!(asked(&ann, "resume", Some("penalty")).await, 403);
    assert_eq!(asked(&ann, "pause", Some("break")).await, 200);
    assert_eq!(asked(&ann, "resume", None).await, 200);
    assert_eq!(reasons().await, json!(["penalty"]));
    // What an operator gives as well becomes the operator's.
    assert_eq!(asked(&ann, "pause", Some("break")).await, 200);
    assert_eq!(asked(&operator, "pause", Some("break")).await, 200);
    assert_eq!(asked(&ann, "resume", Some("break")).await, 403);
    assert_eq!(asked(&ann, "resume", Some("unheard-of")).await, 409);
    assert_eq!(asked(&operator, "resume", None).await, 200);
    assert_eq!(reasons().await, json!([]));
    assert_eq!(asked(&ann, "resume", None).await, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_out_is_not_lifted_by_its_participant() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    let ann = operator.being(Authority::Participant("ann"));
    let body = with(exam(&json!({})), json!({"action_on_timeout": {"type": "pause"}}));
    let session = operator.running(body).await;
    cluster.clock().advance_ms(600_000);
    operator.snapshot(&session).await;
    ann.command_with(&session, "resume", json!({"participant_id": "ann"})).await.expect(403).refused("forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_may_close_pause_and_complete_to_participants() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    let ann = operator.being(Authority::Participant("ann"));
    let own = json!({"participant_id": "ann"});
    for (rights, pause, complete) in [
        (json!({}), 200, 200),
        (json!({"self_pause": false}), 403, 200),
        (json!({"self_complete": false}), 200, 403),
        (json!({"self_pause": false, "self_complete": false}), 403, 403),
    ] {
        let session = operator.running(exam(&rights)).await;
        assert_eq!(ann.command_with(&session, "pause", own.clone()).await.status, pause, "{rights}");
        assert_eq!(ann.command_with(&session, "resume", own.clone()).await.status, pause, "{rights}");
        assert_eq!(ann.command_with(&session, "complete", own.clone()).await.status, complete, "{rights}");
        let expected = with(json!({"hand_on": "next", "self_pause": true, "self_complete": true}), rights);
        assert_eq!(operator.snapshot(&session).await["rights"], expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_checked_before_replay_and_history() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    let session = operator.create(blitz()).await;
    let start = format!("{}/start", session.path());
    operator.asking(http::Method::POST, &start).key("k").send().await.expect(200);
    // The same subject with a lesser role asks with the operator's key.
    let claims = json!({
        "sub": "a-operator", "tenant": "acme", "role": "participant", "participant_id": "white", "exp": 4_000_000_000_i64,
    });
    let participant = operator.claiming(&claims);
    participant.asking(http::Method::POST, &start).key("k").send().await.expect(403).refused("forbidden");
    for to_version in [1, 99] {
        let body = json!({"to_version": to_version});
        participant.command_with(&session, "revert", body).await.expect(403).refused("forbidden");
    }
    // A create is refused before its body is read.
    let viewer = operator.being(Authority::Viewer);
    let long = format!("{{\"metadata\": {:?}", "x".repeat(100_000));
    let refused = viewer.asking(http::Method::POST, "/v1/sessions").header("content-type", "application/json");
    refused.bytes(long).send().await.expect(403).refused("forbidden");
}
