//! Where a request ends, and when a stream does, on connections that somebody takes over
//! and on those that the library keeps.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use synckairos::config::Config;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::process::Host;
use crate::harness::raw::KeepAliveConnection;
use crate::harness::token::{claims, signed};
use crate::harness::watch::Transport;
use crate::harness::{Caller, Cluster, blitz, eventually, soon, with};

/// An operator's `Authorization` that ends in so many seconds.
fn brief(cluster: &Cluster, seconds: i64) -> String {
    let ends = cluster.now_ms() / 1_000 + seconds;
    format!("Bearer {}", signed(&with(claims("acme", "operator"), json!({"exp": ends}))))
}

async fn until_subscribed(cluster: &Cluster, transport: &str, count: usize) {
    let line = format!("synckairos_subscribers{{transport=\"{transport}\"}} {count}");
    eventually(&line, async || {
        let scrape = cluster.caller(0).scrape(cluster.instance(0).metrics_address).await;
        scrape.lines().any(|each| each == line).then_some(())
    })
    .await;
}

/// A poll whose head is written that way ends with its token; a switch stands behind it.
async fn poll_then_switch(cluster: &Cluster, before: &str, end: &str, body: &str) {
    let caller = &cluster.caller(0);
    let session = caller.running(blitz()).await;
    // The session is known here by then.
    let mut watcher = cluster.watch(0, &session).over(Transport::WebSocket).await;
    watcher.until_version(2).await;
    let since = caller.snapshot(&session).await;
    let position = format!("{}-{}", since["epoch"], since["version"]);
    let (path, good) = (session.path(), Host::authorization());
    let poll = format!(
        "{before}GET {path}/poll?since={position} HTTP/1.1{end}Host: x{end}Authorization: {}{end}{end}",
        brief(cluster, 2)
    );
    let length = body.len();
    let switch = format!(
        "POST {path}/switch HTTP/1.1\r\nHost: x\r\nAuthorization: {good}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut kept = KeepAliveConnection::open(caller.address()).await;
    kept.say(&format!("{poll}{switch}")).await;
    let ended = soon("the end of the poll", kept.answer()).await.unwrap();
    assert_eq!((ended.status, ended.json()["code"].as_str()), (401, Some("token_expired")), "{poll:?}");
    assert!(!ended.header("x-request-id").is_empty() && ended.json()["request_id"] == ended.header("x-request-id"));
    let switched = soon("the switch", kept.answer()).await.unwrap();
    assert_eq!((switched.status, switched.json()["version"].as_u64()), (200, Some(3)), "{poll:?}");
    let next = soon("what comes next", kept.answer_to("/health")).await.unwrap();
    assert_eq!(next.json()["status"], "alive", "nothing else was answered: {poll:?}");
    assert_eq!(caller.snapshot(&session).await["version"], 3, "{poll:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_behind_a_poll_is_done_once() {
    let cluster = Cluster::of(1).in_real_time().start().await;
    let ways = [("", "\r\n", ""), ("", "\n", ""), ("", "\n", "{}"), ("\r\n\r\n", "\r\n", ""), ("\n", "\r\n", "{}")];
    join_all(ways.map(|(before, end, body)| poll_then_switch(&cluster, before, end, body))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poller_that_left_a_byte_behind_has_left() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let path = format!("{}/poll?since={}&timeout_ms=60000", session.path(), {
        let snapshot = caller.snapshot(&session).await;
        format!("{}-{}", snapshot["epoch"], snapshot["version"])
    });
    // The session is known here by then.
    let mut watcher = cluster.watch(0, &session).over(Transport::WebSocket).await;
    watcher.until_version(1).await;
    for more in ["x".to_owned(), "x".repeat(100_000)] {
        let mut stream = TcpStream::connect(caller.address()).await.unwrap();
        let authorization = Host::authorization();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        until_subscribed(&cluster, "poll", 1).await;
        stream.write_all(more.as_bytes()).await.unwrap();
        drop(stream);
        until_subscribed(&cluster, "poll", 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_with_a_long_head_is_answered_like_others() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let long = format!("x-long: {}\r\n", "y".repeat(60_000));
    let mut kept = KeepAliveConnection::open(caller.address()).await;
    for _ in 0..3 {
        kept.ask(&format!("{}/poll", session.path()), &Host::authorization(), &long).await;
        assert_eq!(soon("an answer", kept.answer()).await.unwrap().json()["session"]["version"], 2);
    }
}

/// A number in HPACK (RFC 7541, section 5.1), with these bits before it.
fn number(out: &mut Vec<u8>, bits: u8, prefix: u32, value: usize) {
    let most = (1_usize << prefix) - 1;
    if value < most {
        out.push(bits | u8::try_from(value).unwrap());
        return;
    }
    out.push(bits | u8::try_from(most).unwrap());
    let mut rest = value - most;
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).unwrap() | 0x80);
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
}

/// A header by the index of its name, neither indexed nor compressed.
fn header(out: &mut Vec<u8>, name: usize, value: &str) {
    number(out, 0, 4, name);
    number(out, 0, 7, value.len());
    out.extend_from_slice(value.as_bytes());
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// An event stream over HTTP/2 whose window is closed from the start.
async fn closed_window(caller: &Caller, path: &str, authorization: &str) -> TcpStream {
    let mut stream = TcpStream::connect(caller.address()).await.unwrap();
    // `SETTINGS_INITIAL_WINDOW_SIZE`: 0.
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let mut headers = vec![0x82, 0x86];
    header(&mut headers, 1, "x");
    header(&mut headers, 4, path);
    header(&mut headers, 23, authorization);
    let request = frame(1, 5, 1, &headers);
    stream.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), settings, request].concat()).await.unwrap();
    stream
}

/// An event stream over HTTP/1 that the library writes, to a client that does not read.
async fn unread(caller: &Caller, head: &str, authorization: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(caller.address()).await.unwrap();
    stream.write_all(format!("{head}\r\nauthorization: {authorization}\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

fn waiting(seconds: u64) -> impl FnOnce(&mut Config) {
    move |config| config.timers.write_wait = Duration::from_secs(seconds)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_the_library_writes_ends_with_its_token() {
    let cluster = Cluster::of(1).in_real_time().with(waiting(60)).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let events = format!("{}/events", session.path());
    let authorization = brief(&cluster, 4);
    let closing = format!("GET {events} HTTP/1.1\r\nhost: x\r\nconnection: close");
    let old = format!("GET {events} HTTP/1.0");
    let streams = (
        closed_window(&caller, &events, &authorization).await,
        unread(&caller, &closing, &authorization).await,
        unread(&caller, &old, &authorization).await,
    );
    until_subscribed(&cluster, "sse", 3).await;
    until_subscribed(&cluster, "sse", 0).await;
    drop(streams);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_over_http2_that_nobody_reads_is_too_slow() {
    let cluster = Cluster::of(1).with(waiting(1)).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let authorization = Host::authorization();
    let stream = closed_window(&caller, &format!("{}/events", session.path()), &authorization).await;
    until_subscribed(&cluster, "sse", 1).await;
    until_subscribed(&cluster, "sse", 0).await;
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_over_http1_that_nobody_reads_is_too_slow() {
    let cluster = Cluster::of(1).with(waiting(1)).start().await;
    let caller = cluster.caller(0);
    let seat = |number| json!({"participant_id": format!("participant-{number}"), "total_time_ms": 60_000});
    let seats: Vec<_> = (0..200).map(seat).collect();
    let session = caller.running(with(blitz(), json!({"participants": seats}))).await;
    let head = format!("GET {}/events HTTP/1.1\r\nhost: x\r\nconnection: close", session.path());
    let stream = unread(&caller, &head, &Host::authorization()).await;
    until_subscribed(&cluster, "sse", 1).await;
    // Until the buffers of both hosts are full.
    eventually("the end of a stream", async || {
        caller.command(&session, "switch").await;
        let scrape = caller.scrape(cluster.instance(0).metrics_address).await;
        scrape.lines().any(|line| line == "synckairos_subscribers{transport=\"sse\"} 0").then_some(())
    })
    .await;
    drop(stream);
}
