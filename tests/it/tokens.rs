//! `POST /v1/sessions/{id}/tokens`: a short-lived token for one participant or viewer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Authority, Caller, Cluster, Session, blitz, with};

/// What a token says.
fn claims_of(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

async fn token_for(caller: &Caller, session: &Session, body: Value) -> Value {
    caller.post(format!("{}/tokens", session.path()), body).await.expect(201).body
}

fn with_token(caller: &Caller, made: &Value) -> Caller {
    caller.being(Authority::Token(made["token"].as_str().unwrap().to_owned()))
}

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
async fn an_unsignable_token_is_refused() {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_made_token_never_outlives_its_maker() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    // 2026-01-01T00:00:04Z.
    let exp = 1_767_225_604;
    let maker = caller.claiming(&json!({"sub": "short", "tenant": "acme", "role": "operator", "exp": exp}));
    for (ttl_ms, end) in [(86_400_000, exp), (4_000, exp), (2_000, exp - 2)] {
        let made = token_for(&maker, &session, json!({"ttl_ms": ttl_ms, "participant_id": "white"})).await;
        assert_eq!(claims_of(&made["token"])["exp"], end, "{ttl_ms}");
    }
    let made = token_for(&maker, &session, json!({"ttl_ms": 86_400_000})).await;
    cluster.clock().advance_ms(4_000);
    with_token(&caller, &made).get(session.path()).await.expect(401).refused("token_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_token_says_who_made_it_and_is_nobody_else() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    // The operator's own switch, under a key.
    let switch = format!("{}/switch", session.path());
    caller.asking(Method::POST, &switch).key("k").send().await.expect(200);
    let made = token_for(&caller, &session, json!({"participant_id": "black", "sub": "a-operator"})).await;
    let claims = claims_of(&made["token"]);
    assert_eq!((&claims["made_by"], &claims["sub"]), (&json!("a-operator"), &json!("a-operator")));
    assert!(claims["jti"].as_str().is_some_and(|id| id.len() == 36), "{claims}");
    // Its keys are not the operator's, though it names the same subject.
    let black = with_token(&caller, &made);
    let switched = black.asking(Method::POST, &switch).key("k").send().await.expect(200);
    assert_eq!((switched.header("idempotent-replayed"), switched.version()), ("", 4));
    let history = caller.get(format!("{}/history", session.path())).await.body;
    let by = &history["changes"][3]["change"]["by"];
    assert_eq!((&by["sub"], &by["made_by"]), (&json!("a-operator"), &json!("a-operator")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_for_a_seat_and_not_for_the_next_holder() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let body = with(
        blitz(),
        json!({"participants": [
            {"participant_id": "white", "total_time_ms": 600_000}, {"participant_id": "black", "total_time_ms": 600_000},
            {"participant_id": "red", "total_time_ms": 600_000},
        ]}),
    );
    let session = caller.running(body).await;
    let participants = format!("{}/participants", session.path());
    let first = token_for(&caller, &session, json!({"participant_id": "white"})).await;
    // Signed elsewhere, a minute before the seat changes hands and a minute after.
    let elsewhere = |iat: i64| {
        let claims = json!({
            "sub": "w", "tenant": "acme", "role": "participant", "participant_id": "white",
            "exp": 4_000_000_000_i64, "iat": iat,
        });
        caller.claiming(&claims)
    };
    cluster.clock().advance_ms(60_000);
    caller.asking(Method::DELETE, format!("{participants}/white")).send().await.expect(200);
    with_token(&caller, &first).command_with(&session, "switch", json!({})).await.expect(403);
    let white = json!({"participant_id": "white", "participant_index": 0, "total_time_ms": 600_000});
    caller.post(&participants, white).await.expect(201);
    caller.command_with(&session, "switch", json!({"next_participant_id": "white"})).await.expect(200);
    let second = token_for(&caller, &session, json!({"participant_id": "white"})).await;
    for (by, status) in
        [(with_token(&caller, &first), 403), (elsewhere(1_767_225_600), 403), (with_token(&caller, &second), 200)]
    {
        assert_eq!(by.command_with(&session, "switch", json!({})).await.status, status);
    }
    caller.command_with(&session, "switch", json!({"next_participant_id": "white"})).await.expect(200);
    elsewhere(1_767_225_660).command(&session, "switch").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_same_token_on_any_instance() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let path = format!("{}/tokens", session.path());
    let asked = async |instance: usize, key: &str, body: Value| {
        cluster.caller(instance).asking(Method::POST, &path).key(key).json(&body).send().await
    };
    let first = asked(0, "k", json!({"participant_id": "white"})).await.expect(201);
    assert_eq!(first.header("idempotent-replayed"), "");
    cluster.clock().advance_ms(5_000);
    let repeat = asked(1, "k", json!({"participant_id": "white"})).await.expect(201);
    assert_eq!((&repeat.body, repeat.header("idempotent-replayed")), (&first.body, "true"));
    asked(1, "k", json!({"participant_id": "black"})).await.expect(422).refused("idempotency_mismatch");
    let other = asked(0, "l", json!({"participant_id": "white"})).await.expect(201);
    assert_ne!(other.body["token"], first.body["token"]);
    // A key that a command used is another request's.
    let start = format!("{}/start", session.path());
    cluster.caller(0).asking(Method::POST, &start).key("s").send().await.expect(200);
    asked(0, "s", json!({})).await.expect(422).refused("idempotency_mismatch");
}
