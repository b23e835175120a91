//! `POST /v1/sessions/batch`: pause a whole hall.

use serde_json::{Value, json};

use crate::harness::{Authority, Cluster, blitz, countdown, with};

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_boards_are_paused_each_answered_alone() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let ids: Vec<_> = (0..500).map(|board| format!("board-{board}")).collect();
    let boards = ids.iter().map(|id| caller.post("/v1/sessions", with(countdown(60_000), json!({"session_id": id}))));
    futures::future::join_all(boards).await;
    let all = |command: &str| {
        let commands: Vec<_> = ids.iter().map(|id| json!({"session_id": id, "command": command})).collect();
        caller.post("/v1/sessions/batch", json!({"commands": commands}))
    };
    for (command, outcome) in [("start", "started"), ("pause", "paused")] {
        let results = results(all(command).await.expect(200).body);
        assert_eq!(results.len(), 500);
        for (result, id) in results.iter().zip(&ids) {
            assert_eq!((&result["session_id"], &result["status"]), (&json!(id), &json!(200)), "{result}");
            assert_eq!(result["outcome"]["type"], outcome);
        }
    }
    let too_many: Vec<_> = (0..501).map(|_| json!({"session_id": "board-1", "command": "resume"})).collect();
    caller.post("/v1/sessions/batch", json!({"commands": too_many})).await.expect(422).refused("invalid");
    assert_eq!(caller.get("/v1/sessions/board-1").await.body["status"], "paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_item_says_why_and_delays_no_other() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let one = caller.create(blitz()).await;
    let rows = [
        (json!({"session_id": one.id, "command": "start"}), 200, ""),
        (json!({"session_id": one.id, "command": "start"}), 409, "already_started"),
        (json!({"session_id": one.id, "command": "switch", "expected_version": 1}), 409, "stale_version"),
        (json!({"session_id": one.id, "command": "switch", "idempotency_key": "k"}), 200, ""),
        (json!({"session_id": one.id, "command": "switch", "idempotency_key": "k"}), 200, ""),
        (json!({"session_id": one.id, "command": "adjust", "participant_id": "white", "add_ms": 5}), 200, ""),
        (json!({"session_id": one.id, "command": "adjust", "add_ms": "5"}), 422, "invalid"),
        (json!({"session_id": one.id, "command": "dance"}), 422, "invalid"),
        (json!({"session_id": one.id, "command": 7}), 422, "invalid"),
        (json!({"session_id": one.id}), 422, "invalid"),
        (json!({"session_id": "nobody", "command": "start"}), 404, "session_not_found"),
        (json!({"session_id": "a/b", "command": "start"}), 404, "session_not_found"),
        (json!({"command": "start"}), 404, "session_not_found"),
        (json!(7), 422, "invalid"),
        (json!({"session_id": one.id, "command": "switch", "idempotency_key": 7}), 422, "invalid"),
    ];
    let commands: Vec<_> = rows.iter().map(|(command, ..)| command).collect();
    let results = results(caller.post("/v1/sessions/batch", json!({"commands": commands})).await.expect(200).body);
    for ((command, status, code), result) in rows.iter().zip(&results) {
        assert_eq!(
            (&result["status"], result["problem"]["code"].as_str().unwrap_or("")),
            (&json!(status), *code),
            "{command}: {result}"
        );
        assert_eq!(result["session_id"], command["session_id"]);
    }
    assert_eq!(results[3]["answer"]["position"], results[4]["answer"]["position"]);
    assert_eq!(caller.snapshot(&one).await["version"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_gives_nobody_more_rights() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let batch = json!({"commands": [
        {"session_id": session.id, "command": "pause"}, {"session_id": session.id, "command": "switch"},
    ]});
    for (authority, expected) in [
        (Authority::Viewer, [403, 403]),
        (Authority::Foreign, [404, 404]),
        (Authority::Participant("black"), [403, 403]),
        (Authority::Participant("white"), [403, 200]),
    ] {
        let answer =
            cluster.caller(0).being(authority.clone()).post("/v1/sessions/batch", batch.clone()).await.expect(200);
        let statuses: Vec<_> = results(answer.body).iter().map(|result| result["status"].as_u64().unwrap()).collect();
        assert_eq!(statuses, expected, "{authority:?}");
    }
    cluster.caller(0).being(Authority::Anonymous).post("/v1/sessions/batch", batch).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_batch_is_refused() {
    let cluster = Cluster::of(1).start().await;
    for body in [json!({}), json!({"commands": {}}), json!({"commands": null}), json!({"commands": [], "more": 1})] {
        cluster.caller(0).post("/v1/sessions/batch", body).await.expect(422).refused("invalid");
    }
    assert_eq!(
        cluster.caller(0).post("/v1/sessions/batch", json!({"commands": []})).await.expect(200).body,
        json!({"results": []})
    );
}

fn results(mut body: Value) -> Vec<Value> {
    serde_json::from_value(body["results"].take()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_shows_a_session_once_and_only_when_asked() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let of = |count: usize| {
        let participants: Vec<_> = (0..count).map(|seat| json!({"participant_id": format!("p{seat}")})).collect();
        json!({"sync_mode": "per_participant", "total_time_ms": 60_000, "participants": participants})
    };
    let session = caller.running(of(100)).await;
    // Half are refused, and a refusal shows the session too where it stands alone.
    let command = |place: usize| {
        let stale = json!({"session_id": session.id, "command": "switch", "expected_version": 1});
        if place.is_multiple_of(2) {
            stale
        } else {
            json!({"session_id": session.id, "command": "adjust", "add_ms": 1})
        }
    };
    let commands: Vec<_> = (0..500).map(command).collect();
    let plain = caller.post("/v1/sessions/batch", json!({"commands": commands})).await.expect(200);
    assert!(plain.bytes.len() < 400_000, "{} bytes", plain.bytes.len());
    assert_eq!(plain.body["snapshots"], Value::Null);
    let shown = caller.post("/v1/sessions/batch", json!({"commands": commands, "snapshots": true})).await.expect(200);
    assert_eq!(shown.body["snapshots"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown.body["snapshots"][0]["version"], 2 + 250 + 250);
    assert_eq!(shown.body["snapshots_left_out"], json!([]));
    // More than fits is named instead.
    let ids: Vec<_> = (0..6).map(|copy| format!("copy-{copy}")).collect();
    for id in &ids {
        caller.post("/v1/sessions", with(of(800), json!({"session_id": id}))).await.expect(201);
    }
    let starts: Vec<_> = ids.iter().map(|id| json!({"session_id": id, "command": "start"})).collect();
    let shown = caller.post("/v1/sessions/batch", json!({"commands": starts, "snapshots": true})).await.expect(200);
    assert!(shown.bytes.len() < 1_200_000, "{} bytes", shown.bytes.len());
    let left_out = shown.body["snapshots_left_out"].as_array().unwrap().len();
    assert_eq!((shown.body["snapshots"].as_array().unwrap().len() + left_out, left_out > 0), (6, true));
    for bad in [json!(1), json!("yes"), json!([])] {
        let refused = caller.post("/v1/sessions/batch", json!({"commands": [], "snapshots": bad})).await;
        refused.expect(422).refused("invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_batch_is_done_once() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let adjust = json!({"session_id": session.id, "command": "adjust", "participant_id": "white", "add_ms": 1_000});
    let body = json!({"commands": [adjust, adjust, {"session_id": session.id, "command": "switch", "idempotency_key": "own"}]});
    let sent = async |instance: usize, body: &Value| {
        let batch = cluster.caller(instance);
        batch.asking(http::Method::POST, "/v1/sessions/batch").key("hall").json(body).send().await.expect(200).body
    };
    let first = sent(0, &body).await;
    for instance in [1, 0, 1] {
        let again = sent(instance, &body).await;
        for (result, before) in results(again).iter().zip(results(first.clone())) {
            assert_eq!(result["replayed"], true, "{result}");
            assert_eq!((&result["outcome"], &result["position"]), (&before["outcome"], &before["position"]));
        }
    }
    let snapshot = cluster.caller(0).snapshot(&session).await;
    assert_eq!((&snapshot["version"], &snapshot["participants"][0]["total_time_ms"]), (&json!(5), &json!(63_000)));
    // Another command under the same key and place is refused, alone.
    let other = json!({"commands": [{"session_id": session.id, "command": "pause"}]});
    assert_eq!(sent(0, &other).await["results"][0]["problem"]["code"], "idempotency_mismatch");
}

#[tokio::test(flavor = "multi_thread")]
async fn if_match_on_a_batch_is_refused_and_nothing_is_done() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let body = json!({"commands": [{"session_id": session.id, "command": "start"}]});
    for tag in ["W/\"1-1\"", "*", "nonsense"] {
        let batch = caller.asking(http::Method::POST, "/v1/sessions/batch").header("if-match", tag).json(&body);
        batch.send().await.expect(422).refused("invalid");
    }
    assert_eq!(caller.snapshot(&session).await["status"], "pending");
}

/// Every command that is a route of its own is one in a batch and over a socket too.
#[tokio::test(flavor = "multi_thread")]
async fn clone_delete_and_participants_are_commands_everywhere() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let rows = [
        (json!({"command": "add_participant", "participant_id": "red", "total_time_ms": 5}), "participant_added"),
        (
            json!({"command": "change_participant", "participant_id": "red", "metadata": {"a": 1}}),
            "participant_changed",
        ),
        (json!({"command": "remove_participant", "participant_id": "red"}), "participant_removed"),
        (json!({"command": "clone", "new_session_id": "copy"}), "created"),
        (json!({"command": "delete"}), "deleted"),
    ];
    for (command, outcome) in &rows {
        let command = with(json!({"session_id": session.id}), command.clone());
        let results = results(caller.post("/v1/sessions/batch", json!({"commands": [command]})).await.expect(200).body);
        assert_eq!(
            (&results[0]["status"], &results[0]["outcome"]["type"]),
            (&json!(200), &json!(outcome)),
            "{results:?}"
        );
        let made = if *outcome == "created" { json!("copy") } else { Value::Null };
        assert_eq!(results[0]["new_session_id"], made);
    }
    caller.get(session.path()).await.expect(404);
    caller.get("/v1/sessions/copy").await.expect(200);

    let session = caller.create(blitz()).await;
    let mut socket = cluster.watch(0, &session).over(crate::harness::watch::Transport::WebSocket).await;
    for (command, outcome) in rows {
        let command = with(json!({"type": "COMMAND"}), command);
        let command = if outcome == "created" { with(command, json!({"new_session_id": "copy-2"})) } else { command };
        let answer = socket.ask(command).await;
        assert_eq!(
            (&answer["type"], &answer["payload"]["outcome"]["type"]),
            (&json!("ACK"), &json!(outcome)),
            "{answer}"
        );
    }
    assert_eq!(socket.until_closed().await, 4503);
    caller.get("/v1/sessions/copy-2").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_marks_a_replay() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let mut socket = cluster.watch(0, &session).over(crate::harness::watch::Transport::WebSocket).await;
    let start = json!({"type": "COMMAND", "command": "start", "idempotency_key": "k"});
    assert_eq!(socket.ask(start.clone()).await["payload"]["replayed"], Value::Null);
    let again = socket.ask(start).await;
    assert_eq!((&again["payload"]["replayed"], &again["payload"]["version"]), (&json!(true), &json!(2)));
}
