//! Why streams end, and how their clients learn of it.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::served::{LONG, Served, caller, served, served_with, timing};
use crate::fanout::Settings;
use crate::fanout::tests::house::{at, settings, until};
use crate::stream::Timing;

#[tokio::test]
async fn who_may_not_follow_is_told_by_a_code_a_browser_can_see() {
    let served = served().await;
    served.house.store(at(1, 1), "");
    let refused = [("/v1/sessions/s/ws", 4500), ("/v1/ws?token=nonsense", 4500)];
    for (path, code) in refused {
        assert_eq!(served.open_with(path, &[]).await.unwrap().closed().await, code, "{path}");
    }
    for path in ["/v1/sessions/other/ws", "/v1/sessions/none/ws", "/v1/sessions/a%20b/ws"] {
        let mut client = served.open_as(path, &caller(Some(&["s", "none"]))).await;
        assert_eq!(client.closed().await, 4502, "{path}");
    }
    let mut foreign = caller(None);
    foreign.tenant = "elsewhere".parse().unwrap();
    assert_eq!(served.open_as("/v1/sessions/s/ws", &foreign).await.closed().await, 4502);
    served.close().await;
}

#[tokio::test]
async fn a_token_may_come_as_a_subprotocol_and_ours_is_answered() {
    let served = served().await;
    served.house.store(at(1, 1), "");
    let token = served.token(&caller(None), 60_000);
    let offered = format!("synckairos.v1, bearer.{token}");
    let mut client = served.open_with("/v1/sessions/s/ws", &[("sec-websocket-protocol", &offered)]).await.unwrap();
    assert_eq!((client.word().await.as_str(), client.protocol.as_deref()), ("STATE_SYNC 1-1", Some("synckairos.v1")));
    drop(client);
    served.close().await;
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_before_the_upgrade() {
    let served = served().await;
    let token = served.token(&caller(None), 60_000);
    for query in ["heartbeat_ms=1999", "heartbeat_ms=60001", "warnings=maybe", "last=1-1&last=1-2"] {
        let path = format!("/v1/sessions/s/ws?{query}&token={token}");
        assert_eq!(served.open_with(&path, &[]).await.err(), Some(422), "{query}");
    }
    served.close().await;
}

async fn plainly(served: &Served, path: &str) -> String {
    let mut stream = served.raw().await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_whitespace().nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_gets_an_answer_as_any_other() {
    let served = served().await;
    let token = served.token(&caller(Some(&["s"])), 60_000);
    for (path, status) in [
        ("/v1/sessions/s/ws".to_owned(), "401"),
        (format!("/v1/sessions/other/ws?token={token}"), "404"),
        (format!("/v1/sessions/s/ws?token={token}"), "400"),
        (format!("/v1/ws?token={token}"), "400"),
    ] {
        assert_eq!(plainly(&served, &path).await, status, "{path}");
    }
    served.close().await;
}

#[tokio::test]
async fn a_deletion_is_told_and_then_the_stream_ends() {
    let served = served().await;
    served.house.store(at(1, 1), "");
    let mut client = served.open("/v1/sessions/s/ws").await;
    client.word().await;
    served.house.delete(at(1, 2));
    assert_eq!(client.word().await, "SESSION_DELETED 1-2");
    assert_eq!(client.closed().await, 4503);
    served.close().await;
}

#[tokio::test]
async fn a_goodbye_is_answered() {
    let served = served().await;
    served.house.store(at(1, 1), "");
    let mut client = served.open("/v1/sessions/s/ws").await;
    client.word().await;
    client.send(Message::Close(None)).await;
    assert_eq!(client.closed().await, 1000);
    until("it is gone", || served.house.hub.subscribers() == 0).await;
    served.close().await;
}

#[tokio::test]
async fn a_connection_that_answers_no_ping_is_closed() {
    let short = Timing { pong_wait: Duration::from_millis(50), ..timing() };
    let served = served_with(short, settings()).await;
    served.house.store(at(1, 1), "");
    let mut client = served.open("/v1/sessions/s/ws").await;
    // Its library answers pings only while it is read from.
    until("it is gone", || served.house.hub.subscribers() == 0).await;
    assert_eq!(client.closed().await, 4003);
    served.close().await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_ends_a_stream_that_has_shown_nothing() {
    let short = Timing { state_wait: Duration::from_millis(50), ..timing() };
    let served = served_with(short, settings()).await;
    served.house.store(at(1, 1), "");
    let mut early = served.open("/v1/sessions/s/ws").await;
    assert_eq!(early.word().await, "STATE_SYNC 1-1");
    // One that has all there is is shown nothing either, and stays.
    let mut back = served.open("/v1/sessions/s/ws?last=1-1").await;
    assert_eq!(back.word().await, "RECONNECT_ACK");
    served.house.truth.is_down.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut client = served.open("/v1/sessions/other/ws").await;
    assert_eq!(client.closed().await, 4004);
    back.say(json!({"type": "PING"})).await;
    assert_eq!((back.word().await.as_str()), "PONG");
    drop((early, back));
    served.close().await;
}

#[tokio::test]
async fn a_token_that_ends_ends_the_stream_though_nothing_is_said() {
    let short = Timing { heartbeat: Duration::from_millis(20), ..timing() };
    let served = served_with(short, settings()).await;
    served.house.store(at(1, 1), "");
    let token = served.token(&caller(None), 60_000);
    let mut client = served.open_with(&format!("/v1/sessions/s/ws?token={token}"), &[]).await.unwrap();
    client.word().await;
    served.house.clock.advance_ms(60_000);
    assert_eq!(client.closed().await, 4500);
    served.close().await;
}

#[tokio::test]
async fn who_never_reads_is_closed_and_holds_nobody_up() {
    let short = Timing { write_wait: Duration::from_millis(300), ..timing() };
    let served = served_with(short, Settings { ring_entries: 8, ..settings() }).await;
    served.house.store(at(1, 1), "");
    let mut quick = served.open("/v1/sessions/s/ws").await;
    quick.word().await;
    let mut deaf = served.raw().await;
    let token = served.token(&caller(None), 60_000);
    let request = format!(
        "GET /v1/sessions/s/ws?token={token} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    deaf.write_all(request.as_bytes()).await.unwrap();
    until("it follows", || served.house.hub.subscribers() == 2).await;
    let padding = " ".repeat(200_000);
    let mut version = 1;
    while served.house.hub.subscribers() == 2 {
        version += 1;
        served.house.write_with(at(1, version), &padding);
        while quick.word().await != format!("STATE_UPDATE 1-{version}") {}
    }
    // More than any host's socket holds was told meanwhile, and to the other all of it.
    assert!(version > 5, "{version}");
    drop((quick, deaf));
    served.close().await;
}

#[tokio::test]
async fn a_stop_sends_everyone_away_in_time_and_each_knows_why() {
    let served = served().await;
    served.house.store(at(1, 1), "");
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = served.open("/v1/sessions/s/ws").await;
        client.word().await;
        clients.push(client);
    }
    clients.push(served.open("/v1/ws").await);
    served.house.stop();
    for client in &mut clients {
        assert_eq!(client.closed().await, 1012);
    }
    let stopped = timeout(LONG, served.house.shutdown.finish(Duration::from_secs(1))).await.unwrap();
    assert_eq!(stopped, crate::shutdown::Finished::Aborted(vec!["stub bus"]));
}
