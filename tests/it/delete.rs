//! `DELETE /v1/sessions/{id}`: gone for good.

use http::Method;
use serde_json::json;

use crate::harness::watch::{Transport, Watching};
use crate::harness::{Answer, Authority, Caller, Cluster, Session, blitz, countdown, with};

async fn delete(cluster: &Cluster, instance: usize, session: &Session) -> Answer {
    cluster.caller(instance).asking(Method::DELETE, session.path()).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_is_gone_everywhere_and_stays_so() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let mut tap = cluster.tap(&session).await;
    assert!(delete(&cluster, 0, &session).await.expect(204).bytes.is_empty());
    assert_eq!(tap.next().await[0]["type"], "SESSION_DELETED");
    let caller = cluster.caller(1);
    caller.get(session.path()).await.expect(404).refused("session_not_found");
    for command in ["start", "switch", "reset", "cancel"] {
        caller.command_with(&session, command, json!({})).await.expect(404).refused("session_not_found");
    }
    for path in ["history", "at?time=2026-01-01T00:00:00Z"] {
        caller.get(format!("{}/{path}", session.path())).await.expect(404).refused("session_not_found");
    }
    for path in ["clone", "tokens"] {
        caller.post(format!("{}/{path}", session.path()), json!({})).await.expect(404).refused("session_not_found");
    }
    cluster.clock().advance_ms(600_000);
    caller.get(session.path()).await.expect(404);
    assert_eq!(caller.get("/v1/sessions").await.body["sessions"], json!([]));
    assert!(tap.rest().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_again_is_safe_and_writes_nothing() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    for instance in [0, 1, 0] {
        delete(&cluster, instance, &session).await.expect(204);
    }
    let rows = cluster.sql("select json_array(version, status) from session").await;
    assert_eq!(rows, [json!([2, "deleted"])]);
    delete(&cluster, 0, &Session { id: "nobody".into() }).await.expect(404).refused("session_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_is_repeated_after_the_delete_makes_nothing_again() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let create = async || caller.asking(Method::POST, "/v1/sessions").key("k").json(&blitz()).send().await;
    let id = create().await.expect(201).body["session_id"].as_str().unwrap().to_owned();
    delete(&cluster, 0, &Session { id }).await.expect(204);
    create().await.expect(404).refused("session_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_delete() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    for (authority, status) in [
        (Authority::Anonymous, 401),
        (Authority::Viewer, 403),
        (Authority::Participant("white"), 403),
        (Authority::Foreign, 404),
    ] {
        let caller = cluster.caller(0).being(authority);
        caller.asking(Method::DELETE, session.path()).send().await.expect(status);
    }
    assert_eq!(cluster.caller(0).snapshot(&session).await["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_deleted_sessions_only_on_request() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    delete(&cluster, 0, &session).await.expect(204);
    let listed = async |query: &str| {
        cluster.caller(0).get(format!("/v1/sessions{query}")).await.expect(200).body["sessions"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((listed("").await, listed("?status=deleted").await, listed("?status=pending").await), (0, 1, 0));
}

async fn create_again(caller: &Caller, session: &Session) -> Answer {
    caller.post("/v1/sessions", with(countdown(60_000), json!({"session_id": session.id}))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_id_may_be_created_again_anywhere() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).running(with(blitz(), json!({"metadata": {"secret": "old"}}))).await;
    let before = cluster.caller(0).snapshot(&session).await;
    // Both instances know it from before.
    let mut followers = Vec::new();
    for instance in [0, 1] {
        let mut follower = cluster.watch(instance, &session).over(Transport::WebSocket).await;
        follower.until("STATE_SYNC").await;
        followers.push(follower);
    }
    delete(&cluster, 0, &session).await.expect(204);
    for mut follower in followers {
        assert_eq!(follower.until_closed().await, 4503);
    }
    let again = create_again(&cluster.caller(1), &session).await.expect(201).body;
    assert_eq!(again["version"], before["version"].as_u64().unwrap() + 2);
    assert!(again["epoch"].as_i64() > before["epoch"].as_i64(), "{again}");
    assert_eq!((&again["sync_mode"], &again["metadata"]), (&json!("global"), &json!({})));
    for instance in [0, 1] {
        let caller = cluster.caller(instance);
        assert_eq!(caller.snapshot(&session).await["version"], again["version"]);
        create_again(&caller, &session).await.expect(409).refused("session_exists");
        let mut follower = cluster.watch(instance, &session).over(Transport::WebSocket).await;
        assert_eq!(follower.until("STATE_SYNC").await["payload"]["sync_mode"], "global");
    }
    cluster.caller(0).command(&session, "start").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_operator_sees_the_history_of_the_session_before() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    let session = operator.running(blitz()).await;
    cluster.clock().advance_ms(1_000);
    delete(&cluster, 0, &session).await.expect(204);
    cluster.clock().advance_ms(1_000);
    create_again(&operator, &session).await.expect(201);
    cluster.clock().advance_ms(1_000);
    operator.command(&session, "start").await;
    let commands = async |by: Authority, query: &str| -> Vec<String> {
        let history = operator.being(by).get(format!("{}/history{query}", session.path())).await.expect(200).body;
        assert!(history["changes"].as_array().unwrap().iter().all(|change| change["superseded"] == false), "{history}");
        let changes = history["changes"].as_array().unwrap().iter();
        changes.map(|change| change["change"]["command"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(commands(Authority::Operator, "").await, ["create", "start", "delete", "create", "start"]);
    for query in ["", "?after=0-0", "?after=1767225600000-1"] {
        assert_eq!(commands(Authority::Viewer, query).await, ["create", "start"], "{query}");
    }
    // Nor does an earlier instant or version lead back to it.
    let at = |time: &str| format!("{}/at?time={time}", session.path());
    operator.get(at("2026-01-01T00:00:00.500Z")).await.expect(422).refused("invalid");
    operator.get(at("2026-01-01T00:00:02.500Z")).await.expect(200);
    for version in [1, 2, 3] {
        let body = json!({"to_version": version});
        operator.command_with(&session, "revert", body).await.expect(422).refused("invalid");
    }
    operator.command_with(&session, "revert", json!({"to_version": 4})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_id_is_free_once_only_the_ledger_knows_it() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    delete(&cluster, 0, &session).await.expect(204);
    cluster.clock().advance_ms(3_600_001);
    cluster.let_go_of(&session);
    let again = create_again(&caller, &session).await.expect(201).body;
    assert_eq!(again["version"], 3);
    assert_eq!(caller.snapshot(&session).await["sync_mode"], "global");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_create_a_deleted_id_one_succeeds() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    for round in 1..=5 {
        delete(&cluster, 0, &session).await.expect(204);
        let callers = [cluster.caller(0), cluster.caller(1)];
        let racing = (0..8).map(|number| create_again(&callers[number % 2], &session));
        let statuses: Vec<_> = futures::future::join_all(racing).await.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
        assert_eq!(cluster.caller(1).snapshot(&session).await["version"], 1 + 2 * round);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_many_follows_an_id_that_is_created_again() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let mut many = Watching::many(cluster.caller(0)).over(Transport::WebSocket).await;
    let subscribe = json!({"type": "SUBSCRIBE", "session_id": session.id});
    many.ask(subscribe.clone()).await;
    many.until("STATE_SYNC").await;
    delete(&cluster, 0, &session).await.expect(204);
    many.until("SESSION_DELETED").await;
    create_again(&cluster.caller(0), &session).await.expect(201);
    many.say(subscribe).await;
    assert_eq!(many.until("STATE_SYNC").await["payload"]["sync_mode"], "global");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_delete_spares_the_session_created_since() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let delete = async |instance: usize| {
        cluster.caller(instance).asking(Method::DELETE, session.path()).key("once").send().await.expect(204);
    };
    delete(0).await;
    create_again(&cluster.caller(1), &session).await.expect(201);
    for instance in [0, 1] {
        delete(instance).await;
        assert_eq!(cluster.caller(instance).snapshot(&session).await["version"], 3);
    }
}
