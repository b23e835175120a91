//! What comes by itself: states, warnings, heartbeats.

use std::time::Duration;

use crate::net::socket::ClientSocket;
use serde_json::json;

use super::super::connection::Connection;
use super::served::{caller, served, served_with, timing};
use crate::fanout::tests::house::{House, START, at, settings, until, update, warning};
use crate::stream::Timing;

#[tokio::test]
async fn the_state_comes_first_and_then_what_happens() {
    let served = served().await;
    served.house.store(at(1, 3), "");
    let mut client = served.open("/v1/sessions/s/ws").await;
    let first = client.next().await;
    assert_eq!((&first["type"], &first["position"]), (&json!("STATE_SYNC"), &json!("1-3")));
    assert_eq!((&first["session_id"], &first["payload"]["version"]), (&json!("s"), &json!(3)));
    served.house.write(at(1, 4));
    assert_eq!(client.word().await, "STATE_UPDATE 1-4");
    let expired = r#"{"type":"TIME_EXPIRED","position":"1-5"}"#;
    served.house.tell(at(1, 5), format!("{}\n{expired}", update(at(1, 5), "")));
    assert_eq!(client.word().await, "STATE_UPDATE 1-5");
    assert_eq!(client.word().await, "TIME_EXPIRED 1-5");
    drop(client);
    served.close().await;
}

#[tokio::test]
async fn who_comes_back_with_a_position_gets_what_it_missed() {
    let served = served().await;
    served.house.store(at(1, 1), "");
    let mut client = served.open("/v1/sessions/s/ws").await;
    assert_eq!(client.word().await, "STATE_SYNC 1-1");
    for version in 2..6 {
        served.house.write(at(1, version));
        client.word().await;
    }
    let mut back = served.open("/v1/sessions/s/ws?last=1-3").await;
    let ack = back.next().await;
    assert_eq!(ack, json!({"type": "RECONNECT_ACK", "session_id": "s", "payload": {"resumed": true}}));
    assert_eq!(back.word().await, "STATE_UPDATE 1-4");
    assert_eq!(back.word().await, "STATE_UPDATE 1-5");
    for last in ["1-9", "0-3", "nonsense", ""] {
        let mut back = served.open(&format!("/v1/sessions/s/ws?last={last}")).await;
        assert_eq!(back.next().await["payload"], json!({"resumed": false}), "{last}");
        assert_eq!(back.word().await, "STATE_SYNC 1-5", "{last}");
    }
    back.say(json!({"type": "RECONNECT", "id": 1, "last_known_epoch": 1, "last_known_version": 4})).await;
    let ack = back.next().await;
    assert_eq!(ack, json!({"type": "RECONNECT_ACK", "id": 1, "session_id": "s", "payload": {"resumed": true}}));
    assert_eq!(back.word().await, "STATE_UPDATE 1-5");
    back.say(json!({"type": "RECONNECT", "sessionId": "s", "last_known_version": 4, "reconnect_attempt": 3})).await;
    assert_eq!(back.next().await["payload"], json!({"resumed": false}));
    assert_eq!(back.word().await, "STATE_SYNC 1-5");
    drop((client, back));
    served.close().await;
}

#[tokio::test]
async fn warnings_come_to_those_who_want_them() {
    let served = served().await;
    served.house.store(at(1, 1), &warning(START + 100));
    let mut with = served.open("/v1/sessions/s/ws").await;
    let mut without = served.open("/v1/sessions/s/ws?warnings=0").await;
    assert_eq!((with.word().await, without.word().await), ("STATE_SYNC 1-1".into(), "STATE_SYNC 1-1".into()));
    served.house.planned(at(1, 1)).await;
    served.house.clock.advance_ms(100);
    let warned = with.next().await;
    assert_eq!((&warned["type"], &warned["payload"]["remaining_ms"]), (&json!("TIME_WARNING"), &json!(10)));
    assert_eq!(warned.get("position"), None);
    served.house.write(at(1, 2));
    assert_eq!((with.word().await, without.word().await), ("STATE_UPDATE 1-2".into(), "STATE_UPDATE 1-2".into()));
    drop((with, without));
    served.close().await;
}

#[tokio::test]
async fn heartbeats_tell_the_time_the_position_and_the_store() {
    let short = Timing { heartbeat: Duration::from_millis(50), ..timing() };
    let served = served_with(short, settings()).await;
    served.house.store(at(1, 7), "");
    let mut client = served.open("/v1/sessions/s/ws").await;
    assert_eq!(client.word().await, "STATE_SYNC 1-7");
    let beat = client.next().await;
    let expected =
        json!({"type": "HEARTBEAT", "session_id": "s", "position": "1-7", "payload": {"now_ms": START, "store": "ok"}});
    assert_eq!(beat, expected);
    served.house.truth.is_down.store(true, std::sync::atomic::Ordering::Relaxed);
    served.house.gap().await;
    until("it is noticed", || served.house.hub.health() != crate::fanout::Health::Ok).await;
    let stale = loop {
        let beat = client.next().await;
        if beat["payload"]["store"] != "ok" {
            break beat;
        }
    };
    assert_eq!(stale["payload"]["store"], json!({"stale_since": "1970-01-01T00:16:40.000Z"}));
    drop(client);
    served.close().await;
}

#[tokio::test]
async fn one_stream_follows_many_sessions() {
    let mut served = served().await;
    let mut client = served.open_as("/v1/ws", &caller(Some(&["a", "b", "none"]))).await;
    for (name, version) in [("a", 1), ("b", 2)] {
        served.house.key.session = name.parse().unwrap();
        served.house.store(at(1, version), "");
        client.say(json!({"type": "SUBSCRIBE", "id": name, "session_id": name})).await;
        assert_eq!(client.next().await, json!({"type": "ACK", "id": name, "session_id": name, "payload": {}}));
        let state = client.next().await;
        assert_eq!((&state["session_id"], &state["position"]), (&json!(name), &json!(format!("1-{version}"))));
    }
    // What is not there, and what it may not see, look the same.
    for name in ["none", "hidden"] {
        client.say(json!({"type": "SUBSCRIBE", "session_id": name})).await;
        let refused = client.next().await;
        assert_eq!((&refused["type"], &refused["payload"]["code"]), (&json!("ERROR"), &json!("session_not_found")));
        assert_eq!(refused["session_id"], name);
    }
    served.house.write(at(1, 3));
    assert_eq!(client.word().await, "STATE_UPDATE 1-3");
    served.house.delete(at(1, 4));
    assert_eq!(client.word().await, "SESSION_DELETED 1-4");
    client.say(json!({"type": "UNSUBSCRIBE", "id": 9, "session_id": "a"})).await;
    assert_eq!(client.word().await, "ACK");
    until("nothing is followed", || served.house.hub.subscribers() == 0).await;
    client.say(json!({"type": "SUBSCRIBE"})).await;
    assert_eq!(client.next().await["payload"]["code"], "invalid");
    drop(client);
    served.close().await;
}

#[tokio::test]
async fn a_stream_follows_a_thousand_sessions_and_no_more() {
    let served = served().await;
    let mut client = served.open("/v1/ws").await;
    served.house.truth.gate.forget_permits(1_000);
    for n in 0..1_001 {
        client.say(json!({"type": "SUBSCRIBE", "id": n, "session_id": format!("s{n}")})).await;
    }
    let refused = client.next().await;
    assert_eq!((&refused["type"], &refused["id"]), (&json!("ERROR"), &json!(1_000)));
    assert_eq!(refused["payload"]["code"], "too_many_connections");
    assert_eq!(served.house.hub.subscribers(), 1_000);
    drop(client);
    until("nothing is followed", || served.house.hub.subscribers() == 0).await;
    served.house.truth.gate.add_permits(10_000);
    served.close().await;
}

#[tokio::test]
async fn what_is_told_reaches_many_sockets_in_order() {
    let served = served().await;
    served.house.store(at(1, 1), "");
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(served.open("/v1/sessions/s/ws").await);
    }
    for client in &mut clients {
        assert_eq!(client.word().await, "STATE_SYNC 1-1");
    }
    for version in 2..30 {
        served.house.write(at(1, version));
    }
    for client in &mut clients {
        for version in 2..30 {
            assert_eq!(client.word().await, format!("STATE_UPDATE 1-{version}"));
        }
    }
    assert_eq!(served.house.reads(), 1);
    drop(clients);
    served.close().await;
}

#[tokio::test]
async fn a_connection_that_waits_is_small() {
    let house = House::new(settings());
    let subscription = std::mem::size_of_val(&house.watch(None));
    assert!(subscription <= 128, "{subscription}");
    let connection = std::mem::size_of::<Connection<ClientSocket>>();
    // A little more takes up a quarter more: what is allocated comes in steps.
    assert!(connection <= 512, "{connection}");
    house.close().await;
}

/// All that answers the frame of that id, and nothing else that comes meanwhile.
async fn answers(client: &mut super::served::Client, id: &str) -> Vec<serde_json::Value> {
    // Whatever is answered later than a ping that came later was not answered.
    client.say(json!({"type": "PING", "id": "last"})).await;
    let mut answers = Vec::new();
    loop {
        let frame = client.next().await;
        match frame["id"].as_str() {
            Some("last") => return answers,
            Some(each) if each == id => answers.push(frame),
            _ => {}
        }
    }
}

#[tokio::test]
async fn each_subscribe_gets_exactly_one_answer() {
    let served = served().await;
    served.house.store(at(1, 3), "");
    let mut client = served.open_as("/v1/ws", &caller(Some(&["s", "none"]))).await;
    let last = json!("1-3");
    for (id, kind, session, last, expected) in [
        ("new", "SUBSCRIBE", "s", None, "ACK"),
        ("again", "SUBSCRIBE", "s", None, "ACK"),
        ("newest", "SUBSCRIBE", "s", Some(&last), "ACK"),
        ("missing", "SUBSCRIBE", "none", None, "session_not_found"),
        ("missing-at", "SUBSCRIBE", "none", Some(&last), "session_not_found"),
        ("hidden", "SUBSCRIBE", "hidden", None, "session_not_found"),
        ("left", "UNSUBSCRIBE", "s", None, "ACK"),
        ("left-again", "UNSUBSCRIBE", "s", None, "ACK"),
        ("never", "UNSUBSCRIBE", "hidden", None, "session_not_found"),
        ("not-followed", "RECONNECT", "s", None, "session_not_found"),
    ] {
        let mut frame = json!({"type": kind, "id": id, "session_id": session});
        if let Some(last) = last {
            frame["last"] = last.clone();
        }
        if kind == "RECONNECT" {
            frame["last_known_version"] = json!(3);
        }
        client.say(frame).await;
        // Its read may take a moment: only then the ping is sent.
        let first = loop {
            let frame = client.next().await;
            if frame["id"] == id {
                break frame;
            }
        };
        let said = first["payload"]["code"].as_str().or(first["type"].as_str()).unwrap_or_default();
        assert_eq!((said, &first["session_id"]), (expected, &json!(session)), "{id}: {first}");
        assert_eq!(answers(&mut client, id).await, Vec::<serde_json::Value>::new(), "{id}");
    }
    drop(client);
    served.close().await;
}

#[tokio::test]
async fn a_subscribe_with_a_cursor_says_whether_it_resumes() {
    let served = served().await;
    served.house.store(at(1, 3), "");
    for (last, resumed) in [("1-3", true), ("1-1", false), ("1-9", false), ("0-3", false)] {
        let mut client = served.open("/v1/ws").await;
        client.say(json!({"type": "SUBSCRIBE", "id": 1, "session_id": "s", "last": last})).await;
        assert_eq!(client.next().await["type"], "ACK", "{last}");
        let ack = client.next().await;
        assert_eq!(ack, json!({"type": "RECONNECT_ACK", "session_id": "s", "payload": {"resumed": resumed}}), "{last}");
        if !resumed {
            assert_eq!(client.word().await, "STATE_SYNC 1-3", "{last}");
        }
    }
    served.close().await;
}

#[tokio::test]
async fn a_reconnect_before_the_first_state_is_answered_once_that_is_known() {
    let served = served().await;
    served.house.store(at(1, 3), "");
    served.house.truth.gate.forget_permits(1_000);
    let mut client = served.open("/v1/sessions/s/ws").await;
    client.say(json!({"type": "RECONNECT", "id": 7, "last_known_epoch": 1, "last_known_version": 3})).await;
    client.say(json!({"type": "PING"})).await;
    assert_eq!(client.word().await, "PONG", "nothing is known yet");
    served.house.truth.gate.add_permits(1_000);
    let ack = client.next().await;
    assert_eq!((&ack["id"], &ack["payload"]), (&json!(7), &json!({"resumed": true})));
    drop(client);
    served.close().await;
}

#[tokio::test]
async fn a_subscribe_is_refused_once_its_session_cannot_be_read() {
    let short = Timing { state_wait: Duration::from_millis(50), ..timing() };
    let served = served_with(short, settings()).await;
    served.house.truth.is_down.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut client = served.open("/v1/ws").await;
    client.say(json!({"type": "SUBSCRIBE", "id": 1, "session_id": "s"})).await;
    let refused = client.next().await;
    assert_eq!((&refused["id"], &refused["payload"]["code"]), (&json!(1), &json!("store_unavailable")));
    until("nothing is followed", || served.house.hub.subscribers() == 0).await;
    drop(client);
    served.close().await;
}

#[tokio::test]
async fn no_heartbeat_comes_before_a_stream_says_how_it_begins() {
    let short = Timing { heartbeat: Duration::from_millis(10), ..timing() };
    let served = served_with(short, settings()).await;
    served.house.store(at(1, 3), "");
    served.house.truth.gate.forget_permits(1_000);
    let mut client = served.open("/v1/sessions/s/ws?last=1-3").await;
    let until = tokio::time::Instant::now() + Duration::from_millis(100);
    while tokio::time::Instant::now() < until {
        client.say(json!({"type": "PING"})).await;
        assert_eq!(client.word().await, "PONG");
    }
    served.house.truth.gate.add_permits(1_000);
    let first = loop {
        let word = client.word().await;
        if word != "PONG" {
            break word;
        }
    };
    assert_eq!(first, "RECONNECT_ACK");
    assert_eq!(client.word().await, "HEARTBEAT 1-3");
    drop(client);
    served.close().await;
}
