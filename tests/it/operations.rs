//! What operators ask: health, readiness, metrics; and what every answer has in common.

use http::Method;
use serde_json::{Value, json};
use synckairos::telemetry::metrics::METRICS;

use crate::harness::watch::{Transport, Watching};
use crate::harness::{Authority, Cluster, blitz, eventually, with};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_alive_and_ready_without_a_token() {
    let cluster = Cluster::of(1).start().await;
    let anyone = cluster.caller(0).being(Authority::Anonymous);
    assert_eq!(anyone.get("/health").await.expect(200).body, json!({"status": "alive"}));
    let ready = json!({"status": "ready", "store": true, "ledger": true, "uncertainty_ms": 0.0, "draining": false});
    assert_eq!(anyone.get("/ready").await.expect(200).body, ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_is_the_clusters_and_costs_no_token() {
    let cluster = Cluster::of(2).start().await;
    cluster.clock().advance_ms(1_500);
    let anyone = cluster.caller(1).being(Authority::Anonymous);
    for path in ["/v1/time", "/api/v1/time", "/api/time"] {
        let told = anyone.get(path).await.expect(200);
        assert_eq!(told.header("cache-control"), "no-store");
        let expected = json!({
            "timestamp_ms": 1_767_225_601_500.0, "timestamp": "2026-01-01T00:00:01.500Z", "uncertainty_ms": 0.0,
            "source": "manual", "utc_offset_ms": null,
        });
        assert_eq!(told.body, expected);
        let exchanged = anyone.post(path, json!({"origin_ms": 12.25})).await.expect(200).body;
        assert_eq!((&exchanged["origin_ms"], &exchanged["receive_ms"]), (&json!(12.25), &json!(1_767_225_601_500.0)));
        assert!(exchanged["transmit_ms"].as_f64() >= exchanged["receive_ms"].as_f64());
    }
    for bad in [json!({}), json!({"origin_ms": "now"}), json!({"origin_ms": null}), json!({"origin_ms": 1, "more": 1})]
    {
        anyone.post("/v1/time", bad).await.expect(422).refused("invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timesync_package_is_answered_as_it_expects() {
    let cluster = Cluster::of(2).start().await;
    cluster.clock().advance_ms(1_500);
    let anyone = cluster.caller(1).being(Authority::Anonymous);
    for path in ["/v1/timesync", "/api/v1/timesync", "/api/timesync"] {
        for id in [json!(7), json!("a-7"), json!(0.5)] {
            let call = json!({"jsonrpc": "2.0", "id": id, "method": "timesync"});
            let told = anyone.post(path, call).await.expect(200);
            assert_eq!(told.header("cache-control"), "no-store");
            assert_eq!(told.body, json!({"jsonrpc": "2.0", "id": id, "result": 1_767_225_601_500.0}));
        }
    }
    let with_parameters = json!({"id": 1, "method": "timesync", "params": {"any": []}});
    anyone.post("/v1/timesync", with_parameters).await.expect(200);
    for (bad, pointer) in [
        (json!({}), ""),
        (json!({"id": 1}), ""),
        (json!({"id": 1, "method": "time"}), "/method"),
        (json!({"id": null, "method": "timesync"}), "/id"),
        (json!({"id": [1], "method": "timesync"}), "/id"),
        (json!({"id": "x".repeat(129), "method": "timesync"}), "/id"),
        (json!({"id": 1, "method": "timesync", "jsonrpc": "1.0"}), "/jsonrpc"),
        (json!({"id": 1, "method": "timesync", "more": 1}), "/more"),
    ] {
        let refused = anyone.post("/v1/timesync", bad).await.expect(422);
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.body);
        refused.refused("invalid");
    }
    let long = json!({"id": 1, "method": "timesync", "params": "x".repeat(4_096)});
    for path in ["/v1/timesync", "/v1/time", "/api/time"] {
        let refused = anyone.post(path, long.clone()).await.expect(413);
        assert_eq!(refused.body["detail"], "the body must be at most 4096 bytes here");
        refused.refused("too_large");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_clock_goes_on_and_says_its_source() {
    let cluster = Cluster::of(1).in_real_time().start().await;
    let told = async || cluster.caller(0).get("/v1/time").await.expect(200).body;
    let (one, two) = (told().await, told().await);
    assert!(two["timestamp_ms"].as_f64() > one["timestamp_ms"].as_f64());
    assert_eq!(one["source"], if cluster.backends().redis().is_some() { "redis" } else { "system" });
}

#[tokio::test(flavor = "multi_thread")]
async fn each_path_begins_with_any_of_three() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    for base in ["/v1", "/api/v1", "/api"] {
        let made = caller.post(format!("{base}/sessions"), blitz()).await.expect(201);
        let id = made.body["session_id"].as_str().unwrap();
        assert_eq!(made.header("location"), format!("/v1/sessions/{id}"));
        caller.post(format!("{base}/sessions/{id}/start"), json!({})).await.expect(200);
        assert_eq!(caller.get(format!("{base}/sessions/{id}")).await.expect(200).version(), 2);
        caller.get(format!("{base}/sessions/{id}/history")).await.expect(200);
        caller.get(format!("{base}/sessions")).await.expect(200);
        caller.post(format!("{base}/sessions/batch"), json!({"commands": []})).await.expect(200);
        let deleted = caller.asking(Method::DELETE, format!("{base}/sessions/{id}")).send().await;
        deleted.expect(204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_kibibyte_is_compressed_on_request() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(with(blitz(), json!({"metadata": {"notes": "x".repeat(4_000)}}))).await;
    let asked = async |path: String, encoding: &str| {
        caller.asking(Method::GET, path).header("accept-encoding", encoding).send().await
    };
    let plain = asked(session.path(), "identity").await.expect(200);
    let small = asked(session.path(), "gzip").await.expect(200);
    assert_eq!((plain.header("content-encoding"), small.header("content-encoding")), ("", "gzip"));
    assert!(small.bytes.starts_with(&[0x1f, 0x8b]) && small.bytes.len() < plain.bytes.len() / 2);
    // Gzip ends with the length of what it holds.
    let length = u32::from_le_bytes(*small.bytes.last_chunk().unwrap());
    assert_eq!(length as usize, plain.bytes.len());
    assert_eq!(asked("/health".into(), "gzip").await.header("content-encoding"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_bring_its_own_name() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let named = async |id: &str| caller.asking(Method::GET, "/v1/nothing").header("x-request-id", id).send().await;
    assert_eq!(named("trace-7.a:b").await.header("x-request-id"), "trace-7.a:b");
    for unfit in ["two words", &"x".repeat(65), "\u{e9}", "a=b"] {
        let answer = named(unfit).await.expect(404);
        assert!(!answer.header("x-request-id").is_empty() && answer.header("x-request-id") != unfit, "{unfit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_told_apart_from_requests_and_name_no_session() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(with(blitz(), json!({"session_id": "very-own-name"}))).await;
    caller.command_with(&session, "resume", json!({})).await.expect(409);
    caller.get("/v1/nothing-of-this-kind").await.expect(404);
    cluster.clock().advance_ms(60_000);
    eventually("an expiry in the ledger", async || {
        let listed = caller.get("/v1/sessions?status=expired").await.body;
        (listed["sessions"] != json!([])).then_some(())
    })
    .await;
    caller.get("/metrics").await.expect(404);
    let scraped = caller.scrape(cluster.instance(0).metrics_address).await;
    // A metric with labels shows once something was counted; here nobody watched, was turned away or attacked,
    // and no other clock was asked.
    let silent = [
        "frames",
        "subscribers",
        "snapshots_skipped",
        "stream_closes",
        "rate_limited",
        "breaker",
        "clock_exchanges",
        "anomalies",
        "security_events_total",
    ];
    let is_told = |name: &str| silent.iter().all(|of| !name.contains(of));
    for metric in METRICS.iter().filter(|metric| is_told(metric.name)) {
        assert!(scraped.contains(&format!("# TYPE {} ", metric.name)), "{} in {scraped}", metric.name);
    }
    for line in [
        "synckairos_commands_total{command=\"start\",outcome=\"applied\"}",
        "synckairos_commands_total{command=\"resume\",outcome=\"refused\"}",
        "synckairos_http_request_duration_seconds_count{route=\"/v1/sessions/{id}/{command}\",method=\"POST\",status_class=\"4xx\"}",
        "synckairos_http_request_duration_seconds_count{route=\"unmatched\",method=\"GET\",status_class=\"4xx\"}",
        "synckairos_deadline_lateness_seconds_count",
        "synckairos_audit_jobs_total{outcome=\"recorded\"}",
    ] {
        assert!(scraped.contains(line), "{line} in {scraped}");
    }
    for secret in ["very-own-name", "acme", "a-operator", "nothing-of-this-kind"] {
        assert!(!scraped.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_and_clones_are_counted_but_repeats_are_not() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let keyed = async |path: &str, body: Value| caller.asking(Method::POST, path).key(path).json(&body).send().await;
    for _ in 0..3 {
        keyed("/v1/sessions", with(blitz(), json!({"session_id": "a"}))).await.expect(201);
        keyed("/v1/sessions/a/start", json!({})).await.expect(200);
        keyed("/v1/sessions/a/clone", json!({"session_id": "b"})).await.expect(201);
    }
    caller.post("/v1/sessions", with(blitz(), json!({"session_id": "a"}))).await.expect(409);
    caller.post("/v1/sessions/nobody/clone", json!({})).await.expect(404);
    // The caller's own fault: it is no sign of contention.
    let outdated = caller.asking(Method::POST, "/v1/sessions/a/resume").header("if-match", "W/\"1-1\"");
    outdated.json(&json!({})).send().await.expect(409);
    let pause = json!({"session_id": "a", "command": "pause", "idempotency_key": "p"});
    let clone = json!({"session_id": "a", "command": "clone", "new_session_id": "c", "idempotency_key": "c"});
    for _ in 0..2 {
        caller.post("/v1/sessions/batch", json!({"commands": [pause, clone]})).await.expect(200);
    }
    let mut socket = Watching::many(cluster.caller(0)).over(Transport::WebSocket).await;
    for _ in 0..2 {
        let frame = json!({"type": "COMMAND", "session_id": "a", "command": "clone", "new_session_id": "d", "idempotency_key": "d"});
        socket.ask(frame).await;
    }
    let scraped = caller.scrape(cluster.instance(0).metrics_address).await;
    for (command, outcome, times) in [
        ("create", "applied", 1),
        ("create", "replayed", 2),
        ("create", "refused", 1),
        ("start", "applied", 1),
        ("start", "replayed", 2),
        ("clone", "applied", 3),
        ("clone", "replayed", 4),
        ("clone", "refused", 1),
        ("pause", "applied", 1),
        ("pause", "replayed", 1),
        ("resume", "refused", 1),
    ] {
        let line = format!("synckairos_commands_total{{command=\"{command}\",outcome=\"{outcome}\"}} {times}");
        assert!(scraped.lines().any(|told| told == line), "{line} in {scraped}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_are_measured_and_samples_sorted_without_scrapes() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let mut watcher = cluster.watch(0, &session).over(Transport::WebSocket).await;
    watcher.until("STATE_SYNC").await;
    let address = cluster.instance(0).metrics_address;
    eventually("how full each is", async || {
        let scraped = caller.scrape(address).await;
        let is_told = |cache: &str, entries: &str| {
            scraped.contains(&format!("synckairos_cache_entries{{cache=\"{cache}\"}} {entries}"))
        };
        let is_full = is_told("sessions", "1") && is_told("topics", "1") && is_told("tokens", "");
        (is_full && is_told("unknown_ids", "") && is_told("warnings", "")).then_some(())
    })
    .await;
    assert!(cluster.instance(0).front.running().contains(&"metrics upkeep"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_instance_says_so_and_finishes_its_requests() {
    let cluster = Cluster::of(2).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    // A connection of its own: the pool would notice the end and open another.
    let mut held = crate::harness::raw::RawConnection::open(caller.address()).await;
    held.send(
        b"POST /v1/time HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\
        expect: 100-continue\r\n\r\n",
    )
    .await;
    // The server says so once it has read the head and wants the body.
    held.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    held.send(b"{\"origin_").await;
    cluster.instance(0).front.begin();
    held.send(b"ms\":1").await;
    held.send(b"}").await;
    let rest = held.until_closed().await;
    assert!(rest.starts_with("HTTP/1.1 200") && rest.contains("\"origin_ms\":1.0"), "{rest}");
    assert_eq!(cluster.caller(1).command(&session, "switch").await.version(), 3);
}

#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "did not stop by themselves: stubborn")]
async fn a_task_that_is_left_over_fails_its_test() {
    let cluster = Cluster::of(1).start().await;
    cluster.instance(0).front.spawn("stubborn", std::future::pending());
}

#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "tasks of an instance panicked: 1")]
async fn a_panic_that_was_caught_fails_its_test() {
    let cluster = Cluster::of(1).start().await;
    cluster.instance(0).front.spawn("clumsy", async { panic!("on purpose") });
}
