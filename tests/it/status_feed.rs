//! The status of an instance, over every transport.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use synckairos::shutdown::Finished;

use crate::harness::cluster::Plan;
use crate::harness::events::Events;
use crate::harness::watch::{Transport, Watcher, Watching};
use crate::harness::{Authority, Caller, Cluster, blitz, eventually, soon};

const POLL: &str = "/v1/status/poll";
const EVENTS: &str = "/v1/status/events";

/// One instance, patient with watchers that do not read for a second.
fn cluster() -> Plan {
    Cluster::of(1).with(|config| config.timers.pong_wait = Duration::from_secs(10))
}

async fn follow(caller: &Caller) -> Watcher {
    Watching::at(caller.clone(), "/v1/status/ws").over(Transport::WebSocket).await
}

async fn poll(caller: &Caller, since: &str) -> Value {
    caller.get(format!("{POLL}?since={since}&timeout_ms=60000")).await.expect(200).body
}

/// The status in the one event of a poll's answer.
fn polled(answer: &Value) -> &Value {
    let events = answer["events"].as_array().unwrap();
    assert_eq!((events.len(), &answer["session"], &events[0]["type"]), (1, &Value::Null, &json!("STATUS")), "{answer}");
    assert_eq!(events[0]["position"], answer["position"]);
    &events[0]["payload"]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transport_shows_the_status_and_its_changes() {
    let cluster = cluster().start().await;
    let operator = cluster.caller(0);
    let session = operator.create(blitz()).await;
    let mut websocket = follow(&operator).await;
    let mut events = Events::open(&operator, EVENTS, None).await;
    let first = websocket.next().await;
    let nobody = json!({"websocket": 0, "sse": 0, "poll": 0});
    assert_eq!((&first["type"], &first["payload"]["subscribers"]), (&json!("STATUS"), &nobody));
    assert_eq!((&first["payload"]["store"], &first["payload"]["ledger"]), (&json!(true), &json!(true)));
    let event = events.next().await.unwrap();
    assert_eq!((event.kind.as_str(), &event.data, event.id.as_deref()), ("STATUS", &first, first["position"].as_str()));
    let answer = poll(&operator, "").await;
    assert_eq!(polled(&answer), &first["payload"]);

    let (watcher, answer) = futures::join!(
        cluster.watch(0, &session).over(Transport::WebSocket),
        poll(&operator, answer["position"].as_str().unwrap()),
    );
    let one = json!({"websocket": 1, "sse": 0, "poll": 0});
    assert_eq!(polled(&answer)["subscribers"], one);
    assert_eq!(websocket.next().await["payload"]["subscribers"], one);
    assert_eq!(events.next().await.unwrap().data["payload"]["subscribers"], one);
    drop(watcher);
    assert_eq!(websocket.next().await["payload"]["subscribers"], nobody);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_gets_only_what_is_new() {
    let cluster = cluster().start().await;
    let operator = cluster.caller(0);
    let mut kept = follow(&operator).await;
    let position = kept.next().await["position"].as_str().unwrap().to_owned();

    let resumed = Watching::at(operator.clone(), "/v1/status/ws").asking(&format!("last={position}"));
    let mut resumed = resumed.over(Transport::WebSocket).await;
    assert_eq!(resumed.next().await["type"], "RECONNECT_ACK");
    let mut events = Events::open(&operator, EVENTS, Some(&position)).await;
    let sign_of_life = events.next_of_any_kind().await.unwrap();
    assert_eq!((sign_of_life.kind.as_str(), &sign_of_life.data["position"]), ("HEARTBEAT", &json!(position)));
    let answer = operator.get(format!("{POLL}?since={position}&timeout_ms=1000")).await.expect(200).body;
    assert_eq!(
        (&answer["timed_out"], &answer["position"], &answer["events"]),
        (&json!(true), &json!(position), &json!([]))
    );

    // The position of another instance, or of an earlier start, says nothing here.
    let answer = poll(&operator, "7-1").await;
    assert_eq!(answer["position"], position);
    polled(&answer);
    let mut other = Watching::at(operator.clone(), "/v1/status/ws").asking("last=7-1").over(Transport::WebSocket).await;
    assert_eq!(other.until("STATUS").await["position"], position);
    let asked = kept.ask(json!({"type": "RECONNECT", "last_known_version": 0})).await;
    assert_eq!((&asked["type"], &asked["payload"]), (&json!("RECONNECT_ACK"), &json!({"resumed": true})));
    assert_eq!(kept.next().await["position"], position);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_poller_is_not_answered_again_and_again() {
    let cluster = cluster().start().await;
    let operator = cluster.caller(0);
    let position = poll(&operator, "").await["position"].clone();
    // Nobody follows between two polls.
    let answer = operator.get(format!("{POLL}?since={}&timeout_ms=1000", position.as_str().unwrap())).await.expect(200);
    assert_eq!((&answer.body["timed_out"], &answer.body["position"]), (&json!(true), &position));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_follow_it() {
    let cluster = cluster().start().await;
    let caller = cluster.caller(0);
    for authority in [Authority::Viewer, Authority::Participant("white")] {
        let caller = caller.being(authority);
        let mut refused = follow(&caller).await;
        assert_eq!(refused.until_closed().await, 4501);
        for path in [POLL, EVENTS, "/v1/status/ws"] {
            caller.get(path).await.expect(403);
        }
        // A client of event streams is told to stay away.
        let back = caller.asking(Method::GET, EVENTS).header("last-event-id", "1-1").send().await;
        back.expect(204);
    }
    let nobody = caller.being(Authority::Anonymous);
    let mut refused = follow(&nobody).await;
    assert_eq!(refused.until_closed().await, 4500);
    nobody.get(POLL).await.expect(401);
    nobody.get(EVENTS).await.expect(401);
    caller.being(Authority::Admin).get(POLL).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_socket_carries_no_session() {
    let cluster = cluster().start().await;
    let operator = cluster.caller(0);
    let session = operator.create(blitz()).await;
    let mut socket = follow(&operator).await;
    socket.until("STATUS").await;
    for (frame, code) in [
        (json!({"type": "COMMAND", "command": "start"}), "invalid"),
        (json!({"type": "COMMAND", "command": "start", "session_id": session.id}), "session_not_found"),
        (json!({"type": "SUBSCRIBE", "session_id": session.id}), "session_not_found"),
        (json!({"type": "RECONNECT", "session_id": session.id, "last_known_version": 1}), "session_not_found"),
        (json!({"type": "SUBSCRIBE"}), "invalid"),
    ] {
        let answer = socket.ask(frame.clone()).await;
        assert_eq!((&answer["type"], &answer["payload"]["code"]), (&json!("ERROR"), &json!(code)), "{frame}: {answer}");
    }
    assert_eq!(operator.snapshot(&session).await["status"], "pending");
    assert_eq!(socket.ask(json!({"type": "PING", "timestamp": 5})).await["payload"]["timestamp"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_shows_and_comes_back() {
    let mut cluster = cluster().shared().start().await;
    let operator = cluster.caller(0);
    let mut socket = follow(&operator).await;
    assert_eq!(socket.until("STATUS").await["payload"]["store"], true);
    cluster.backends_mut().redis_mut().kill();
    while socket.until("STATUS").await["payload"]["store"] == true {}
    cluster.backends_mut().redis_mut().start_again();
    while socket.until("STATUS").await["payload"]["store"] == false {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_its_streams() {
    let cluster = cluster().start().await;
    let operator = cluster.caller(0);
    let mut socket = follow(&operator).await;
    let position = socket.until("STATUS").await["position"].clone();
    let mut events = Events::open(&operator, EVENTS, None).await;
    events.next().await.unwrap();
    let waiting = {
        let (operator, since) = (operator.clone(), position.as_str().unwrap().to_owned());
        tokio::spawn(async move { poll(&operator, &since).await })
    };
    eventually("a poll that waits", async || {
        let scrape = operator.scrape(cluster.instance(0).metrics_address).await;
        scrape.lines().any(|line| line == "synckairos_connections{listener=\"requests\"} 3").then_some(())
    })
    .await;
    cluster.instance(0).front.begin();
    assert_eq!(socket.until_closed().await, 1012);
    let last = events.next().await.unwrap();
    assert_eq!((last.kind.as_str(), &last.data["code"]), ("CLOSE", &json!(1012)));
    let answer = soon("an answer", waiting).await.unwrap();
    assert_eq!((&answer["timed_out"], &answer["position"]), (&json!(true), &position));
    let finished = cluster.instance(0).front.finish(Duration::from_secs(5)).await;
    assert_eq!(finished, Finished::Drained);
}
