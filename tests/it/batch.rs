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
            assert_eq!(result["answer"]["outcome"]["type"], outcome);
        }
    }
    let too_many: Vec<_> = (0..501).map(|_| json!({"session_id": "board-1", "command": "resume"})).collect();
    caller.post("/v1/sessions/batch", json!({"commands": too_many})).await.expect(422).refused("invalid");
    assert_eq!(caller.get("/v1/sessions/board-1").await.body["status"], "paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_says_why_and_holds_up_nobody() {
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
async fn what_is_no_batch_is_refused() {
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
