//! WebSockets through the whole service: what watchers see, say, and are refused.

use futures::future::join_all;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::answer::participant;
use crate::harness::cluster::{BEGIN_MS, TENANT};
use crate::harness::token::{claims, signed};
use crate::harness::watch::{Transport, Watcher, Watching};
use crate::harness::{Authority, Cluster, Session, blitz, countdown, stopwatch, with};

async fn watch(cluster: &Cluster, instance: usize, session: &Session) -> Watcher {
    cluster.watch(instance, session).over(Transport::WebSocket).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_reaches_a_watcher_on_another_instance() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let mut watcher = watch(&cluster, 1, &session).await;
    let first = watcher.next().await;
    assert_eq!((&first["type"], &first["payload"]["version"]), (&json!("STATE_SYNC"), &json!(1)));
    assert_eq!(first["position"], format!("{BEGIN_MS}-1"));

    cluster.caller(0).command(&session, "start").await;
    cluster.clock().advance_ms(10_000);
    cluster.caller(0).command(&session, "switch").await;

    let started = watcher.next().await;
    assert_eq!((&started["type"], &started["event"]["command"]), (&json!("STATE_UPDATE"), &json!("start")));
    let seen = watcher.next().await;
    assert_eq!((&seen["payload"]["version"], &seen["event"]["outcome"]["charged_ms"]), (&json!(3), &json!(10_000)));
    assert_eq!(participant(&seen["payload"], "white")["total_time_ms"], 51_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_watchers_on_every_instance_all_end_on_the_last_version() {
    let cluster = Cluster::of(3).start().await;
    let session = cluster.caller(0).running(stopwatch()).await;
    let mut watchers = Vec::new();
    for each in 0..60 {
        watchers.push(watch(&cluster, each % 3, &session).await);
    }
    let callers: Vec<_> = (0..30).map(|each| cluster.caller(each % 3)).collect();
    join_all(callers.iter().map(|caller| caller.command(&session, "switch"))).await;
    for watcher in &mut watchers {
        let mut versions = Vec::new();
        while versions.last() != Some(&32) {
            versions.push(watcher.next().await["payload"]["version"].as_u64().unwrap());
        }
        assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_has_its_exact_instant_and_follows_its_state() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).running(with(countdown(60_000), json!({"warnings_ms": [10_000]}))).await;
    let mut watcher = watch(&cluster, 1, &session).await;
    watcher.until_version(2).await;
    // A warning is planned a little after the state is told, and one that is past is not told.
    watcher.until("HEARTBEAT").await;
    cluster.clock().advance_ms(50_000);
    let warned = watcher.until("TIME_WARNING").await;
    assert_eq!((&warned["payload"]["remaining_ms"], warned.get("position")), (&json!(10_000), None));
    cluster.clock().advance_ms(10_000);
    let state = watcher.next().await;
    assert_eq!((&state["type"], &state["payload"]["status"]), (&json!("STATE_UPDATE"), &json!("expired")));
    let expired = watcher.next().await;
    assert_eq!((&expired["type"], &expired["position"]), (&json!("TIME_EXPIRED"), &state["position"]));
    assert_eq!(expired["payload"]["expired_at"], "2026-01-01T00:01:00.000Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_over_the_socket_have_the_same_rules_and_rights() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let mut operator = watch(&cluster, 0, &session).await;
    operator.next().await;
    let command = |name: &str, more: Value| with(json!({"type": "COMMAND", "command": name}), more);
    let started = operator.ask(command("start", json!({}))).await;
    assert_eq!((&started["type"], &started["payload"]["outcome"]["type"]), (&json!("ACK"), &json!("started")));
    for (frame, code) in [
        (command("start", json!({})), "already_started"),
        (command("switch", json!({"expected_version": 1})), "stale_version"),
        (command("switch", json!({"current_participant_id": "black"})), "not_active"),
        (command("dance", json!({})), "invalid"),
        (command("pause", json!({"reason": 7})), "invalid"),
    ] {
        let answer = operator.ask(frame.clone()).await;
        assert_eq!((&answer["type"], &answer["payload"]["code"]), (&json!("ERROR"), &json!(code)), "{frame}");
    }
    let keyed = command("switch", json!({"idempotency_key": "k"}));
    let (one, two) = (operator.ask(keyed.clone()).await, operator.ask(keyed).await);
    assert_eq!(one["payload"]["position"], two["payload"]["position"]);
    assert_eq!(cluster.caller(0).snapshot(&session).await["version"], 3);

    for (authority, name, code) in [
        (Authority::Viewer, "switch", Some("forbidden")),
        (Authority::Participant("white"), "switch", Some("forbidden")),
        (Authority::Participant("black"), "pause", Some("forbidden")),
        (Authority::Participant("black"), "switch", None),
    ] {
        let caller = cluster.caller(1).being(authority.clone());
        let mut watcher = Watching::of(caller, &session).over(Transport::WebSocket).await;
        let answer = watcher.ask(command(name, json!({}))).await;
        assert_eq!(answer["payload"]["code"].as_str(), code, "{authority:?} {name}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnected_client_gets_the_versions_it_missed() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).running(stopwatch()).await;
    let mut watcher = watch(&cluster, 1, &session).await;
    watcher.until_version(2).await;
    for _ in 0..3 {
        cluster.caller(0).command(&session, "switch").await;
    }
    watcher.until_version(5).await;
    drop(watcher);
    let from = format!("last={BEGIN_MS}-3");
    let mut back = cluster.watch(1, &session).asking(&from).over(Transport::WebSocket).await;
    assert_eq!(back.next().await["payload"], json!({"resumed": true}));
    for version in [4, 5] {
        let frame = back.next().await;
        assert_eq!((&frame["type"], &frame["payload"]["version"]), (&json!("STATE_UPDATE"), &json!(version)));
    }
    let again = back.ask(json!({"type": "RECONNECT", "last_known_epoch": BEGIN_MS, "last_known_version": 4})).await;
    assert_eq!(again["payload"], json!({"resumed": true}));
    assert_eq!(back.next().await["payload"]["version"], 5);
    let lost = back.ask(json!({"type": "RECONNECT", "last_known_version": 4})).await;
    assert_eq!(lost["payload"], json!({"resumed": false}));
    assert_eq!(back.next().await["type"], "STATE_SYNC");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_on_one_stream() {
    let cluster = Cluster::of(2).start().await;
    let (a, b) = (cluster.caller(0).create(blitz()).await, cluster.caller(0).create(blitz()).await);
    let mut watcher = Watching::many(cluster.caller(1)).over(Transport::WebSocket).await;
    for session in [&a, &b] {
        watcher.say(json!({"type": "SUBSCRIBE", "session_id": session.id})).await;
        let first = watcher.until("STATE_SYNC").await;
        assert_eq!(first["session_id"], session.id);
    }
    cluster.caller(0).command(&b, "start").await;
    let update = watcher.until("STATE_UPDATE").await;
    assert_eq!((&update["session_id"], &update["payload"]["version"]), (&json!(b.id), &json!(2)));
    let unsubscribed = watcher.ask(json!({"type": "UNSUBSCRIBE", "session_id": b.id})).await;
    assert_eq!(unsubscribed["type"], "ACK");
    cluster.caller(0).command(&b, "switch").await;
    cluster.caller(0).command(&a, "start").await;
    assert_eq!(watcher.until("STATE_UPDATE").await["session_id"], a.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_watcher_gets_a_close_code() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let expired = signed(&with(claims(TENANT, "viewer"), json!({"exp": BEGIN_MS / 1_000})));
    let elsewhere = signed(&with(claims(TENANT, "viewer"), json!({"sessions": ["another"]})));
    for (authority, code) in [
        (Authority::Anonymous, 4500),
        (Authority::Token("nonsense".into()), 4500),
        (Authority::Token(expired), 4500),
        (Authority::Foreign, 4502),
        (Authority::Token(elsewhere), 4502),
    ] {
        let watching = Watching::of(cluster.caller(0).being(authority.clone()), &session);
        assert_eq!(watching.over(Transport::WebSocket).await.until_closed().await, code, "{authority:?}");
    }
    let nobody = Session { id: "nobody".into() };
    assert_eq!(watch(&cluster, 0, &nobody).await.until_closed().await, 4502);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token_unless_that_is_renewed() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let exp = |seconds: i64| with(claims(TENANT, "viewer"), json!({"exp": BEGIN_MS / 1_000 + seconds}));
    let open = async || {
        let caller = cluster.caller(0).claiming(&exp(10));
        let mut watcher = Watching::of(caller, &session).over(Transport::WebSocket).await;
        watcher.until_version(1).await;
        watcher
    };
    let (mut ends, mut renewed, mut other) = (open().await, open().await, open().await);
    let longer = renewed.ask(json!({"type": "AUTH", "token": signed(&exp(3_600))})).await;
    assert_eq!(longer["type"], "ACK");
    let somebody_else = signed(&with(exp(3_600), json!({"sub": "somebody-else"})));
    other.say(json!({"type": "AUTH", "token": somebody_else})).await;
    assert_eq!(other.until_closed().await, 4500);
    cluster.clock().advance_ms(10_000);
    assert_eq!(ends.until_closed().await, 4500);
    cluster.caller(0).command(&session, "start").await;
    assert_eq!(renewed.until_version(2).await["event"]["command"], "start");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_ends_its_streams() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let mut watcher = watch(&cluster, 1, &session).await;
    watcher.until_version(1).await;
    cluster.caller(0).asking(http::Method::DELETE, session.path()).send().await.expect(204);
    assert_eq!(watcher.next().await["type"], "SESSION_DELETED");
    assert_eq!(watcher.until_closed().await, 4503);
    assert_eq!(watch(&cluster, 0, &session).await.until_closed().await, 4503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_instance_sends_its_watchers_elsewhere() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let (mut goes, mut stays) = (watch(&cluster, 0, &session).await, watch(&cluster, 1, &session).await);
    goes.until_version(2).await;
    stays.until_version(2).await;
    cluster.instance(0).front.begin();
    assert_eq!(goes.until_closed().await, 1012);
    cluster.caller(1).command(&session, "switch").await;
    assert_eq!(stays.until_version(3).await["event"]["command"], "switch");
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_are_compared_and_heartbeats_come() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let mut watcher = watch(&cluster, 0, &session).await;
    let pong = watcher.ask(json!({"type": "PING", "timestamp": 12.5})).await;
    assert_eq!((&pong["type"], &pong["payload"]["timestamp"]), (&json!("PONG"), &json!(12.5)));
    assert_eq!(pong["payload"]["received_at_ms"].as_f64(), Some(1_767_225_600_000.0));
    let beat = watcher.until("HEARTBEAT").await;
    assert_eq!((&beat["position"], &beat["payload"]["store"]), (&json!(format!("{BEGIN_MS}-1")), &json!("ok")));
    assert_eq!(beat["payload"]["now_ms"], BEGIN_MS);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_frames_are_answered_and_then_end_the_stream() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let deep = format!("{}1{}", "{\"a\":".repeat(1_000), "}".repeat(1_000));
    let bad = [
        Message::text("{"),
        Message::text("[]"),
        Message::text("{\"type\":\"DANCE\"}"),
        Message::text(deep),
        Message::binary(vec![0, 159, 146, 150]),
        Message::text("{\"type\":\"PING\",\"colour\":1}"),
    ];
    for frame in bad {
        let mut watcher = watch(&cluster, 0, &session).await;
        watcher.until_version(1).await;
        for _ in 0..3 {
            watcher.send(frame.clone()).await;
        }
        let problem = watcher.until("ERROR").await;
        assert!(problem["payload"]["code"].is_string(), "{frame:?}: {problem}");
        assert_eq!(watcher.until_closed().await, 4504, "{frame:?}");
    }
    let mut watcher = watch(&cluster, 0, &session).await;
    watcher.send(Message::text("x".repeat(65_537))).await;
    assert_eq!(watcher.until_closed().await, 1009);
    assert_eq!(cluster.caller(0).snapshot(&session).await["version"], 1);
}
