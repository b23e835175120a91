//! `POST /v1/sessions`: every field, names, repeats.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::harness::answer::participant;
use crate::harness::{Authority, Cluster, blitz, countdown, stopwatch, with};

#[tokio::test(flavor = "multi_thread")]
async fn an_omitted_field_has_its_default() {
    let cluster = Cluster::of(1).start().await;
    let answer = cluster.caller(0).post("/v1/sessions", blitz()).await.expect(201);
    let expected = json!({
        "epoch": cluster.now_ms(), "version": 1, "sync_mode": "per_participant", "status": "pending",
        "active_participant_id": null, "active_group_id": null, "cycle_started_at": null, "deadline_at": null,
        "expires_by": null, "starts_at": null, "concurrency": "exclusive", "time_per_cycle_ms": null,
        "increment_ms": 1000, "max_time_ms": null, "time_control": {}, "lag_policy": "none", "on_outage": "pause",
        "auto_advance": false, "action_on_timeout": {"type": "expire"}, "pause_reasons": [], "warnings_ms": [],
        "total_time_ms": null, "time_used_ms": 0, "groups": [], "edges": [], "metadata": {}, "recovered": false,
        "recovered_at": null, "recovered_from": null, "created_at": "2026-01-01T00:00:00.000Z", "started_at": null,
        "updated_at": "2026-01-01T00:00:00.000Z", "as_of": "2026-01-01T00:00:00.000Z",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(answer.body[field], *value, "{field}");
    }
    let white = json!({
        "participant_id": "white", "participant_index": 0, "group_id": null, "total_time_ms": 60000, "time_used_ms": 0,
        "cycle_count": 0, "is_active": false, "has_expired": false, "phase": {"type": "main"}, "delay_left_ms": 0,
        "lag_quota_ms": 0, "metadata": {}, "overrun_ms": 0,
    });
    assert_eq!(*participant(&answer.body, "white"), white);
    assert_eq!(answer.body["outcome"]["type"], "created");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_is_kept() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let rows = [
        with(
            blitz(),
            json!({
                "session_id": "chess.1", "max_time_ms": 90_000, "lag_policy": "standard", "on_outage": "charge",
                "auto_advance": true, "action_on_timeout": {"type": "advance"}, "warnings_ms": [10_000, 5_000],
                "time_control": {"stages": [{"cycles": 40, "add_ms": 3_600_000, "increment_ms": 0}], "free_cycles": 1},
                "metadata": {"hall": "A", "board": 7}, "concurrency": "exclusive",
            }),
        ),
        with(
            countdown(300_000),
            json!({"session_id": "auction", "soft_close": {"window_ms": 60_000, "extension_ms": 30_000, "max_total_ms": 900_000}}),
        ),
        with(
            stopwatch(),
            json!({"session_id": "laps", "max_time_ms": 1_000, "action_on_timeout": {"type": "complete"}}),
        ),
        json!({
            "session_id": "poker", "sync_mode": "per_cycle", "time_per_cycle_ms": 30_000,
            "participants": [{"participant_id": "a", "total_time_ms": 60_000, "metadata": {"seat": 1}}, {"participant_id": "b"}],
        }),
        json!({
            "session_id": "go", "sync_mode": "per_participant", "total_time_ms": 0,
            "time_control": {"overtime": {"type": "byoyomi", "periods": 5, "period_ms": 30_000}},
            "participants": [{"participant_id": "black"}, {"participant_id": "white", "participant_index": 0}],
        }),
        json!({
            "session_id": "exam", "sync_mode": "per_participant", "concurrency": "simultaneous", "total_time_ms": 60_000,
            "participants": [{"participant_id": "a"}, {"participant_id": "b", "total_time_ms": 90_000}],
        }),
        json!({
            "session_id": "teams", "sync_mode": "per_group", "total_time_ms": 60_000,
            "groups": [{"group_id": "red", "total_time_ms": 5_000}, {"group_id": "blue"}],
            "participants": [{"participant_id": "a", "group_id": "red"}, {"participant_id": "b", "group_id": "blue"}],
            "time_control": {"delay": {"type": "bronstein", "delay_ms": 5_000}},
        }),
    ];
    for asked in rows {
        let made = caller.post("/v1/sessions", asked.clone()).await.expect(201).body;
        let read = caller.get(format!("/v1/sessions/{}", asked["session_id"].as_str().unwrap())).await.expect(200).body;
        for snapshot in [&made, &read] {
            for (field, value) in asked.as_object().unwrap().iter().filter(|(field, _)| !is_of_the_roster(field)) {
                assert_eq!(snapshot[field], *value, "{field} of {snapshot}");
            }
        }
    }
    let go = caller.get("/v1/sessions/go").await.body;
    assert_eq!(go["participants"][0]["participant_id"], "white");
    assert_eq!(participant(&go, "black")["phase"], json!({"type": "byoyomi", "period": 1, "periods": 5}));
    let teams = caller.get("/v1/sessions/teams").await.body;
    let banks: Vec<_> =
        teams["groups"].as_array().unwrap().iter().map(|group| group["total_time_ms"].clone()).collect();
    assert_eq!(banks, [json!(5_000), json!(60_000)]);
    assert_eq!(participant(&teams, "a")["group_id"], "red");
    assert_eq!(participant(&caller.get("/v1/sessions/poker").await.body, "a")["metadata"], json!({"seat": 1}));
}

/// Those have a shape of their own in a snapshot, and `total_time_ms` may be a default.
fn is_of_the_roster(field: &str) -> bool {
    ["participants", "groups", "total_time_ms"].contains(&field)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_says_where_the_session_is_and_at_which_position() {
    let cluster = Cluster::of(1).start().await;
    let answer = cluster.caller(0).post("/v1/sessions", with(countdown(1_000), json!({"session_id": "s-1"}))).await;
    assert_eq!(answer.header("location"), "/v1/sessions/s-1");
    assert_eq!(answer.header("etag"), format!("W/\"{}-1\"", cluster.now_ms()));
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(!answer.header("x-request-id").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_given_derived_from_the_key_or_made() {
    let cluster = Cluster::of(2).start().await;
    let id_of = async |instance: usize, key: Option<&str>, authority: Authority| {
        let caller = cluster.caller(instance).being(authority);
        let asking = caller.asking(Method::POST, "/v1/sessions").json(&countdown(1_000));
        let asking = match key {
            Some(key) => asking.key(key),
            None => asking,
        };
        let answer = asking.send().await.expect(201);
        (answer.body["session_id"].as_str().unwrap().to_owned(), answer.header("idempotent-replayed") == "true")
    };
    let (made, _) = id_of(0, None, Authority::Operator).await;
    assert_eq!(made.parse::<uuid::Uuid>().unwrap().get_version_num(), 7);
    assert_ne!(id_of(0, None, Authority::Operator).await.0, made);
    let first = id_of(0, Some("k1"), Authority::Operator).await;
    assert!(!first.1);
    assert_eq!(id_of(1, Some("k1"), Authority::Operator).await, (first.0.clone(), true));
    // The key is the caller's own.
    for (key, authority) in [("k2", Authority::Operator), ("k1", Authority::Admin), ("k1", Authority::Foreign)] {
        let (other, is_replayed) = id_of(0, Some(key), authority.clone()).await;
        assert!(other != first.0 && !is_replayed, "{key} {authority:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_name_is_refused_with_what_is_there() {
    let cluster = Cluster::of(2).start().await;
    let body = with(countdown(1_000), json!({"session_id": "taken"}));
    cluster.caller(0).post("/v1/sessions", body.clone()).await.expect(201);
    let refused = cluster.caller(1).post("/v1/sessions", body.clone()).await.expect(409).refused("session_exists");
    assert_eq!(refused.body["session"]["session_id"], "taken");
    // Another tenant's names are its own.
    cluster.caller(0).being(Authority::Foreign).post("/v1/sessions", body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_with_the_key_gets_the_first_answer_with_the_present_snapshot() {
    let cluster = Cluster::of(2).start().await;
    let body = with(countdown(60_000), json!({"session_id": "s"}));
    let create = async |instance: usize, body: &Value| {
        let caller = cluster.caller(instance);
        caller.asking(Method::POST, "/v1/sessions").json(body).key("once").send().await
    };
    let first = create(0, &body).await.expect(201);
    cluster.caller(0).post("/v1/sessions/s/start", json!({})).await.expect(200);
    let again = create(1, &body).await.expect(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!((&again.body["outcome"], &again.body["position"]), (&first.body["outcome"], &first.body["position"]));
    assert_eq!((again.version(), &again.body["status"]), (2, &json!("running")));
    create(0, &with(body, json!({"total_time_ms": 1}))).await.expect(422).refused("idempotency_mismatch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_without_an_id_is_given_one() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let body = json!({
        "sync_mode": "per_participant", "total_time_ms": 60_000,
        "participants": [{}, {"participant_id": "white"}, {"participant_id": null}],
    });
    let session = caller.create(body).await;
    let added = caller.post(format!("{}/participants", session.path()), json!({})).await.expect(201).body;
    let ids: Vec<_> = added["participants"].as_array().unwrap().iter().map(|each| &each["participant_id"]).collect();
    assert_eq!((ids.len(), ids[1]), (4, &json!("white")));
    let made: BTreeSet<_> = ids.iter().filter(|id| **id != "white").map(|id| id.as_str().unwrap()).collect();
    assert!(made.len() == 3 && made.iter().all(|id| id.len() == 36), "{made:?}");
    // The repeat of such a request is known by what it said.
    let path = format!("{}/participants", session.path());
    let add = async || caller.asking(Method::POST, &path).key("k").json(&json!({})).send().await.expect(201);
    let (first, repeat) = (add().await, add().await);
    assert_eq!((first.version(), repeat.version(), repeat.header("idempotent-replayed")), (3, 3, "true"));
}
