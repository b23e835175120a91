//! What clients say, and what they are answered.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::served::{Served, caller, served, served_behind_a_proxy, served_with, timing};
use crate::fanout::tests::house::{at, settings, until};
use crate::stream::Timing;

async fn started() -> Served {
    let served = served().await;
    served.house.store(at(1, 1), "");
    served
}

#[tokio::test]
async fn a_ping_is_answered_with_both_stamps() {
    let served = started().await;
    let mut client = served.open("/v1/sessions/s/ws").await;
    client.word().await;
    client.say(json!({"type": "PING", "timestamp": 12.5})).await;
    let pong = client.next().await;
    let now = 1_000_000.0;
    let payload = json!({"timestamp": 12.5, "received_at_ms": now, "sent_at_ms": now, "uncertainty_ms": 0.0});
    assert_eq!(pong, json!({"type": "PONG", "session_id": "s", "payload": payload}));
    drop(client);
    served.close().await;
}

#[tokio::test]
async fn commands_are_answered_in_order_and_do_not_hold_up_frames() {
    let served = started().await;
    served.echo.gate.forget_permits(1_000);
    let mut client = served.open("/v1/sessions/s/ws").await;
    client.word().await;
    for n in 0..40 {
        let command = if n == 1 { "refuse" } else { "pause" };
        client.say(json!({"type": "COMMAND", "id": n, "command": command, "reason": "tea"})).await;
    }
    until("the first is under way", || served.echo.asked.load(Ordering::Relaxed) == 1).await;
    served.house.write(at(1, 2));
    assert_eq!(client.word().await, "STATE_UPDATE 1-2");
    served.echo.gate.add_permits(1_000);
    for n in 0..40 {
        let answer = client.next().await;
        assert_eq!(answer["id"], n);
        if n == 1 {
            assert_eq!((&answer["type"], &answer["payload"]["code"]), (&json!("ERROR"), &json!("not_running")));
        } else {
            let body = json!({"command": "pause", "reason": "tea"});
            assert_eq!((&answer["type"], &answer["payload"]["body"]), (&json!("ACK"), &body));
        }
    }
    drop(client);
    served.close().await;
}

#[tokio::test]
async fn a_command_for_another_session_is_not_passed_on() {
    let served = started().await;
    let mut client = served.open("/v1/sessions/s/ws").await;
    client.word().await;
    client.say(json!({"type": "COMMAND", "id": 1, "session_id": "other", "command": "pause"})).await;
    assert_eq!(client.next().await["payload"]["code"], "session_not_found");
    let mut many = served.open_as("/v1/ws", &caller(Some(&["s"]))).await;
    many.say(json!({"type": "COMMAND", "id": 1, "command": "pause"})).await;
    assert_eq!(many.next().await["payload"]["code"], "invalid");
    many.say(json!({"type": "COMMAND", "id": 2, "session_id": "hidden", "command": "pause"})).await;
    assert_eq!(many.next().await["payload"]["code"], "session_not_found");
    assert_eq!(served.echo.asked.load(Ordering::Relaxed), 0);
    many.say(json!({"type": "COMMAND", "id": 3, "session_id": "s", "command": "pause"})).await;
    assert_eq!(many.next().await["payload"]["session_id"], "s");
    drop((client, many));
    served.close().await;
}

#[tokio::test]
async fn the_connections_own_lag_goes_with_its_commands() {
    let often = Timing { ping: Duration::from_millis(20), ..timing() };
    let served = served_with(often, settings()).await;
    served.house.store(at(1, 1), "");
    let mut client = served.open("/v1/sessions/s/ws").await;
    client.word().await;
    for n in 0..20 {
        client.say(json!({"type": "COMMAND", "id": n, "command": "switch"})).await;
        client.next().await;
    }
    let lag = served.echo.lag_ms.load(Ordering::Relaxed);
    assert!((0..1_000).contains(&lag), "{lag}");
    drop(client);
    served.close().await;
}

/// The lag of a client that holds its first pong back, as the server credits it.
async fn lag_of_a_late_pong(served: &Served) -> i64 {
    served.house.store(at(1, 1), "");
    let mut client = served.open("/v1/sessions/s/ws").await;
    // What a client does not read it does not answer.
    tokio::time::sleep(Duration::from_millis(400)).await;
    client.word().await;
    // The client's library writes a pong behind what it is told to write next.
    for _ in 0..2 {
        client.say(json!({"type": "PING"})).await;
        while client.next().await["type"] != "PONG" {}
    }
    client.say(json!({"type": "COMMAND", "id": 1, "command": "switch", "client_time_ms": 0})).await;
    while client.next().await["type"] != "ACK" {}
    served.echo.lag_ms.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_pong_held_back_earns_no_lag() {
    let direct = served().await;
    let lag = lag_of_a_late_pong(&direct).await;
    assert!((0..100).contains(&lag), "{lag}");
    direct.close().await;
    // Behind a trusted proxy nobody else can tell.
    let proxied = served_behind_a_proxy().await;
    let lag = lag_of_a_late_pong(&proxied).await;
    assert!(lag >= 190, "{lag}");
    proxied.close().await;
}

#[tokio::test]
async fn pings_without_end_are_answered_at_a_bounded_rate() {
    let served = started().await;
    let mut client = served.open("/v1/sessions/s/ws").await;
    client.word().await;
    let began = tokio::time::Instant::now();
    for n in 0..7_000 {
        client.say(json!({"type": "PING", "timestamp": n})).await;
    }
    for n in 0..7_000 {
        assert_eq!(client.next().await["payload"]["timestamp"], n);
    }
    let took = began.elapsed();
    assert!(took > Duration::from_millis(2_900), "4,000 at once, then 1,000 a second: {took:?}");
    drop(client);
    served.close().await;
}

#[tokio::test]
async fn three_frames_that_are_not_understood_are_one_too_many() {
    let served = started().await;
    for bad in [Message::text("{"), Message::text(r#"{"type":"DANCE"}"#), Message::binary(vec![1, 2, 3])] {
        let mut client = served.open("/v1/sessions/s/ws").await;
        client.word().await;
        for _ in 0..3 {
            client.send(bad.clone()).await;
            assert_eq!(client.word().await, "ERROR");
        }
        assert_eq!(client.closed().await, 4504);
    }
    served.close().await;
}

#[tokio::test]
async fn a_frame_has_an_end() {
    let served = started().await;
    let mut client = served.open("/v1/sessions/s/ws").await;
    client.word().await;
    let exactly = |size: usize| Message::text(format!(r#"{{"type":"PING","timestamp":"{}"}}"#, "x".repeat(size - 30)));
    client.send(exactly(64 * 1024)).await;
    assert_eq!(client.word().await, "PONG");
    client.send(exactly(64 * 1024 + 1)).await;
    assert_eq!(client.closed().await, 1009);
    drop(client);
    served.close().await;
}

#[tokio::test]
async fn a_token_can_be_renewed_by_its_bearer_only() {
    let served = started().await;
    let bearer = caller(Some(&["s"]));
    let token = served.token(&bearer, 60_000);
    let path = format!("/v1/sessions/s/ws?heartbeat_ms=2000&token={token}");
    let mut client = served.open_with(&path, &[]).await.unwrap();
    client.word().await;
    let longer = served.token(&bearer, 120_000);
    client.say(json!({"type": "AUTH", "id": 1, "token": longer})).await;
    assert_eq!(client.word().await, "ACK");
    served.house.clock.advance_ms(60_000);
    client.say(json!({"type": "PING"})).await;
    assert_eq!(client.word().await, "PONG");
    // It has ended by cluster time, to the millisecond.
    served.house.clock.advance_ms(60_000);
    client.say(json!({"type": "PING"})).await;
    assert_eq!(client.closed().await, 4500);

    let wider = served.token(&caller(None), 3_600_000);
    for other in [wider.as_str(), "nonsense", ""] {
        let mut client = served.open_as("/v1/sessions/s/ws", &bearer).await;
        client.word().await;
        client.say(json!({"type": "AUTH", "token": other})).await;
        assert_eq!(client.closed().await, 4500, "{other}");
    }
    let mut client = served.open_as("/v1/sessions/s/ws", &caller(Some(&["s", "t"]))).await;
    client.word().await;
    let narrower = served.token(&caller(Some(&["t"])), 3_600_000);
    client.say(json!({"type": "AUTH", "token": narrower})).await;
    assert_eq!(client.closed().await, 4502);
    served.close().await;
}
