//! Polls that follow one another on one connection, and what else comes on it.

use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use synckairos::domain::time::Timestamp;

use crate::harness::process::Host;
use crate::harness::raw::{KeepAliveConnection, RawResponse};
use crate::harness::token::{claims, signed};
use crate::harness::{Caller, Cluster, Session, blitz, eventually, soon, with};

/// Somebody who polls on one connection.
struct Poller {
    kept: KeepAliveConnection,
    path: String,
    authorization: String,
    since: String,
}

impl Poller {
    async fn of(caller: &Caller, session: &Session) -> Self {
        let kept = KeepAliveConnection::open(caller.address()).await;
        let (path, authorization) = (format!("{}/poll", session.path()), Host::authorization());
        let mut poller = Self { kept, path, authorization, since: String::new() };
        poller.kept.ask(&poller.path, &poller.authorization, "").await;
        poller.next().await;
        poller
    }

    async fn ask(&mut self, more: &str) {
        let path = format!("{}?since={}&timeout_ms=60000", self.path, self.since);
        self.kept.ask(&path, &self.authorization, more).await;
    }

    async fn said(&mut self) -> RawResponse {
        soon("an answer to a poll", self.kept.answer()).await.expect("an answer")
    }

    async fn next(&mut self) -> Value {
        let said = self.said().await;
        assert_eq!(said.status, 200);
        let body = said.json();
        body["position"].as_str().unwrap().clone_into(&mut self.since);
        assert_eq!(said.header("etag"), format!("W/\"{}\"", self.since));
        body
    }
}

/// Waits until so many poll and wait.
async fn parked(cluster: &Cluster, polls: usize) {
    let wanted = format!("synckairos_subscribers{{transport=\"poll\"}} {polls}");
    eventually("polls that wait", async || {
        let scrape = cluster.caller(0).scrape(cluster.instance(0).metrics_address).await;
        scrape.lines().any(|line| line == wanted).then_some(())
    })
    .await;
}

fn versions(answer: &Value) -> Vec<u64> {
    let events = answer["events"].as_array().unwrap();
    events.iter().map(|event| event["payload"]["version"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_on_one_connection_tell_everything_once_and_in_order() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let mut poller = Poller::of(&caller, &session).await;
    let mut seen = Vec::new();
    let mut ids = Vec::new();
    for round in 0..20 {
        poller.ask("").await;
        parked(&cluster, 1).await;
        // Every third time two come at once.
        for _ in 0..=u64::from(round % 3 == 0) {
            caller.command(&session, "switch").await;
        }
        let said = poller.said().await;
        let answer = said.json();
        answer["position"].as_str().unwrap().clone_into(&mut poller.since);
        assert_eq!(answer["timed_out"], false);
        assert_eq!(answer["session"]["version"].as_u64(), versions(&answer).last().copied());
        seen.extend(versions(&answer));
        ids.push(said.header("x-request-id").to_owned());
    }
    // The last of two may still be to come.
    let newest = caller.snapshot(&session).await["version"].as_u64().unwrap();
    if seen.last() != Some(&newest) {
        poller.ask("").await;
        seen.extend(versions(&poller.next().await));
    }
    assert_eq!(seen, (3..=newest).collect::<Vec<_>>());
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20, "each answer has an id of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_waits_is_compressed_as_it_asks() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(with(blitz(), json!({"metadata": {"notes": "x".repeat(4_000)}}))).await;
    let (mut packed, mut plain) = (Poller::of(&caller, &session).await, Poller::of(&caller, &session).await);
    for _ in 0..2 {
        packed.ask("accept-encoding: gzip, br\r\n").await;
        plain.ask("accept-encoding: identity\r\n").await;
        parked(&cluster, 2).await;
        caller.command(&session, "switch").await;
        let (small, large) = (packed.said().await, plain.said().await);
        assert_eq!((small.header("content-encoding"), large.header("content-encoding")), ("gzip", ""));
        assert_eq!((small.header("vary"), large.header("vary")), ("accept-encoding", "accept-encoding"));
        let length = u32::from_le_bytes(*small.body.last_chunk().unwrap());
        assert_eq!(length as usize, large.body.len());
        large.json()["position"].as_str().unwrap().clone_into(&mut packed.since);
        packed.since.clone_into(&mut plain.since);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_after_a_poll_is_answered_normally() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let mut poller = Poller::of(&caller, &session).await;
    poller.ask("").await;
    parked(&cluster, 1).await;
    // Two more requests stand behind the one that waits.
    poller.kept.ask(&session.path(), &Host::authorization(), "").await;
    poller.kept.ask("/health", "", "").await;
    caller.command(&session, "switch").await;
    assert_eq!(versions(&poller.next().await), [3]);
    assert_eq!(poller.said().await.json()["version"], 3);
    assert_eq!(poller.said().await.status, 200);
    // Somebody else's token on the same connection.
    poller.authorization = format!("Bearer {}", signed(&claims("other", "operator")));
    poller.ask("").await;
    let refused = poller.said().await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (404, Some("session_not_found")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_or_a_token_is_told_to_a_poll_that_waits() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let mut poller = Poller::of(&caller, &session).await;
    let mut brief = Poller::of(&caller, &session).await;
    let ends = Timestamp::from_ms(cluster.now_ms() + 30_000).as_ms() / 1_000;
    brief.authorization = format!("Bearer {}", signed(&with(claims("acme", "viewer"), json!({"exp": ends}))));
    for round in 0..2 {
        poller.ask("").await;
        brief.ask("").await;
        parked(&cluster, 2).await;
        if round == 0 {
            caller.command(&session, "switch").await;
            assert_eq!(versions(&brief.next().await), [3]);
            poller.next().await;
        }
    }
    cluster.clock().advance_ms(31_000);
    caller.command(&session, "switch").await;
    // What was told in time is told; the next is asked with a token that has ended.
    assert_eq!(versions(&brief.next().await), [4]);
    brief.ask("").await;
    let refused = brief.said().await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (401, Some("token_expired")));
    poller.next().await;
    poller.ask("").await;
    parked(&cluster, 1).await;
    caller.asking(Method::DELETE, session.path()).send().await.expect(204);
    let last = poller.next().await;
    assert_eq!((&last["events"][0]["type"], &last["session"]), (&json!("SESSION_DELETED"), &Value::Null));
    poller.ask("").await;
    let gone = poller.said().await;
    assert_eq!((gone.status, gone.json()["code"].as_str()), (404, Some("session_not_found")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_it_waits_leaves_nothing() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let mut pollers = Vec::new();
    for _ in 0..10 {
        let mut poller = Poller::of(&caller, &session).await;
        poller.ask("").await;
        pollers.push(poller);
    }
    parked(&cluster, 10).await;
    pollers.truncate(3);
    parked(&cluster, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_over_http2_as_well() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0).over_http2();
    let session = caller.running(blitz()).await;
    let events = caller.asking(Method::GET, format!("{}/events", session.path())).begin().await;
    assert_eq!((events.version(), events.status().as_u16()), (http::Version::HTTP_2, 200));
    let mut events = events.into_body();
    let first = caller.get(format!("{}/poll", session.path())).await.expect(200).body;
    let since = first["position"].as_str().unwrap().to_owned();
    let waiting = tokio::spawn({
        let (caller, path) = (caller.clone(), format!("{}/poll?since={since}", session.path()));
        async move { caller.get(path).await }
    });
    caller.command(&session, "switch").await;
    assert_eq!(versions(&waiting.await.unwrap().expect(200).body), [3]);
    let mut text = String::new();
    while !text.contains("-3\nevent: STATE_UPDATE\ndata: ") {
        let frame = soon("a frame of the body", events.frame()).await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    assert!(text.starts_with("retry: "), "no chunk sizes stand in it: {text}");
    assert!(text.contains("-2\nevent: STATE_SYNC\ndata: "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_proxy_gets_streams_and_polls_until_the_connection_ends() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let mut old = KeepAliveConnection::open(caller.address()).await;
    let path = session.path();
    let authorization = Host::authorization();
    old.say(&format!("GET {path}/events HTTP/1.0\r\nauthorization: {authorization}\r\n\r\n")).await;
    let head = soon("an answer", old.answer()).await.unwrap();
    assert_eq!((head.status, head.header("transfer-encoding")), (200, ""));
    assert!(soon("a line", old.line()).await.unwrap().starts_with("retry: "));
    let mut head = KeepAliveConnection::open(caller.address()).await;
    head.say(&format!("HEAD {path}/events HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n\r\n")).await;
    let said = soon("an answer", head.answer()).await.unwrap();
    assert_eq!((said.status, said.header("content-type")), (200, "text/event-stream"));
    head.ask("/health", "", "").await;
    assert_eq!(soon("an answer", head.answer()).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_in_a_body_are_not_a_request() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let hidden = "GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut poller = Poller::of(&caller, &session).await;
    poller.ask(&format!("content-length: {}\r\n", hidden.len())).await;
    parked(&cluster, 1).await;
    // The body comes once nobody looks for it any more.
    poller.kept.say(hidden).await;
    caller.command(&session, "switch").await;
    assert_eq!(versions(&poller.next().await), [3]);
    // The connection may be closed instead; what it may not is answer what nobody asked.
    let next = soon("an answer or the end", poller.kept.answer_to("/health")).await;
    assert!(next.as_ref().is_none_or(|said| said.status == 200), "{next:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_wants_its_connection_closed_has_it_closed() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let mut poller = Poller::of(&caller, &session).await;
    poller.ask("connection: close\r\n").await;
    parked(&cluster, 1).await;
    caller.command(&session, "switch").await;
    assert_eq!(versions(&poller.next().await), [3]);
    assert!(soon("the end", poller.kept.answer()).await.is_none());
    let mut parked_poll = Poller::of(&caller, &session).await;
    parked_poll.ask("").await;
    parked(&cluster, 1).await;
    cluster.instance(0).front.begin();
    assert_eq!(parked_poll.said().await.header("connection"), "close");
}
