//! Problems wherever they stand: whole, in their own words, and not as long as what caused them.

use http::Method;
use serde_json::{Value, json};
use synckairos::wire::command::{self, COMMANDS, ParseError};
use synckairos::wire::create::CreateBody;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::answer::teaches;
use crate::harness::watch::Transport;
use crate::harness::{Authority, Cluster, blitz, eventually, with};

/// The six that every problem has, wherever it stands.
#[track_caller]
fn is_whole(problem: &Value) {
    for member in ["type", "title", "detail", "code", "request_id"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {problem}");
    }
    assert!(problem["status"].is_u64(), "{problem}");
    assert_ne!(problem["detail"], problem["title"], "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_in_a_batch_are_whole_and_name_its_request() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let commands = json!([
        {"session_id": session.id, "command": "start"},
        {"session_id": session.id, "command": "dance"},
        {"session_id": session.id},
        {"session_id": "nobody", "command": "start"},
        {"session_id": session.id, "command": "adjust", "delta_ms": 1},
        7,
        {"session_id": session.id, "command": "pause", "reason": ["x"]},
    ]);
    let batch = caller.post("/v1/sessions/batch", json!({"commands": commands})).await.expect(200);
    let results = batch.body["results"].as_array().unwrap();
    for result in results {
        is_whole(&result["problem"]);
        assert_eq!(result["problem"]["request_id"], batch.header("x-request-id"));
    }
    for place in [1, 2] {
        teaches(
            &results[place]["problem"],
            "/command",
            &["one of start, switch", "add_participant"],
            "a command's name",
        );
    }
    teaches(&results[4]["problem"], "/delta_ms", &["add_ms, set_ms"], "adjust");
    let viewer = caller.being(Authority::Viewer).post("/v1/sessions/batch", json!({"commands": commands})).await;
    is_whole(&viewer.body["results"][0]["problem"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn error_frames_are_whole_each_with_an_id_of_its_own() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let mut ids = std::collections::HashSet::new();
    let rows: &[(&str, &str, &[&str])] = &[
        (r#"{"type":"COMMAND","id":1,"command":"start"}"#, "already_started", &["possible now"]),
        (r#"{"type":"COMMAND","id":1,"command":"dance"}"#, "invalid", &["one of start, switch"]),
        (r#"{"type":"COMMAND","id":1,"command":"adjust","delta_ms":1}"#, "invalid", &["/delta_ms", "add_ms, set_ms"]),
        (
            r#"{"type":"COMMAND","id":1,"command":"pause","command":"start"}"#,
            "invalid",
            &["/command must stand there once"],
        ),
        (r#"{"type":"DANCE","id":1}"#, "invalid", &["one of PING, RECONNECT, COMMAND, AUTH, SUBSCRIBE, UNSUBSCRIBE"]),
        (r#"{"type":"PING","x":1,"id":1}"#, "invalid", &["allowed are type, id, session_id, timestamp"]),
        (r#"{"type":"PING","timestamp":1,"timestamp":2}"#, "invalid", &["/timestamp", "once"]),
        (r#"["PING"]"#, "invalid", &["must be a JSON object"]),
        ("{", "malformed", &["JSON"]),
        (r#"{"type":"SUBSCRIBE","session_id":"nobody","id":1}"#, "session_not_found", &[]),
    ];
    for (frame, code, words) in rows {
        let mut watcher = cluster.watch(0, &session).over(Transport::WebSocket).await;
        watcher.send(Message::text(*frame)).await;
        let problem = watcher.until("ERROR").await["payload"].take();
        is_whole(&problem);
        assert_eq!(problem["code"], *code, "{frame}: {problem}");
        teaches(&problem, "", words, frame);
        assert!(ids.insert(problem["request_id"].as_str().unwrap().to_owned()), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_can_be_read_in_two_ways_changes_nothing() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let post = async |path: &str, body: &'static str| {
        caller.asking(Method::POST, path).header("content-type", "application/json").bytes(body).send().await
    };
    let of = |rest: &str| format!("{}{rest}", session.path());
    let rows: &[(String, &str, &str)] = &[
        (of("/adjust"), r#"{"participant_id":"white","add_ms":1,"add_ms":2}"#, "/add_ms"),
        (of("/adjust"), r#"{"participant_id":"white","add_ms":1,"add_\u006ds":2}"#, "/add_ms"),
        (of("/pause"), r#"{"reason":"a","reason":"a"}"#, "/reason"),
        ("/v1/sessions".into(), r#"{"sync_mode":"count_up","sync_mode":"global"}"#, "/sync_mode"),
        ("/v1/sessions".into(), r#"{"sync_mode":"count_up","metadata":{"a":1,"a":2}}"#, "/metadata/a"),
        ("/v1/sessions".into(), r#"{"sync_mode":"count_up","participants":[["a"]]}"#, "/participants/0"),
        ("/v1/sessions".into(), r#"{"sync_mode":{"count_up":null}}"#, "/sync_mode"),
        ("/v1/sessions".into(), r#"{"sync_mode":"global","total_time_ms":9,"soft_close":[1,1]}"#, "/soft_close"),
        (
            "/v1/sessions".into(),
            r#"{"sync_mode":"per_participant","total_time_ms":9,"participants":[{"participant_id":"a"}],"time_control":{"delay":["simple",5]}}"#,
            "/time_control/delay",
        ),
        ("/v1/sessions".into(), r#"{"sync_mode":"count_up","action_on_timeout":["expire"]}"#, "/action_on_timeout"),
        (
            "/v1/sessions/batch".into(),
            r#"{"commands":[{"session_id":"a","session_id":"b","command":"start"}]}"#,
            "/commands/0/session_id",
        ),
        ("/v1/time".into(), r#"{"origin_ms":1,"origin_ms":2}"#, "/origin_ms"),
        ("/v1/timesync".into(), r#"{"id":1,"id":2,"method":"timesync"}"#, "/id"),
    ];
    let before = caller.snapshot(&session).await;
    for (path, body, pointer) in rows {
        let refused = post(path, body).await.expect(422).refused("invalid");
        assert_eq!(refused.body["errors"][0]["pointer"], *pointer, "{body}: {}", refused.body);
    }
    assert_eq!(caller.snapshot(&session).await["version"], before["version"]);
    // The list is the ledger's, which hears of the one session a little later.
    let listed = async || caller.get("/v1/sessions").await.expect(200).body["sessions"].as_array().unwrap().len();
    eventually("the session in the list", async || (listed().await > 0).then_some(())).await;
    assert_eq!(listed().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_name_does_not_come_back_at_length() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let long = "x".repeat(60_000);
    for body in [json!({long.as_str(): 1}), json!({"reason": 1, long.as_str(): {}}), json!({"reason": long})] {
        let refused = caller.command_with(&session, "pause", body).await.expect(422);
        let size = serde_json::to_vec(&with(refused.body, json!({"session": null}))).unwrap().len();
        assert!(size < 1_200, "{size} bytes");
    }
    let create = |more: Value| caller.post("/v1/sessions", with(blitz(), more));
    for more in [
        json!({"sync_mode": long}),
        json!({"metadata": 1, long.as_str(): 1}),
        json!({"participants": [{"participant_id": "a", long.as_str(): 1}]}),
    ] {
        assert!(create(more).await.expect(422).bytes.len() < 1_200);
    }
    let query = caller.get(format!("/v1/sessions?{}=1", "x".repeat(30_000))).await.expect(422);
    assert!(query.bytes.len() < 1_200, "{} bytes", query.bytes.len());
    let short = "x".repeat(30_000);
    let twice = format!("{{\"{short}\":1,\"{short}\":2}}");
    let refused =
        caller.asking(Method::POST, format!("{}/pause", session.path())).header("content-type", "application/json");
    let refused = refused.bytes(twice).send().await.expect(422);
    assert!(refused.bytes.len() < 1_200 && refused.body["detail"].as_str().unwrap().contains("once"));
}

/// The fields a refusal says are allowed.
fn allowed_in(detail: &str) -> Vec<String> {
    let (_, list) = detail.split_once("allowed are ").unwrap_or_else(|| panic!("{detail}"));
    list.split(", ").map(str::to_owned).collect()
}

/// What a body of that command is refused with: where, and why.
fn unreadable(name: &str, body: Value) -> Option<(String, String)> {
    let Value::Object(body) = body else { panic!("an object") };
    let refused =
        if name == "create" { command::parsed::<CreateBody>(body).err() } else { command::read(name, body).err() };
    match refused? {
        ParseError::Invalid { pointer, detail } => Some((pointer, detail)),
        ParseError::UnknownCommand => panic!("{name} is a command"),
    }
}

#[test]
fn every_field_of_every_command_says_what_it_takes() {
    let mut seen = 0;
    // A clone makes a session, so it is read elsewhere; `refusals` holds its one field.
    for name in COMMANDS.iter().filter(|name| **name != "clone").chain(&["create"]) {
        let whole = if name.ends_with("participant") { json!({"participant_id": "a"}) } else { json!({}) };
        let (pointer, detail) = unreadable(name, with(whole.clone(), json!({"~unknown": 1}))).unwrap();
        assert_eq!(pointer, "/~0unknown", "{name}: {detail}");
        for field in allowed_in(&detail) {
            let wrong = [json!({"x": 1}), json!([[true]]), json!("\u{0}"), json!(-1.5), json!(true), json!(u64::MAX)];
            let refused = wrong.map(|wrong| unreadable(name, with(whole.clone(), json!({field.as_str(): wrong}))));
            let told: Vec<_> = refused
                .into_iter()
                .flatten()
                .filter(|(pointer, _)| pointer.trim_start_matches('/').starts_with(&field))
                .collect();
            assert!(told.len() >= 3, "{name} {field}: {told:?}");
            for (_, detail) in &told {
                let is_told = ["must be ", "must have ", "is not a field here; allowed are "];
                assert!(is_told.iter().any(|words| detail.starts_with(words)), "{name} {field}: {detail}");
                assert!(detail.len() > "must be a list".len() - 1, "{name} {field}: {detail}");
            }
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen} fields");
}
