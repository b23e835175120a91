//! What a refusal says: which part is wrong, what is allowed there, and which state would do.

use http::Method;
use serde_json::{Value, json};

use crate::harness::answer::teaches;
use crate::harness::{Caller, Cluster, Session, blitz, countdown, stopwatch, with};

const ID: &str = "1 to 128 characters of A-Z a-z 0-9 _ . : -";
const SPAN: &str = "a whole number of milliseconds from 0 to 3162240000000";
const CONTROLS: &str = "delay, stages, overtime, hourglass, free_cycles";

/// A body, the part that is wrong, and what the refusal must name.
type Row = (Value, &'static str, &'static [&'static str]);

fn control(control: &Value) -> Value {
    json!({"time_control": control})
}

fn person(more: Value) -> Value {
    json!({"participants": [with(json!({"participant_id": "a", "total_time_ms": 1}), more)]})
}

fn misshapen() -> Vec<Row> {
    vec![
        (json!({"colour": 1}), "/colour", &["allowed are session_id, sync_mode, participants", "metadata"]),
        (person(json!({"name": 1})), "/participants/0/name", &["allowed are participant_id, total_time_ms"]),
        (control(&json!({"colour": 1})), "/time_control/colour", &[CONTROLS]),
        (
            control(&json!({"delay": {"type": "simple", "delay_ms": 1, "x": 1}})),
            "/time_control/delay/x",
            &["type, delay_ms"],
        ),
        (
            control(&json!({"delay": {"type": "sudden", "delay_ms": 1}})),
            "/time_control/delay/type",
            &["one of simple, bronstein"],
        ),
        (control(&json!({"delay": {"delay_ms": 1}})), "/time_control/delay", &["the field type, simple or bronstein"]),
        (control(&json!({"delay": {"type": "simple"}})), "/time_control/delay", &["the field delay_ms", SPAN]),
        (
            control(&json!({"overtime": {"type": "byoyomi", "cycles": 1, "period_ms": 1}})),
            "/time_control/overtime",
            &["type, periods and period_ms", "byoyomi"],
        ),
        (
            control(&json!({"overtime": {"type": "canadian", "periods": 1, "period_ms": 1}})),
            "/time_control/overtime",
            &["type, cycles and period_ms", "canadian"],
        ),
        (
            control(&json!({"overtime": {"type": "byoyomi", "periods": -1, "period_ms": 1}})),
            "/time_control/overtime/periods",
            &["from 1 to 1000"],
        ),
        (control(&json!({"stages": [{"cycles": 1}]})), "/time_control/stages/0", &["the field add_ms", SPAN]),
        (
            json!({"sync_mode": "chess"}),
            "/sync_mode",
            &["one of per_participant, per_cycle, per_group, global, count_up"],
        ),
        (json!({"sync_mode": 7}), "/sync_mode", &["one of per_participant"]),
        (json!({"sync_mode": null}), "/sync_mode", &["one of per_participant"]),
        (json!({"concurrency": "both"}), "/concurrency", &["one of exclusive, simultaneous"]),
        (json!({"lag_policy": "generous"}), "/lag_policy", &["one of none, strict, standard, friendly"]),
        (json!({"on_outage": "x"}), "/on_outage", &["one of pause, charge"]),
        (json!({"action_on_timeout": "expire"}), "/action_on_timeout", &["an object with fields of type"]),
        (
            json!({"action_on_timeout": {"type": "explode"}}),
            "/action_on_timeout/type",
            &["one of expire, advance, pause, complete, continue"],
        ),
        (json!({"action_on_timeout": {}}), "/action_on_timeout", &["the field type, expire, advance"]),
        (json!({"soft_close": {"window_ms": 1}}), "/soft_close", &["the field extension_ms", SPAN]),
        (json!({"auto_advance": "yes"}), "/auto_advance", &["true or false"]),
        (json!({"participants": {}}), "/participants", &["a list of at most 1024 objects, each with a participant_id"]),
        (json!({"participants": [{"participant_id": 7}]}), "/participants/0/participant_id", &[ID]),
        (json!({"participants": ["white"]}), "/participants/0", &["an object with fields of participant_id"]),
        (json!({"groups": 1}), "/groups", &["a list", "group_id"]),
        (json!({"increment_ms": "1000"}), "/increment_ms", &[SPAN]),
        (json!({"increment_ms": 1.5}), "/increment_ms", &[SPAN]),
        (json!({"increment_ms": u64::MAX}), "/increment_ms", &[SPAN]),
        (json!({"warnings_ms": [1, "2"]}), "/warnings_ms/1", &["milliseconds from 1 to 3162240000000"]),
        (json!({"warnings_ms": 1}), "/warnings_ms", &["a list of at most 16"]),
        (json!({"metadata": []}), "/metadata", &["an object of at most 8192 bytes"]),
        (json!({"session_id": "a/b"}), "/session_id", &[ID]),
        (json!({"session_id": 7}), "/session_id", &[ID]),
        (person(json!({"participant_id": "a b"})), "/participants/0/participant_id", &[ID]),
        (person(json!({"participant_index": -1})), "/participants/0/participant_index", &["from 0 to 4294967295"]),
    ]
}

fn out_of_bounds() -> Vec<Row> {
    vec![
        (json!({"increment_ms": -1}), "/increment_ms", &["from 0 to 3162240000000"]),
        (json!({"max_time_ms": -5}), "/max_time_ms", &["from 0 to 3162240000000"]),
        (json!({"warnings_ms": [-1]}), "/warnings_ms", &["at most 16", "1 or more"]),
        (
            control(&json!({"overtime": {"type": "byoyomi", "periods": 1001, "period_ms": 1}})),
            "/time_control/overtime",
            &["1 to 1000"],
        ),
        (json!({"metadata": {"x": "y".repeat(8_192)}}), "/metadata", &["at most 8192 bytes"]),
        (
            json!({"participants": [{"participant_id": "a", "total_time_ms": 1}, {"participant_id": "a", "total_time_ms": 1}]}),
            "/participants",
            &["a participant_id that no other has"],
        ),
    ]
}

/// Each part is fine alone: the refusal names the other side, and what would do.
fn contradictory() -> Vec<Row> {
    vec![
        (person(json!({"group_id": "red"})), "/participants/0/group_id", &["sync_mode per_group"]),
        (json!({"participants": []}), "/participants", &["one or more", "per_participant"]),
        (json!({"groups": [{"group_id": "red"}]}), "/groups", &["sync_mode per_group", "leave it out"]),
        (json!({"max_time_ms": 59_999}), "/participants/0/total_time_ms", &["at most max_time_ms"]),
        (
            json!({"participants": [{"participant_id": "a"}]}),
            "/participants/0/total_time_ms",
            &["total_time_ms of the session"],
        ),
        (json!({"time_per_cycle_ms": 1_000}), "/time_per_cycle_ms", &["sync_mode per_cycle", "leave it out"]),
        (json!({"concurrency": "simultaneous"}), "/increment_ms", &["concurrency exclusive"]),
        (json!({"soft_close": {"window_ms": 1, "extension_ms": 1}}), "/soft_close", &["sync_mode global or per_cycle"]),
        (
            json!({"auto_advance": true, "action_on_timeout": {"type": "pause"}}),
            "/auto_advance",
            &["action_on_timeout"],
        ),
        (control(&json!({"hourglass": true})), "/increment_ms", &["no hourglass"]),
        (
            control(
                &json!({"delay": {"type": "simple", "delay_ms": 1}, "overtime": {"type": "canadian", "cycles": 1, "period_ms": 1}}),
            ),
            "/time_control/delay",
            &["overtime", "leave one"],
        ),
        (
            with(countdown(0), json!({"increment_ms": 0, "participants": []})),
            "/total_time_ms",
            &["1 or more", "sync_mode is global"],
        ),
        (
            with(countdown(9), json!({"increment_ms": 0, "participants": [], "auto_advance": true})),
            "/auto_advance",
            &["per_participant, per_cycle and per_group"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_create_says_what_is_allowed_in_each_part() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    for (rows, code) in
        [(misshapen(), "invalid"), (out_of_bounds(), "invalid"), (contradictory(), "invalid_time_control")]
    {
        for (change, pointer, words) in rows {
            let asked = with(blitz(), change.clone());
            let refused = caller.post("/v1/sessions", asked).await.expect(422).refused(code);
            teaches(&refused.body, pointer, words, &change.to_string());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_says_what_its_command_takes() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let rows: Vec<(&str, Value, &str, &[&str])> = vec![
        ("start", json!({"AT": null}), "/AT", &["allowed are at, participant_id, expected_version"]),
        ("start", json!({"at": "soon"}), "/at", &["RFC 3339"]),
        ("start", json!({"at": [7]}), "/at", &["RFC 3339 instant such as", "milliseconds since 1970"]),
        (
            "switch",
            json!({"to": 1}),
            "/to",
            &["current_participant_id, next_participant_id, next_group_id, client_time_ms"],
        ),
        ("switch", json!({"client_time_ms": "now"}), "/client_time_ms", &["milliseconds since 1970"]),
        (
            "switch",
            json!({"next_participant_id": "a", "next_group_id": "b"}),
            "/next_group_id",
            &["next_participant_id", "one"],
        ),
        ("switch", json!({"expected_version": "2"}), "/expected_version", &["a whole number"]),
        ("pause", json!({"cause": 1}), "/cause", &["allowed are reason, participant_id, group_id"]),
        ("pause", json!({"reason": ""}), "/reason", &["1 to 64 bytes"]),
        ("pause", json!({"reason": 7}), "/reason", &["1 to 64 bytes"]),
        ("resume", json!({"cause": 1}), "/cause", &["allowed are reason, participant_id, group_id"]),
        ("complete", json!({"x": 1}), "/x", &["allowed are participant_id, group_id"]),
        ("complete", json!({"participant_id": ""}), "/participant_id", &[ID]),
        ("cancel", json!({"reason": "x"}), "/reason", &["allowed are expected_version"]),
        ("reset", json!({"hard": true}), "/hard", &["allowed are expected_version"]),
        ("extend", json!({"by_ms": 1}), "/by_ms", &["allowed are expected_version"]),
        (
            "adjust",
            json!({"delta_ms": 1}),
            "/delta_ms",
            &["allowed are participant_id, group_id, add_ms, set_ms, expected_version"],
        ),
        ("adjust", json!({}), "/add_ms", &["set_ms", "not both"]),
        ("adjust", json!({"set_ms": -1}), "/set_ms", &["from 0 to 3162240000000"]),
        ("adjust", json!({"add_ms": "1"}), "/add_ms", &["from -3162240000000 to 3162240000000"]),
        ("adjust", json!({"add_ms": i64::MAX}), "/add_ms", &["from -3162240000000 to 3162240000000"]),
        ("adjust", json!({"set_ms": i64::MAX}), "/set_ms", &["0 to 3162240000000"]),
        ("revert", json!({}), "", &["the field to_version, a whole number"]),
        ("revert", json!({"to_version": 99}), "/to_version", &["from its first to the present one"]),
        (
            "participants",
            json!({"participant_id": "x", "name": 1}),
            "/name",
            &["allowed are participant_id, total_time_ms"],
        ),
        ("participants", json!({"participant_id": "x", "total_time_ms": -1}), "/total_time_ms", &["from 0 to"]),
        ("participants", json!({"participant_id": "white"}), "/participant_id", &["choose another"]),
        ("clone", json!({"x": 1}), "/x", &["allowed is session_id"]),
        ("clone", json!({"session_id": "a b"}), "/session_id", &[ID]),
        ("tokens", json!({"role": "admin"}), "/role", &["allowed are participant_id, sub, ttl_ms"]),
        ("tokens", json!({"ttl_ms": 999}), "/ttl_ms", &["from 1000 to 86400000"]),
        ("tokens", json!({"ttl_ms": "1h"}), "/ttl_ms", &["from 1000 to 86400000"]),
        ("tokens", json!({"sub": ""}), "/sub", &["1 to 256 bytes"]),
    ];
    for (command, body, pointer, words) in rows {
        let refused = caller.command_with(&session, command, body.clone()).await.expect(422).refused("invalid");
        teaches(&refused.body, pointer, words, &format!("{command} {body}"));
    }
    let time = caller.post("/v1/time", json!({"origin_ms": "x"})).await.expect(422);
    teaches(&time.body, "/origin_ms", &["a number of milliseconds since 1970"], "time");
    let time = caller.post("/v1/time", json!({})).await.expect(422);
    teaches(&time.body, "", &["the field origin_ms, a number"], "time");
    let dance = caller.command_with(&session, "dance", json!({})).await.expect(404).refused("not_found");
    teaches(
        &dance.body,
        "",
        &["start, switch, pause, resume, complete, cancel, reset, adjust, extend, revert"],
        "dance",
    );
    let method = caller.asking(Method::PUT, session.path()).send().await.expect(405);
    teaches(&method.body, "", &["the header Allow"], "PUT");
    assert_eq!(method.header("allow"), "GET,HEAD,DELETE");
}

/// A session of that kind in each state, by name.
async fn in_state(caller: &Caller, kind: Value, state: &str) -> Session {
    let session = caller.create(kind).await;
    let commands: &[&str] = match state {
        "pending" => &[],
        "running" => &["start"],
        "paused" => &["start", "pause"],
        "completed" => &["start", "complete"],
        _ => &["cancel"],
    };
    for command in commands {
        caller.command(&session, command).await;
    }
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_state_says_the_state_and_what_is_possible() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let rows: &[(&str, &str, &str, &[&str])] = &[
        ("pending", "switch", "not_running", &["the session is pending", "needs it running", "possible now: start"]),
        ("pending", "pause", "not_running", &["is pending", "running or paused", "possible now: start"]),
        ("pending", "complete", "not_running", &["is pending", "running or paused"]),
        ("pending", "resume", "not_paused", &["is pending", "needs it paused", "possible now: start"]),
        ("pending", "extend", "wrong_mode", &["soft_close"]),
        (
            "running",
            "start",
            "already_started",
            &["is running", "while it is pending", "reset", "possible now: switch, pause"],
        ),
        ("running", "resume", "not_paused", &["is running", "needs it paused", "possible now: switch, pause"]),
        ("paused", "switch", "not_running", &["is paused", "needs it running", "possible now: resume"]),
        ("paused", "start", "already_started", &["is paused", "pending"]),
        ("completed", "switch", "session_ended", &["is completed", "clone"]),
        ("completed", "start", "session_ended", &["is completed", "clone"]),
        ("cancelled", "pause", "session_ended", &["is cancelled", "clone"]),
    ];
    for (state, command, code, words) in rows {
        let session = in_state(&caller, blitz(), state).await;
        let refused = caller.command_with(&session, command, json!({})).await.refused(code);
        teaches(&refused.body, "", words, &format!("{command} while {state}"));
    }
    let exam = json!({"sync_mode": "per_participant", "concurrency": "simultaneous", "total_time_ms": 1_000,
        "participants": [{"participant_id": "a"}, {"participant_id": "b"}]});
    let (board, exam) = (in_state(&caller, blitz(), "running").await, in_state(&caller, exam, "running").await);
    let watch = in_state(&caller, stopwatch(), "running").await;
    let paused = in_state(&caller, blitz(), "paused").await;
    let rows: &[(&Session, &str, Value, &str, &[&str])] = &[
        (
            &board,
            "switch",
            json!({"current_participant_id": "black"}),
            "not_active",
            &["white is active, and black is not"],
        ),
        (
            &board,
            "switch",
            json!({"next_participant_id": "x"}),
            "unknown_participant",
            &["/next_participant_id", "there are white, black"],
        ),
        (&board, "switch", json!({"next_group_id": "x"}), "wrong_mode", &["per_group", "per_participant"]),
        (
            &board,
            "pause",
            json!({"participant_id": "white"}),
            "wrong_mode",
            &["concurrency simultaneous", "leave them out"],
        ),
        (
            &board,
            "adjust",
            json!({"participant_id": "x", "add_ms": 1}),
            "unknown_participant",
            &["/participant_id x is no participant", "white, black"],
        ),
        (&board, "adjust", json!({"group_id": "x", "add_ms": 1}), "wrong_mode", &["sync_mode per_group"]),
        (
            &exam,
            "switch",
            json!({}),
            "wrong_mode",
            &["simultaneous", "participant_id", "possible now: pause, complete"],
        ),
        (&exam, "adjust", json!({"add_ms": 1}), "unknown_participant", &["/participant_id or group_id is needed"]),
        (&exam, "pause", json!({"participant_id": "z"}), "unknown_participant", &["z is no participant", "a, b"]),
        (&exam, "resume", json!({"participant_id": "a"}), "not_paused", &["the clock of a is not paused"]),
        (&watch, "adjust", json!({"participant_id": "a", "add_ms": 1}), "unknown_participant", &["which has none"]),
        (&paused, "resume", json!({"reason": "tea"}), "not_paused", &["not paused for tea but for requested"]),
        (
            &board,
            "participants",
            json!({"participant_id": "x", "group_id": "g", "total_time_ms": 1}),
            "unknown_group",
            &["/group_id g is no group", "none"],
        ),
        (
            &exam,
            "participants",
            json!({"participant_id": "x", "time_control": {"free_cycles": 1}}),
            "invalid_time_control",
            &["/time_control/free_cycles", "concurrency exclusive"],
        ),
        (&board, "tokens", json!({"participant_id": "x"}), "unknown_participant", &["/participant_id", "white, black"]),
        (&board, "switch", json!({"expected_version": 9}), "stale_version", &["is at version 2"]),
    ];
    for (session, command, body, code, words) in rows {
        let refused = caller.command_with(session, command, body.clone()).await.refused(code);
        teaches(&refused.body, "", words, &format!("{command} {body}"));
    }
    let path = format!("{}/participants/white", board.path());
    let change = json!({"total_time_ms": 5});
    let refused = caller.asking(Method::PATCH, path).json(&change).send().await.refused("already_started");
    teaches(&refused.body, "", &["total_time_ms, group_id and time_control change only", "pending"], "change");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_query_or_header_says_what_is_allowed() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let of = |rest: &str| format!("{}{rest}", session.path());
    let rows: Vec<(String, &str, &[&str])> = vec![
        ("/v1/sessions?colour=blue".into(), "/colour", &["allowed are limit, cursor, status, sync_mode"]),
        ("/v1/sessions?limit=0".into(), "/limit", &["from 1 to 1000"]),
        ("/v1/sessions?limit=1&limit=2".into(), "/limit", &["once"]),
        ("/v1/sessions?status=gone".into(), "/status", &["one of pending, running, paused"]),
        ("/v1/sessions?sync_mode=chess".into(), "/sync_mode", &["one of per_participant"]),
        ("/v1/sessions?updated_after=now".into(), "/updated_after", &["RFC 3339"]),
        ("/v1/sessions?cursor=a/b".into(), "/cursor", &["next_cursor"]),
        (of("/history?after=x"), "/after", &["<epoch>-<version>"]),
        (of("/at"), "/time", &["RFC 3339"]),
        (of("/at?time=2999-01-01T00:00:00Z"), "/time", &["not be later than now"]),
        (of("/at?time=2000-01-01T00:00:00Z"), "/time", &["created_at"]),
        (of("/poll?timeout_ms=1"), "/timeout_ms", &["from 1000 to 60000"]),
        (of("/events?heartbeat_ms=1"), "/heartbeat_ms", &["from 2000 to 60000"]),
        (of("/events?warnings=2"), "/warnings", &["0 or 1"]),
        ("/v1/events?sessions=a%20b".into(), "/sessions", &["1 to 1000 session ids"]),
    ];
    for (path, pointer, words) in rows {
        let refused = caller.get(&path).await.expect(422).refused("invalid");
        teaches(&refused.body, pointer, words, &path);
    }
    let start = caller.asking(Method::POST, of("/start")).header("if-match", "7").send().await.expect(422);
    teaches(&start.body, "", &["If-Match must be", "W/"], "If-Match");
    let key = caller.asking(Method::POST, of("/start")).key("").send().await.expect(422);
    teaches(&key.body, "", &["1 to 256 bytes"], "Idempotency-Key");
    let kind = caller.asking(Method::POST, of("/start")).header("content-type", "text/plain").bytes("{}").send().await;
    teaches(&kind.expect(415).body, "", &["Content-Type: application/json"], "Content-Type");
    let long = caller.asking(Method::POST, of("/start")).json(&json!({"x": "y".repeat(70_000)})).send().await;
    teaches(&long.expect(413).body, "", &["at most 65536 bytes"], "a long body");
    let torn =
        caller.asking(Method::POST, of("/start")).header("content-type", "application/json").bytes("{\"a\":}").send();
    teaches(&torn.await.expect(400).body, "", &["line 1, byte 6"], "a torn body");
}
