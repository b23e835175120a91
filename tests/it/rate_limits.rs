//! How much a caller may ask: by class, on every transport, by principal and by address.

use futures::future::join_all;
use http::Method;
use serde_json::json;
use synckairos::config::{Config, RateLimits};

use crate::harness::answer::Answer;
use crate::harness::cluster::TENANT;
use crate::harness::raw::{KeepAliveConnection, RawResponse};
use crate::harness::token::{claims, signed};
use crate::harness::watch::{Transport, Watching};
use crate::harness::{Authority, Caller, Cluster, Session, blitz, with};

/// No limit but one: so many a minute, so many at once.
fn only(class: &'static str, rate: &'static str) -> impl FnOnce(&mut Config) {
    move |config| {
        let mut limits = RateLimits { refused_token: None, ..RateLimits::default() };
        let field = match class {
            "read" => &mut limits.read,
            "command" => &mut limits.command,
            "connect" => &mut limits.connect,
            _ => &mut limits.bulk,
        };
        *field = Some(rate.parse().unwrap());
        config.rate_limits = limits;
    }
}

async fn limited(class: &'static str, rate: &'static str) -> Cluster {
    Cluster::of(1).with(only(class, rate)).start().await
}

/// A caller of its own: the session was made by another.
fn ann(cluster: &Cluster) -> Caller {
    cluster.caller(0).claiming(&with(claims(TENANT, "operator"), json!({"sub": "ann"})))
}

fn is_rate_limited(answer: &Answer) -> bool {
    answer.status == 429
}

/// A refusal says what is allowed, and when to come back.
pub fn check_refusal(answer: &Answer, policy: &str) {
    assert_eq!((answer.status, answer.code()), (429, "rate_limited"), "{}", answer.body);
    assert_eq!(answer.header("ratelimit-policy"), policy);
    assert!(answer.header("ratelimit").contains(";r=0;t="), "{}", answer.header("ratelimit"));
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert!(answer.body["retry_after_ms"].as_u64().unwrap() > 0);
    assert!(answer.body["detail"].as_str().unwrap().contains("are allowed"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_counted_and_answers_say_where_their_caller_stands() {
    let cluster = limited("read", "60/min,burst=3").await;
    let session = cluster.caller(0).running(blitz()).await;
    let ann = ann(&cluster);
    for left in [2, 1, 0] {
        let answer = ann.get(session.path()).await.expect(200);
        assert_eq!(answer.header("ratelimit-policy"), "\"read\";q=60;w=60");
        assert_eq!(answer.header("ratelimit"), format!("\"read\";r={left};t={}", 3 - left));
    }
    check_refusal(&ann.get(session.path()).await, "\"read\";q=60;w=60");
    // Another class, another caller, and whoever asks whether it lives.
    ann.command(&session, "switch").await;
    cluster.caller(0).get(session.path()).await.expect(200);
    for _ in 0..20 {
        ann.get("/health").await.expect(200);
        ann.get("/ready").await.expect(200);
    }
    cluster.clock().advance_ms(1_000);
    ann.get(session.path()).await.expect(200);
    check_refusal(&ann.get(format!("{}/at?time=2026-01-01T00:00:00Z", session.path())).await, "\"read\";q=60;w=60");
    // What could not be let in was counted as well.
    cluster.clock().advance_ms(3_000);
    for _ in 0..3 {
        ann.get("/v1/sessions/nothing").await.expect(404);
    }
    assert!(is_rate_limited(&ann.get(session.path()).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_counted_over_rest_in_batches_and_on_sockets() {
    let cluster = limited("command", "60/min,burst=8").await;
    let session = cluster.caller(0).running(blitz()).await;
    let ann = ann(&cluster);
    let switch = json!({"session_id": session.id, "command": "switch"});
    ann.command(&session, "switch").await;
    let batch = json!({"commands": [switch, switch, switch]});
    ann.post("/v1/sessions/batch", batch.clone()).await.expect(200);
    let mut socket = Watching::of(ann.clone(), &session).over(Transport::WebSocket).await;
    let command = json!({"type": "COMMAND", "command": "switch"});
    for _ in 0..4 {
        assert_eq!(socket.ask(command.clone()).await["type"], "ACK");
    }
    let refused = socket.ask(command.clone()).await;
    assert_eq!((&refused["type"], &refused["payload"]["code"]), (&json!("ERROR"), &json!("rate_limited")));
    assert!(refused["payload"]["retry_after_ms"].as_u64().is_some_and(|ms| ms >= 50), "{refused}");
    check_refusal(&ann.command_with(&session, "switch", json!({})).await, "\"command\";q=60;w=60");
    check_refusal(&ann.post("/v1/sessions", blitz()).await, "\"command\";q=60;w=60");
    check_refusal(&ann.post(format!("{}/tokens", session.path()), json!({})).await, "\"command\";q=60;w=60");
    assert!(is_rate_limited(&ann.asking(Method::DELETE, session.path()).send().await));
    assert!(is_rate_limited(&ann.post("/v1/sessions/batch", batch).await), "as a whole");
    assert_eq!(cluster.caller(0).get(session.path()).await.version(), 10, "nothing of it was done");
    // The stream stays, and goes on.
    cluster.clock().advance_ms(1_000);
    assert_eq!(socket.ask(command).await["type"], "ACK");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_read_count_as_reads() {
    let cluster = limited("read", "60/min,burst=4").await;
    let session = cluster.caller(0).running(blitz()).await;
    let mut socket = Watching::many(ann(&cluster)).over(Transport::WebSocket).await;
    let about = |kind: &str| json!({"type": kind, "session_id": session.id, "last_known_version": 1});
    let ping = json!({"type": "PING", "timestamp": 1});
    assert_eq!(socket.ask(json!({"type": "SUBSCRIBE", "session_id": session.id})).await["type"], "ACK");
    assert_eq!(socket.ask(about("RECONNECT")).await["type"], "RECONNECT_ACK");
    assert_eq!(socket.ask(ping.clone()).await["type"], "PONG");
    assert_eq!(socket.ask(json!({"type": "UNSUBSCRIBE", "session_id": session.id})).await["type"], "ACK");
    let mut frames = vec![ping.clone(), about("RECONNECT")];
    frames.extend(["SUBSCRIBE", "UNSUBSCRIBE"].map(|kind| json!({"type": kind, "session_id": session.id})));
    for frame in frames {
        assert_eq!(socket.ask(frame.clone()).await["payload"]["code"], "rate_limited", "{frame}");
    }
    cluster.clock().advance_ms(1_000);
    assert_eq!(socket.ask(ping).await["type"], "PONG", "the stream stays");
}

/// Asks again what was asked, on the same connection, from where the answer got to.
async fn poll_again(connection: &mut KeepAliveConnection, session: &Session, since: &str) -> RawResponse {
    let authorization = format!("Bearer {}", signed(&with(claims(TENANT, "viewer"), json!({"sub": "poller"}))));
    connection.ask(&format!("{}/poll?since={since}&timeout_ms=60000", session.path()), &authorization, "").await;
    connection.answer().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_is_repeated_on_its_connection_counts_each_time() {
    let cluster = limited("read", "60/min,burst=3").await;
    let operator = cluster.caller(0);
    let session = operator.running(blitz()).await;
    let mut connection = KeepAliveConnection::open(operator.address()).await;
    let mut since = "1-1".to_owned();
    for _ in 0..3 {
        let answer = poll_again(&mut connection, &session, &since).await;
        assert_eq!((answer.status, answer.header("ratelimit")), (200, ""), "it would be another's turn");
        since = answer.json()["position"].as_str().unwrap().to_owned();
        operator.command(&session, "switch").await;
    }
    let refused = poll_again(&mut connection, &session, &since).await;
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("rate_limited")));
    assert!(refused.header("ratelimit").starts_with("\"read\";r=0"), "{refused:?}");
    cluster.clock().advance_ms(1_000);
    assert_eq!(poll_again(&mut connection, &session, &since).await.status, 200, "the connection stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_counts_as_a_connect_and_each_session_it_names_as_a_read() {
    let cluster = limited("connect", "60/min,burst=2").await;
    let session = cluster.caller(0).running(blitz()).await;
    let ann_of_connects = ann(&cluster);
    let _socket = Watching::of(ann_of_connects.clone(), &session).over(Transport::WebSocket).await;
    let events = ann_of_connects.asking(Method::GET, format!("{}/events", session.path())).begin().await;
    assert_eq!(events.status(), 200);
    for path in [format!("{}/ws", session.path()), "/v1/ws".to_owned(), session.path(), "/v1/status/ws".to_owned()] {
        let refused = Watching::at(ann_of_connects.clone(), &path).attempt(Transport::WebSocket).await;
        assert_eq!(refused.err(), Some(429), "{path}");
    }
    for path in [format!("{}/events", session.path()), format!("/v1/events?sessions={}", session.id)] {
        check_refusal(&ann_of_connects.get(path).await, "\"connect\";q=60;w=60");
    }
    ann_of_connects.get(session.path()).await.expect(200);

    let cluster = limited("read", "60/min,burst=5").await;
    let ann = ann(&cluster);
    let names = |count: usize| (0..count).map(|number| format!("s{number}")).collect::<Vec<_>>().join(",");
    let begin = async |count: usize| {
        ann.asking(Method::GET, format!("/v1/events?sessions={}", names(count))).begin().await.status().as_u16()
    };
    assert_ne!(begin(4).await, 429);
    assert_eq!(begin(2).await, 429);
    assert_ne!(begin(1).await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_counts_by_its_rows_and_a_batch_once() {
    let cluster = limited("bulk", "60/min,burst=12").await;
    let session = cluster.caller(0).running(blitz()).await;
    let ann = ann(&cluster);
    ann.get("/v1/sessions?limit=1000").await.expect(200);
    ann.get(format!("{}/history", session.path())).await.expect(200);
    ann.post("/v1/sessions/batch", json!({"commands": []})).await.expect(200);
    for path in ["/v1/sessions".to_owned(), format!("{}/history", session.path())] {
        check_refusal(&ann.get(path).await, "\"bulk\";q=60;w=60");
    }
    assert!(is_rate_limited(&ann.post("/v1/sessions/batch", json!({"commands": []})).await));
    ann.get(session.path()).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_on_gets_half_until_quiet_for_a_minute() {
    let cluster = limited("read", "60/min,burst=8").await;
    let session = cluster.caller(0).running(blitz()).await;
    let ann = ann(&cluster);
    let passed = async |tries: usize| {
        let mut passed = 0;
        for _ in 0..tries {
            passed += usize::from(!is_rate_limited(&ann.get(session.path()).await));
        }
        passed
    };
    assert_eq!(passed(8 + 10).await, 8);
    cluster.clock().advance_ms(8_000);
    assert_eq!(passed(4).await, 4, "each counts twice");
    assert_eq!(passed(1).await, 0);
    cluster.clock().advance_ms(60_000);
    assert_eq!(passed(9).await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_token_count_by_address() {
    let cluster = limited("read", "60/min,burst=2").await;
    let anybody = cluster.caller(0).being(Authority::Anonymous);
    // A header of whoever is no trusted proxy is a claim.
    let time = async |forwarded: &str| {
        anybody.asking(Method::GET, "/v1/time").header("x-forwarded-for", forwarded).send().await.status
    };
    assert_eq!([time("1.1.1.1").await, time("2.2.2.2").await, time("3.3.3.3").await], [200, 200, 429]);
    assert!(is_rate_limited(&anybody.post("/v1/time", json!({"origin_ms": 1})).await));
    assert!(is_rate_limited(&anybody.post("/v1/timesync", json!({"id": 1, "method": "timesync"})).await));
    ann(&cluster).get("/v1/sessions").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_each_client_has_its_own_address() {
    let trusting = |config: &mut Config| {
        only("read", "60/min,burst=1")(config);
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    };
    let cluster = Cluster::of(1).with(trusting).start().await;
    let anybody = cluster.caller(0).being(Authority::Anonymous);
    let time = async |name: &'static str, value: &str| {
        anybody.asking(Method::GET, "/v1/time").header(name, value).send().await.status
    };
    for (name, value, expected) in [
        ("x-forwarded-for", "203.0.113.1", 200),
        ("x-forwarded-for", "203.0.113.1", 429),
        // What stands before it is its own claim; what stands behind are proxies.
        ("x-forwarded-for", "9.9.9.9, 203.0.113.1", 429),
        ("x-forwarded-for", "203.0.113.1, 10.0.0.3", 429),
        ("forwarded", "for=203.0.113.1", 429),
        ("x-forwarded-for", "203.0.113.2", 200),
        ("x-forwarded-for", "2001:db8::1", 200),
        ("x-forwarded-for", "2001:db8::2:1", 429),
        ("forwarded", "for=\"[2001:db8:0:1::1]\"", 200),
        // Garbage is the proxy's own address.
        ("x-forwarded-for", "garbage", 200),
        ("x-forwarded-for", "unknown", 429),
        ("forwarded", "for=_hidden", 429),
    ] {
        assert_eq!(time(name, value).await, expected, "{name}: {value}");
    }
    // Two principals behind one proxy have a bucket each.
    let session = cluster.caller(0).create(blitz()).await;
    for subject in ["p", "q"] {
        let caller = cluster.caller(0).claiming(&with(claims(TENANT, "viewer"), json!({"sub": subject})));
        caller.get(session.path()).await.expect(200);
        assert!(is_rate_limited(&caller.get(session.path()).await));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_an_http_2_connection_counts() {
    let cluster = limited("read", "60/min,burst=5").await;
    let session = cluster.caller(0).create(blitz()).await;
    let ann = ann(&cluster).over_http2();
    let answers = join_all((0..20).map(|_| ann.get(session.path()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 5);
    assert_eq!(answers.iter().filter(|answer| is_rate_limited(answer)).count(), 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_open_mode_callers_count_by_address() {
    let cluster = Cluster::of(1).open().with(only("command", "60/min,burst=2")).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    assert!(is_rate_limited(&caller.command_with(&session, "switch", json!({})).await));
    let mut socket = Watching::of(caller, &session).over(Transport::WebSocket).await;
    let refused = socket.ask(json!({"type": "COMMAND", "command": "switch"})).await;
    assert_eq!(refused["payload"]["code"], "rate_limited");
}
