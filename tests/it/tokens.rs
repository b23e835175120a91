//! `POST /v1/sessions/{id}/tokens`: a short-lived token for one participant or viewer.

use serde_json::json;

use crate::harness::{Authority, Cluster, blitz};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_for_one_session_and_one_participant_and_ends() {
    let cluster = Cluster::of(2).start().await;
    let caller = cluster.caller(0);
    let (session, other) = (caller.running(blitz()).await, caller.running(blitz()).await);
    let path = format!("{}/tokens", session.path());
    let signed = caller.post(&path, json!({"participant_id": "white", "ttl_ms": 60_000})).await.expect(201).body;
    assert_eq!((&signed["role"], &signed["expires_at"]), (&json!("participant"), &json!("2026-01-01T00:01:00.000Z")));
    let white = cluster.caller(1).being(Authority::Token(signed["token"].as_str().unwrap().to_owned()));
    white.get(other.path()).await.expect(404).refused("session_not_found");
    white.command_with(&session, "pause", json!({})).await.expect(403).refused("forbidden");
    white.command(&session, "switch").await;
    white.command_with(&session, "switch", json!({})).await.expect(403);
    cluster.clock().advance_ms(59_999);
    white.get(session.path()).await.expect(200);
    cluster.clock().advance_ms(1);
    white.get(session.path()).await.expect(401).refused("token_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_participant_it_is_a_viewers() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let path = format!("{}/tokens", session.path());
    let signed = caller.post(&path, json!({"sub": "screen-7"})).await.expect(201).body;
    assert_eq!((&signed["role"], &signed["expires_at"]), (&json!("viewer"), &json!("2026-01-01T01:00:00.000Z")));
    let screen = caller.being(Authority::Token(signed["token"].as_str().unwrap().to_owned()));
    screen.get(session.path()).await.expect(200);
    screen.command_with(&session, "switch", json!({})).await.expect(403);
    screen.post(&path, json!({})).await.expect(403).refused("forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_signed_is_refused() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let path = format!("{}/tokens", session.path());
    for (body, code) in [
        (json!({"participant_id": "nobody"}), "unknown_participant"),
        (json!({"participant_id": 7}), "invalid"),
        (json!({"ttl_ms": 999}), "invalid"),
        (json!({"ttl_ms": 86_400_001}), "invalid"),
        (json!({"ttl_ms": -1}), "invalid"),
        (json!({"sub": ""}), "invalid"),
        (json!({"sub": "s".repeat(257)}), "invalid"),
        (json!({"role": "admin"}), "invalid"),
    ] {
        caller.post(&path, body).await.expect(422).refused(code);
    }
    let open = Cluster::of(1).open().start().await;
    let session = open.caller(0).create(blitz()).await;
    open.caller(0).post(format!("{}/tokens", session.path()), json!({})).await.expect(501).refused("no_signing_key");
}
