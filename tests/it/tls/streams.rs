//! Streams behind TLS: they are handed over as those in the clear are.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;

use super::secured;
use crate::harness::process::Host;
use crate::harness::secure::{SecureClient, SecureConnection, ask, authorization, until_scraped};
use crate::harness::{Session, blitz, soon};

async fn next_frame<S>(stream: &mut S) -> Value
where
    S: futures::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    loop {
        match soon("a frame", stream.next()).await.unwrap().unwrap() {
            Message::Text(text) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame["type"] != "HEARTBEAT" {
                    return frame;
                }
            }
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("a frame, not {other:?}"),
        }
    }
}

/// Reads lines until one holds `text`.
async fn until_line(kept: &mut SecureConnection, text: &str) {
    let reading = async {
        while let Some(line) = kept.line().await {
            if line.contains(text) {
                return;
            }
        }
        panic!("it ended without {text}");
    };
    soon(text, reading).await;
}

async fn position(client: &SecureClient, session: &Session) -> String {
    let snapshot = client.ask("GET", &session.path(), &authorization(), "").await.json();
    format!("{}-{}", snapshot["epoch"], snapshot["version"])
}

fn poll(session: &Session, since: &str) -> String {
    format!("{}/poll?since={since}&timeout_ms=60000", session.path())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_lives_behind_tls() {
    let (cluster, client, _authority) = secured().await;
    let session = client.running(&blitz()).await;
    let token = Host::authorization();
    let mut stream = client.websocket(&format!("{}/ws", session.path()), Some(&token)).await;
    assert_eq!(next_frame(&mut stream).await["payload"]["version"], 2);
    let command = serde_json::json!({"type": "COMMAND", "id": "1", "command": "switch"});
    stream.send(Message::text(command.to_string())).await.unwrap();
    loop {
        let frame = next_frame(&mut stream).await;
        if frame["payload"]["version"] == 3 {
            break;
        }
    }
    client.command(&session, "switch").await;
    while next_frame(&mut stream).await["payload"]["version"] != 4 {}
    // More than a record holds.
    stream.send(Message::text(format!("{{\"type\":\"PING\",\"id\":\"{}\"}}", "x".repeat(100)))).await.unwrap();
    stream.close(None).await.unwrap();
    while soon("the end", stream.next()).await.is_some_and(|message| message.is_ok()) {}
    until_scraped(&cluster, "synckairos_subscribers{transport=\"websocket\"} 0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_lives_behind_tls() {
    let (cluster, client, _authority) = secured().await;
    let session = client.running(&blitz()).await;
    let mut kept = client.kept().await;
    kept.ask(&format!("{}/events", session.path()), &Host::authorization(), "").await;
    until_line(&mut kept, "\"version\":2").await;
    until_scraped(&cluster, "synckairos_subscribers{transport=\"sse\"} 1").await;
    client.command(&session, "switch").await;
    until_line(&mut kept, "\"version\":3").await;
    drop(kept);
    until_scraped(&cluster, "synckairos_subscribers{transport=\"sse\"} 0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_follow_one_another_behind_tls_and_a_request_behind_one_is_done_once() {
    let (cluster, client, _authority) = secured().await;
    let session = client.running(&blitz()).await;
    let mut watching = client.websocket(&format!("{}/ws", session.path()), Some(&Host::authorization())).await;
    next_frame(&mut watching).await;
    let mut kept = client.kept().await;
    for version in 3..6 {
        let since = position(&client, &session).await;
        kept.ask(&poll(&session, &since), &Host::authorization(), "").await;
        until_scraped(&cluster, "synckairos_subscribers{transport=\"poll\"} 1").await;
        client.command(&session, "switch").await;
        assert_eq!(soon("an answer", kept.answer()).await.unwrap().json()["session"]["version"], version);
    }
    // Pipelined, in one record: TLS has both before the first is answered.
    let since = position(&client, &session).await;
    let (path, authorization) = (poll(&session, &since), authorization());
    let switch =
        format!("POST {}/switch HTTP/1.1\r\nhost: x\r\n{authorization}content-length: 0\r\n\r\n", session.path());
    kept.say(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n{authorization}\r\n{switch}{switch}")).await;
    until_scraped(&cluster, "synckairos_subscribers{transport=\"poll\"} 1").await;
    client.command(&session, "switch").await;
    assert_eq!(soon("the poll", kept.answer()).await.unwrap().json()["session"]["version"], 6);
    for version in 7..9 {
        assert_eq!(soon("a switch", kept.answer()).await.unwrap().json()["version"], version);
    }
    assert_eq!(ask(&mut kept, "GET", "/health", "", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_left_frees_its_place_behind_tls() {
    let (cluster, client, _authority) = secured().await;
    let session = client.running(&blitz()).await;
    let mut watching = client.websocket(&format!("{}/ws", session.path()), Some(&Host::authorization())).await;
    next_frame(&mut watching).await;
    let since = position(&client, &session).await;
    let paths = [("sse", format!("{}/events", session.path())), ("poll", poll(&session, &since))];
    for (transport, path) in paths {
        let (one, none) = (
            format!("synckairos_subscribers{{transport=\"{transport}\"}} 1"),
            format!("synckairos_subscribers{{transport=\"{transport}\"}} 0"),
        );
        // By a goodbye, by a cut, and with something said that nobody asked for.
        for (is_polite, more) in [(true, 0), (false, 0), (false, 1), (false, 100_000)] {
            let mut stream = client.connect().await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{}\r\n", authorization());
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            until_scraped(&cluster, &one).await;
            let _ = stream.write_all(&vec![b'x'; more]).await;
            let _ = stream.flush().await;
            if is_polite {
                stream.shutdown().await.unwrap();
            } else {
                stream.get_ref().0.set_zero_linger().unwrap();
                drop(stream);
            }
            until_scraped(&cluster, &none).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_in_tls_alone_is_one() {
    let (cluster, client, _authority) = secured().await;
    let session = client.running(&blitz()).await;
    let mut stream = client.connect().await.unwrap();
    let request = format!("GET {}/events HTTP/1.1\r\nhost: x\r\n{}\r\n", session.path(), authorization());
    stream.write_all(request.as_bytes()).await.unwrap();
    until_scraped(&cluster, "synckairos_subscribers{transport=\"sse\"} 1").await;
    // `close_notify`, while the connection below stays open.
    let (tcp, tls) = stream.get_mut();
    tls.send_close_notify();
    let mut record = Vec::new();
    tls.write_tls(&mut record).unwrap();
    tcp.write_all(&record).await.unwrap();
    until_scraped(&cluster, "synckairos_subscribers{transport=\"sse\"} 0").await;
    let mut rest = Vec::new();
    let _ = soon("the end", stream.read_to_end(&mut rest)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_behind_tls_is_too_slow() {
    use std::time::Duration;
    let authority = testkit::certificates::Authority::new();
    let short = |config: &mut synckairos::config::Config| config.timers.write_wait = Duration::from_millis(500);
    let plan = crate::harness::Cluster::of(1).with(crate::harness::secure::serving(&authority.server())).with(short);
    let cluster = plan.start().await;
    let client = SecureClient::of(&cluster, &authority);
    let seat = |number| serde_json::json!({"participant_id": format!("participant-{number}"), "total_time_ms": 60_000});
    let seats: Vec<_> = (0..200).map(seat).collect();
    let session = client.running(&crate::harness::with(blitz(), serde_json::json!({"participants": seats}))).await;
    let mut events = client.narrow().connect().await.unwrap();
    let request = format!("GET {}/events HTTP/1.1\r\nhost: x\r\n{}\r\n", session.path(), authorization());
    events.write_all(request.as_bytes()).await.unwrap();
    let websocket = client.narrow().websocket(&format!("{}/ws", session.path()), Some(&Host::authorization())).await;
    until_scraped(&cluster, "synckairos_subscribers{transport=\"sse\"} 1").await;
    let mut kept = client.kept().await;
    crate::harness::eventually("the end of both streams", async || {
        let switch = format!("{}/switch", session.path());
        assert_eq!(ask(&mut kept, "POST", &switch, &authorization(), "").await.status, 200);
        let scrape = cluster.caller(0).scrape(cluster.instance(0).metrics_address).await;
        let is_over =
            |transport: &str| scrape.contains(&format!("synckairos_subscribers{{transport=\"{transport}\"}} 0"));
        (is_over("sse") && is_over("websocket")).then_some(())
    })
    .await;
    drop((events, websocket));
}
