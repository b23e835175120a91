//! `DELETE /v1/sessions/{id}`: gone for good.

use http::Method;
use serde_json::json;

use crate::harness::{Answer, Authority, Cluster, Session, blitz};

async fn delete(cluster: &Cluster, instance: usize, session: &Session) -> Answer {
    cluster.caller(instance).asking(Method::DELETE, session.path()).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_is_gone_everywhere_and_stays_so() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let mut heard = cluster.hear(&session).await;
    assert!(delete(&cluster, 0, &session).await.expect(204).bytes.is_empty());
    assert_eq!(heard.next().await[0]["type"], "SESSION_DELETED");
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
    // Its name is not free again, and what was in it is not shown.
    let again = caller.post("/v1/sessions", crate::harness::with(blitz(), json!({"session_id": session.id}))).await;
    assert_eq!(again.expect(409).refused("session_exists").body["session"], serde_json::Value::Null);
    cluster.clock().advance_ms(600_000);
    caller.get(session.path()).await.expect(404);
    assert_eq!(caller.get("/v1/sessions").await.body["sessions"], json!([]));
    assert!(heard.rest().is_empty());
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
async fn a_list_shows_deleted_sessions_only_to_who_asks_for_them() {
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
