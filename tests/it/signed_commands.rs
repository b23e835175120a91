//! Signed commands: each is done once, as it was signed, and soon after, or not at all.

use http::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::cluster::BEGIN_MS;
use crate::harness::seal::{Signer, nonce, require_signatures, with_secret};
use crate::harness::watch::Transport;
use crate::harness::{Authority, Cluster, Session, blitz, with};

async fn cluster(instances: usize) -> Cluster {
    Cluster::of(instances).with(with_secret).start().await
}

async fn version(signer: &Signer, session: &Session) -> Value {
    signer.caller.snapshot(session).await["version"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_command_is_done_once_over_all_instances() {
    let cluster = cluster(2).await;
    let signer = Signer::of(cluster.caller(0)).await;
    let session = signer.caller.create(blitz()).await;
    let path = format!("{}/start", session.path());
    let signature = signer.signature(BEGIN_MS, &nonce(), "POST", &path, b"{}");
    signer.send(Method::POST, &path, "{}", &signature).await.expect(200);
    for instance in [0, 1, 0] {
        let again = signer.at(&cluster.caller(instance)).send(Method::POST, &path, "{}", &signature).await;
        again.expect(409).refused("replayed");
    }
    assert_eq!(version(&signer, &session).await, 2);
    // The nonce is the caller's, for whatever command it stands.
    let other = format!("{}/switch", session.path());
    let nonce = signature.split("nonce=").nth(1).unwrap().split(',').next().unwrap();
    let reused = signer.signature(BEGIN_MS, nonce, "POST", &other, b"{}");
    signer.send(Method::POST, &other, "{}", &reused).await.expect(409).refused("replayed");
    signer.post(BEGIN_MS, &other, &json!({})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_on_the_way_is_not_done() {
    let cluster = cluster(1).await;
    let signer = Signer::of(cluster.caller(0)).await;
    let session = signer.caller.running(blitz()).await;
    let path = format!("{}/adjust", session.path());
    let body = r#"{"participant_id":"white","add_ms":1}"#;
    let good = signer.signature(BEGIN_MS, &nonce(), "POST", &path, body.as_bytes());
    let altered_hmac = if good.ends_with('A') { good.replace("v1=", "v1=B") } else { format!("{good}A") };
    let cases = [
        (Method::POST, path.clone(), body.replace('1', "2"), good.clone()),
        (Method::POST, path.clone(), format!("{body} "), good.clone()),
        (Method::POST, path.clone(), String::new(), good.clone()),
        (Method::POST, format!("{path}?x=1"), body.to_owned(), good.clone()),
        (Method::POST, format!("/api{path}"), body.to_owned(), good.clone()),
        (Method::POST, path.replace("adjust", "switch"), body.to_owned(), good.clone()),
        (Method::POST, path.clone(), body.to_owned(), good.replace(&BEGIN_MS.to_string(), &(BEGIN_MS + 1).to_string())),
        (Method::POST, path.clone(), body.to_owned(), altered_hmac),
        (Method::POST, path.clone(), body.to_owned(), good.replace("t=", "T=")),
        (Method::POST, path.clone(), body.to_owned(), format!("{good},t=1")),
        (Method::POST, path.clone(), body.to_owned(), "sig1=:MEUCIQ==:".to_owned()),
        (Method::POST, path.clone(), body.to_owned(), String::new()),
        (Method::DELETE, session.path(), String::new(), good.clone()),
    ];
    for (method, path, body, signature) in cases {
        let refused = signer.send(method.clone(), &path, &body, &signature).await;
        refused.expect(401).refused("signature_invalid");
    }
    let twice = signer.caller.asking(Method::POST, &path).bytes(body.to_owned());
    let twice = twice.header("signature", &good).header("signature", &good).send().await;
    twice.expect(401).refused("signature_invalid");
    assert_eq!(version(&signer, &session).await, 2, "none of it was done");
    signer.send(Method::POST, &path, body, &good).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_the_tokens_and_nobody_elses() {
    let cluster = cluster(2).await;
    let operator = Signer::of(cluster.caller(0)).await;
    let session = operator.caller.running(blitz()).await;
    let made = operator.caller.post(format!("{}/tokens", session.path()), json!({"participant_id": "white"})).await;
    let made = made.expect(201).body;
    let white = cluster.caller(1).being(Authority::Token(made["token"].as_str().unwrap().to_owned()));
    let told = white.get("/v1/signing-key").await.expect(200);
    assert_eq!((&told.body["signing_key"], &told.body["required"]), (&made["signing_key"], &json!(false)));
    assert_eq!(told.headers["cache-control"], "no-store");
    white.being(Authority::Anonymous).get("/v1/signing-key").await.expect(401);
    let path = format!("{}/switch", session.path());
    operator.at(&white).post(BEGIN_MS, &path, &json!({})).await.expect(401).refused("signature_invalid");
    let other = Signer::of(cluster.caller(0).being(Authority::Admin)).await;
    other.at(&white).post(BEGIN_MS, &path, &json!({})).await.expect(401).refused("signature_invalid");
    let signer = Signer::with_key(white, made["signing_key"].as_str().unwrap());
    signer.post(BEGIN_MS, &path, &json!({})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instant_counts_for_a_minute_either_way() {
    let cluster = cluster(1).await;
    let signer = Signer::of(cluster.caller(0)).await;
    let session = signer.caller.running(blitz()).await;
    let path = format!("{}/adjust", session.path());
    let body = json!({"participant_id": "white", "add_ms": 1});
    for (skew, status) in [(-60_000, 200), (-60_001, 401), (60_000, 200), (60_001, 401), (i64::MAX - BEGIN_MS, 401)] {
        let answer = signer.post(BEGIN_MS + skew, &path, &body).await.expect(status);
        assert!(status == 200 || answer.body["code"] == "signature_invalid", "{skew}");
        assert!(status == 200 || answer.body["detail"].as_str().unwrap().contains(&BEGIN_MS.to_string()));
    }
    // Signed by a clock that goes ahead, it is in time for two minutes, and done once in them.
    let early = signer.signature(BEGIN_MS + 60_000, &nonce(), "POST", &path, body.to_string().as_bytes());
    signer.send(Method::POST, &path, &body.to_string(), &early).await.expect(200);
    for (advance_ms, code) in [(119_999, 409), (1, 409), (1, 401)] {
        cluster.clock().advance_ms(advance_ms);
        signer.send(Method::POST, &path, &body.to_string(), &early).await.expect(code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_with_its_idempotency_key_takes_a_fresh_signature() {
    let cluster = cluster(2).await;
    let signer = Signer::of(cluster.caller(0)).await;
    let session = signer.caller.create(blitz()).await;
    let path = format!("{}/start", session.path());
    let send = async |instance: usize, signature: &str| {
        let caller = cluster.caller(instance);
        caller.asking(Method::POST, &path).key("k").bytes("{}").header("signature", signature).send().await
    };
    let first = signer.signature(BEGIN_MS, &nonce(), "POST", &path, b"{}");
    send(0, &first).await.expect(200);
    send(1, &first).await.expect(409).refused("replayed");
    let fresh = signer.signature(BEGIN_MS, &nonce(), "POST", &path, b"{}");
    let answer = send(1, &fresh).await.expect(200);
    assert_eq!(
        (&answer.headers["idempotent-replayed"], &answer.body["version"]),
        (&"true".parse().unwrap(), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_commands_that_come_in_another_order_meet_their_version() {
    let cluster = cluster(1).await;
    let signer = Signer::of(cluster.caller(0)).await;
    let session = signer.caller.running(blitz()).await;
    let path = format!("{}/switch", session.path());
    let bodies = [json!({"expected_version": 2}).to_string(), json!({"expected_version": 3}).to_string()];
    let signed = bodies.map(|body| (signer.signature(BEGIN_MS, &nonce(), "POST", &path, body.as_bytes()), body));
    signer.send(Method::POST, &path, &signed[1].1, &signed[1].0).await.expect(409).refused("stale_version");
    signer.send(Method::POST, &path, &signed[0].1, &signed[0].0).await.expect(200);
    signer.send(Method::POST, &path, &signed[1].1, &signed[1].0).await.expect(409).refused("replayed");
}

/// Every route that writes, with a body that it takes.
fn writes(session: &Session) -> Vec<(Method, String, Value)> {
    let table = include_str!("../../src/http/v1/mod.rs");
    let mut found = Vec::new();
    for route in table.split(".route(").skip(1) {
        let path = route.split('"').nth(1).unwrap();
        let route = route.split(".route(").next().unwrap();
        for (handler, method) in
            [("post(", Method::POST), ("patch(", Method::PATCH), ("delete(", Method::DELETE), ("put(", Method::PUT)]
        {
            if route.contains(handler) {
                let path = path
                    .replace("{id}", &session.id)
                    .replace("{command}", "start")
                    .replace("{participant_id}", "white");
                found.push((method, format!("/v1{path}"), json!({})));
            }
        }
    }
    // Anybody may ask for the time, without a token.
    found.retain(|(_, path, _)| !["/v1/time", "/v1/timesync"].contains(&path.as_str()));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn where_they_are_required_no_write_passes_without_or_with_a_wrong_one() {
    let cluster = cluster(1).await;
    let signer = Signer::of(cluster.caller(0).being(Authority::Admin)).await;
    let session = signer.caller.create(blitz()).await;
    require_signatures(&cluster, true);
    let writes = writes(&session);
    assert!(writes.len() >= 9, "{writes:?}");
    for (method, path, body) in writes {
        let asked = || signer.caller.asking(method.clone(), path.clone()).json(&body);
        asked().send().await.expect(401).refused("signature_invalid");
        let wrong = signer.signature(BEGIN_MS, &nonce(), "POST", "/elsewhere", b"{}");
        let refused = asked().header("signature", &wrong).send().await;
        assert_eq!((refused.status, &refused.body["code"]), (401, &json!("signature_invalid")), "{method} {path}");
    }
    let snapshot = signer.caller.snapshot(&session).await;
    assert_eq!((&snapshot["version"], &snapshot["status"]), (&json!(1), &json!("pending")));
    // Reads are not signed, and a signature does them no harm.
    signer.caller.asking(Method::GET, session.path()).header("signature", "nonsense").send().await.expect(200);
    signer.post(BEGIN_MS, &format!("{}/start", session.path()), &json!({})).await.expect(200);
    let delete = signer.signature(BEGIN_MS, &nonce(), "DELETE", &session.path(), b"");
    signer.send(Method::DELETE, &session.path(), "", &delete).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_names_of_a_path_and_other_versions_of_http_are_signed_as_they_are_sent() {
    let cluster = cluster(1).await;
    let signer = Signer::of(cluster.caller(0)).await;
    require_signatures(&cluster, true);
    let body = with(blitz(), json!({"session_id": "s"}));
    signer.post(BEGIN_MS, "/api/v1/sessions", &body).await.expect(201);
    signer.post(BEGIN_MS, "/api/sessions/s/start?_=1", &json!({})).await.expect(200);
    let second = signer.at(&signer.caller.over_http2());
    second.post(BEGIN_MS, "/v1/sessions/s/switch", &json!({})).await.expect(200);
    let batch = json!({"commands": [{"session_id": "s", "command": "switch"}]});
    let done = signer.post(BEGIN_MS, "/v1/sessions/batch", &batch).await.expect(200).body;
    assert_eq!(done["results"][0]["status"], 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frames_command_is_signed_as_well() {
    let cluster = cluster(2).await;
    let signer = Signer::of(cluster.caller(0)).await;
    let session = signer.caller.running(blitz()).await;
    require_signatures(&cluster, true);
    let mut socket = cluster.watch(1, &session).over(Transport::WebSocket).await;
    let switch = json!({"type": "COMMAND", "id": 1, "command": "switch"});
    socket.say(switch.clone()).await;
    assert_eq!(socket.until("ERROR").await["payload"]["code"], "signature_invalid");
    let nonce = nonce();
    let frame = signer.frame(BEGIN_MS, &nonce, &session.id, &switch);
    for (frame, kind, code) in [
        (signer.frame(BEGIN_MS, &nonce, "another", &switch), "ERROR", json!("signature_invalid")),
        (frame.replace("switch", "pause"), "ERROR", json!("signature_invalid")),
        (frame.clone(), "ACK", Value::Null),
        (frame, "ERROR", json!("replayed")),
    ] {
        socket.send(Message::text(frame)).await;
        assert_eq!(socket.until(kind).await["payload"].get("code").cloned().unwrap_or_default(), code);
    }
    // One nonce counts once, whichever way it comes.
    let path = format!("{}/switch", session.path());
    let by_rest = signer.signature(BEGIN_MS, &nonce, "POST", &path, b"{}");
    signer.send(Method::POST, &path, "{}", &by_rest).await.expect(409).refused("replayed");
    assert_eq!(version(&signer, &session).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_a_signature_is_nothing_to_us_unless_it_is_required() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let path = format!("{}/start", session.path());
    caller.asking(Method::POST, &path).header("signature", "sig1=:MEUCIQ==:").send().await.expect(200);
    require_signatures(&cluster, true);
    caller.post(format!("{}/switch", session.path()), json!({})).await.expect(501).refused("no_signing_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_can_tell_whether_a_nonce_was_used_nothing_is_done() {
    let mut cluster = Cluster::of(1).with(with_secret).kept().start().await;
    let signer = Signer::of(cluster.caller(0)).await;
    let session = signer.caller.create(blitz()).await;
    let path = format!("{}/start", session.path());
    cluster.backends_mut().redis_mut().kill();
    let answer = signer.post(BEGIN_MS, &path, &json!({})).await.expect(503);
    assert_eq!(answer.body["code"], "store_unavailable");
    assert!(answer.body["retry_after_ms"].is_u64());
    cluster.backends_mut().redis_mut().start_again();
    crate::harness::eventually("a signed command", async || {
        (signer.post(BEGIN_MS, &path, &json!({})).await.status == 200).then_some(())
    })
    .await;
    let counted = signer.caller.scrape(cluster.instance(0).metrics_address).await;
    assert!(counted.contains("synckairos_signatures_total{outcome=\"unavailable\"}"), "{counted}");
}
