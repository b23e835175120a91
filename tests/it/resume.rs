//! A client that resumes alone, with a cursor, on an instance that does not know its session.
//!
//! Every transport with every kind of cursor: a place in a session's ring is no delivery,
//! and nobody else is there whose deliveries could hide that.

use std::time::Duration;

use serde_json::json;
use synckairos::server::Instance;
use tokio::time::Instant;

use crate::harness::follow::{By, Whose, position_in};
use crate::harness::process::Host;
use crate::harness::raw::{KeepAliveConnection, RawResponse};
use crate::harness::watch::{Transport, Watching};
use crate::harness::{Caller, Cluster, Session, eventually, soon, stopwatch};

/// Far below the five seconds after which a stream without a place is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// What a client may come with to a session that stands at version 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cursor {
    Newest,
    Older,
    NewerThanNewest,
    OlderEpoch,
    NewerEpoch,
    Unreadable,
    Absent,
}

impl Cursor {
    const ALL: [Self; 7] = [
        Self::Newest,
        Self::Older,
        Self::NewerThanNewest,
        Self::OlderEpoch,
        Self::NewerEpoch,
        Self::Unreadable,
        Self::Absent,
    ];

    fn text(self, epoch: i64) -> Option<String> {
        let (epoch, version) = match self {
            Self::Newest => (epoch, 3),
            Self::Older => (epoch, 1),
            Self::NewerThanNewest => (epoch, 9),
            Self::OlderEpoch => (epoch - 1, 3),
            Self::NewerEpoch => (epoch + 1_000, 3),
            Self::Unreadable => return Some("nonsense".to_owned()),
            Self::Absent => return None,
        };
        Some(format!("{epoch}-{version}"))
    }
}

/// A session at version 3 that nobody watches, and its epoch.
async fn quiet(caller: &Caller) -> (Session, i64) {
    let session = caller.running(stopwatch()).await;
    let epoch = caller.command(&session, "switch").await.body["epoch"].as_i64().unwrap();
    (session, epoch)
}

/// Follows alone, sees what comes first, and hears of the next change.
async fn follows_alone(cluster: &Cluster, instance: usize, by: By, cursor: Cursor) {
    let case = format!("{by:?} with {cursor:?} on instance {instance}");
    let writer = cluster.caller(0);
    let (session, epoch) = quiet(&writer).await;
    let whose = Whose::new(cluster.caller(instance).address(), &session, Host::authorization());
    let began = Instant::now();
    let mut follower = whose.follow(by, cursor.text(epoch).as_deref()).await;
    let mut first = soon(&case, follower.next()).await.unwrap_or_else(|| panic!("{case}: the end"));
    if first.kind == "RECONNECT_ACK" {
        // That alone tells a client that has missed nothing that its stream lives.
        first = if cursor == Cursor::Newest { first } else { soon(&case, follower.next()).await.unwrap() };
    }
    assert!(began.elapsed() < ANSWER_TIMEOUT, "{case}: {first:?} after {:?}", began.elapsed());
    let expected = match (cursor, by) {
        (Cursor::Newest, By::WebSocket) => "RECONNECT_ACK",
        (Cursor::Newest, _) => "HEARTBEAT",
        _ => "STATE_SYNC",
    };
    assert_eq!(first.kind, expected, "{case}");
    if expected == "STATE_SYNC" {
        assert_eq!(first.position, Some((epoch, 3)), "{case}");
    }
    writer.command(&session, "switch").await;
    soon(&case, follower.until_version(4)).await;
    assert!(began.elapsed() < ANSWER_TIMEOUT, "{case}: {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cursor_finds_its_place_on_an_instance_that_watches_nothing() {
    let cluster = Cluster::of(2).start().await;
    for instance in 0..2 {
        for by in By::ALL {
            for cursor in Cursor::ALL {
                follows_alone(&cluster, instance, by, cursor).await;
            }
        }
    }
}

/// The first event of an event stream, or the status it is refused with.
async fn first_event(caller: &Caller, path: &str, more: &str) -> Result<(String, KeepAliveConnection), u16> {
    let mut kept = KeepAliveConnection::open(caller.address()).await;
    kept.ask(path, &format!("Bearer {}", caller.token().unwrap()), more).await;
    let said = soon("an answer", kept.answer()).await.unwrap();
    if said.status != 200 {
        return Err(said.status);
    }
    let kind = next_event(&mut kept).await;
    Ok((kind, kept))
}

async fn next_event(kept: &mut KeepAliveConnection) -> String {
    loop {
        let line = soon("a line of a stream", kept.line()).await.expect("the stream goes on");
        if let Some(kind) = line.strip_prefix("event: ") {
            return kind.to_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_many_sessions_resumes_at_the_newest_positions_alone() {
    let cluster = Cluster::of(2).start().await;
    let writer = cluster.caller(0);
    for by_header in [true, false] {
        let ((one, epoch_of_one), (two, epoch_of_two)) = (quiet(&writer).await, quiet(&writer).await);
        let last = format!("{epoch_of_one}-3,{epoch_of_two}-3");
        let path = format!("/v1/events?sessions={},{}", one.id, two.id);
        let (path, header) = if by_header {
            (path, format!("last-event-id: {last}\r\n"))
        } else {
            (format!("{path}&last={last}"), String::new())
        };
        let began = Instant::now();
        let (first, mut events) = first_event(&cluster.caller(1), &path, &header).await.unwrap();
        assert!(began.elapsed() < ANSWER_TIMEOUT, "{:?}", began.elapsed());
        assert_eq!(first, "HEARTBEAT", "whoever missed nothing hears that the stream lives");
        writer.command(&two, "switch").await;
        while next_event(&mut events).await != "STATE_UPDATE" {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_from_the_etag_of_a_get_waits_instead_of_failing() {
    let cluster = Cluster::of(2).start().await;
    let (session, epoch) = quiet(&cluster.caller(0)).await;
    let path = format!("{}/poll?timeout_ms=1000", session.path());
    let tag = cluster.caller(1).get(session.path()).await.expect(200).header("etag").to_owned();
    let caller = cluster.caller(1);
    let asking = caller.asking(http::Method::GET, path).header("if-none-match", &tag).send();
    let answer = asking.await.expect(200).body;
    assert_eq!((&answer["timed_out"], &answer["position"]), (&json!(true), &json!(format!("{epoch}-3"))));
}

/// A poll with the newest position that waits on that instance, alone.
async fn waiting_poll(instance: &Instance, caller: &Caller, session: &Session, epoch: i64) -> KeepAliveConnection {
    let mut kept = KeepAliveConnection::open(caller.address()).await;
    let path = format!("{}/poll?since={epoch}-3&timeout_ms=60000", session.path());
    kept.ask(&path, &Host::authorization(), "").await;
    eventually("a poll that waits", async || {
        let scrape = caller.scrape(instance.metrics_address).await;
        scrape.lines().any(|line| line == "synckairos_subscribers{transport=\"poll\"} 1").then_some(())
    })
    .await;
    kept
}

async fn sent_away(kept: &mut KeepAliveConnection) -> RawResponse {
    let began = Instant::now();
    let said = soon("an answer to a poll at a stop", kept.answer()).await.expect("an answer");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(said.header("connection"), "close");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_waits_alone_is_answered_at_once_at_a_stop() {
    let cluster = Cluster::of(2).start().await;
    let (session, epoch) = quiet(&cluster.caller(0)).await;
    let mut kept = waiting_poll(cluster.instance(1), &cluster.caller(1), &session, epoch).await;
    cluster.instance(1).front.begin();
    let said = sent_away(&mut kept).await;
    let body = said.json();
    assert_eq!((said.status, &body["timed_out"], &body["session"]["version"]), (200, &json!(true), &json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_resumes_alone_by_subscribe_and_by_reconnect() {
    let cluster = Cluster::of(2).start().await;
    let writer = cluster.caller(0);
    let (session, epoch) = quiet(&writer).await;
    let mut many = Watching::many(cluster.caller(1)).over(Transport::WebSocket).await;
    let subscribe = json!({"type": "SUBSCRIBE", "session_id": session.id, "last": format!("{epoch}-3")});
    assert_eq!(many.ask(subscribe).await["type"], "ACK");
    writer.command(&session, "switch").await;
    let update = many.until("STATE_UPDATE").await;
    assert_eq!(position_in(update["position"].as_str().unwrap()), (epoch, 4));
    let (session, epoch) = quiet(&writer).await;
    let mut one = Watching::of(cluster.caller(1), &session).over(Transport::WebSocket).await;
    let reconnect = json!({"type": "RECONNECT", "last_known_epoch": epoch, "last_known_version": 3});
    assert_eq!(one.ask(reconnect).await["type"], "RECONNECT_ACK");
    writer.command(&session, "switch").await;
    assert_eq!(one.until_version(4).await["type"], "STATE_UPDATE");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_id_says_at_once_that_the_ledger_is_away() {
    let cluster = Cluster::of(2).start().await;
    let caller = cluster.caller(1);
    let (session, _) = quiet(&caller).await;
    caller.get(format!("{}/history", session.path())).await.expect(200);
    cluster.parts().ledger.close().await;
    if cluster.backends().redis().is_some() {
        cluster.part(1).ledger.close().await;
    }
    for path in ["", "/poll", "/poll?since=1-1", "/events", "/events?last=1-1"] {
        let began = Instant::now();
        caller.get(format!("/v1/sessions/nobody{path}")).await.expect(503).refused("ledger_unavailable");
        assert!(began.elapsed() < ANSWER_TIMEOUT, "{path}: {:?}", began.elapsed());
    }
    caller.get("/v1/events?sessions=nobody,none").await.expect(503).refused("ledger_unavailable");
    let both = format!("/v1/events?sessions=nobody,{}", session.id);
    let (first, _events) = first_event(&caller, &both, "").await.unwrap();
    assert_eq!(first, "STATE_SYNC", "what is there is followed");
    let nobody = Session { id: "nobody".into() };
    let began = Instant::now();
    assert_eq!(Watching::of(caller.clone(), &nobody).over(Transport::WebSocket).await.until_closed().await, 4004);
    let mut many = Watching::many(caller.clone()).over(Transport::WebSocket).await;
    let refused = many.ask(json!({"type": "SUBSCRIBE", "session_id": "nobody"})).await;
    assert_eq!((&refused["type"], &refused["payload"]["code"]), (&json!("ERROR"), &json!("ledger_unavailable")));
    assert!(began.elapsed() < ANSWER_TIMEOUT, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_is_told_or_refused_at_once_alone() {
    let cluster = Cluster::of(2).start().await;
    let writer = cluster.caller(0);
    for by in [By::EventStream, By::Poll] {
        let (session, epoch) = quiet(&writer).await;
        writer.asking(http::Method::DELETE, session.path()).send().await.expect(204);
        let path = match by {
            By::Poll => format!("{}/poll?since={epoch}", session.path()),
            _ => format!("{}/events?last={epoch}", session.path()),
        };
        let began = Instant::now();
        cluster.caller(1).get(format!("{path}-4")).await.expect(404).refused("session_not_found");
        let whose = Whose::new(cluster.caller(1).address(), &session, Host::authorization());
        let mut missed = whose.follow(by, Some(&format!("{epoch}-3"))).await;
        assert_eq!(missed.next().await.unwrap().kind, "SESSION_DELETED", "{by:?}");
        assert!(began.elapsed() < ANSWER_TIMEOUT, "{by:?}: {:?}", began.elapsed());
    }
}
