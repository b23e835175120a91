//! What a connection may do, with a token and without: deadlines, room for others, one host.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use http::Method;
use synckairos::config::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::process::Host;
use crate::harness::raw::{KeepAliveConnection, RawConnection};
use crate::harness::watch::Transport;
use crate::harness::{Cluster, WAIT_TIMEOUT, blitz, eventually, soon};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Deadlines that a test can wait for, and an honest request keeps on a busy machine.
fn short(config: &mut Config) {
    let timers = &mut config.timers;
    timers.request_head = Duration::from_secs(1);
    timers.request_body = Duration::from_secs(1);
    timers.idle = Duration::from_secs(2);
    timers.write_wait = Duration::from_secs(1);
}

/// Sends `begin`, then `drip` every 100 ms; gives what was answered until the other side closed.
async fn until_closed(address: SocketAddr, begin: &[u8], drip: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(begin).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let dripping = async {
        let mut every = tokio::time::interval(Duration::from_millis(100));
        loop {
            every.tick().await;
            // Reading notices a connection that the client has closed.
            let _ = write.write_all(drip).await;
        }
    };
    let mut answer = Vec::new();
    let what = format!("the end of {:?}", String::from_utf8_lossy(&begin[..begin.len().min(60)]));
    tokio::select! {
        _ = soon(&what, read.read_to_end(&mut answer)) => {}
        () = dripping => {}
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// What a request is answered with that closes its connection.
async fn answer_to(address: SocketAddr, request: &[u8]) -> String {
    let mut held = RawConnection::open(address).await;
    held.send(request).await;
    held.until_closed().await
}

/// Waits until a scrape has that line.
async fn until_told(cluster: &Cluster, line: &str) {
    eventually(line, async || {
        let scrape = cluster.caller(0).scrape(cluster.instance(0).metrics_address).await;
        scrape.lines().any(|each| each == line).then_some(())
    })
    .await;
}

async fn silent(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    join_all((0..count).map(|_| async move { TcpStream::connect(address).await.unwrap() })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_head_has_a_deadline_on_both_listeners() {
    let cluster = Cluster::of(1).with(short).start().await;
    let (requests, metrics) = (cluster.instance(0).address, cluster.instance(0).metrics_address);
    let heads: [(&[u8], &[u8]); 6] = [
        (b"", b""),
        (b"GET /hea", b""),
        (b"GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ", b"y"),
        (b"PRI", b""),
        (b"PRI * HTTP/2.0", b""),
        (PREFACE, b""),
    ];
    let each = heads.into_iter().flat_map(|head| [(requests, head), (metrics, head)]);
    join_all(each.map(|(address, (begin, drip))| until_closed(address, begin, drip))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_head_on_a_connection_has_a_deadline_too() {
    let cluster = Cluster::of(1).with(short).start().await;
    let first = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /hea".as_slice();
    let answer = until_closed(cluster.instance(0).address, first, b"x").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.matches("HTTP/1.1").count() == 1, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_ends_at_its_deadline() {
    let cluster = Cluster::of(1).with(short).start().await;
    let (requests, metrics) = (cluster.instance(0).address, cluster.instance(0).metrics_address);
    let authorization = Host::authorization();
    let head = |path: &str, more: &str| format!("POST {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n\r\n");
    let long = "content-type: application/json\r\ncontent-length: 65000";
    let bodies = [
        (requests, head("/v1/time", long), " "),
        (requests, head("/v1/timesync", long), " "),
        (requests, head("/v1/time", "transfer-encoding: chunked"), "1\r\n \r\n"),
        (requests, head("/v1/sessions", &format!("{long}\r\nauthorization: {authorization}")), " "),
        (requests, head("/v1/nothing", long), " "),
        (metrics, head("/metrics", long), " "),
    ];
    let ends = bodies.iter().map(|(address, head, drip)| until_closed(*address, head.as_bytes(), drip.as_bytes()));
    for (answer, (_, head, _)) in join_all(ends).await.iter().zip(&bodies) {
        assert!(!answer.contains("HTTP/1.1 2"), "{head} {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_length_is_judged_before_the_body_comes() {
    let cluster = Cluster::of(1).start().await;
    for more in ["content-length: 1000000000", "content-length: 70000\r\nexpect: 100-continue"] {
        let mut held = RawConnection::open(cluster.instance(0).address).await;
        let head = format!("POST /v1/time HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{more}\r\n\r\n");
        held.send(head.as_bytes()).await;
        let answer = held.until_closed().await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"too_large\""), "{more}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_over_http1_and_http2() {
    let cluster = Cluster::of(1).with(short).start().await;
    let caller = cluster.caller(0);
    let mut kept = KeepAliveConnection::open(caller.address()).await;
    assert_eq!(kept.answer_to("/health").await.unwrap().status, 200);
    let over_http2 = caller.over_http2();
    over_http2.get("/health").await.expect(200);
    until_told(&cluster, "synckairos_connections{listener=\"requests\"} 0").await;
    assert!(soon("the end", kept.answer()).await.is_none());
    over_http2.get("/health").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_without_tokens_shuts_nobody_out() {
    let limits = |config: &mut Config| {
        (config.max_connections, config.max_unauthenticated) = (Some(64), Some(16));
        // Watchers that do not read for a while are no part of this.
        config.timers.pong_wait = WAIT_TIMEOUT * 10;
    };
    let cluster = Cluster::of(1).with(limits).start().await;
    let (caller, metrics) = (cluster.caller(0), cluster.instance(0).metrics_address);
    let session = caller.running(blitz()).await;
    let mut watchers = Vec::new();
    for _ in 0..12 {
        watchers.push(cluster.watch(0, &session).over(Transport::WebSocket).await);
    }
    let floods = (silent(caller.address(), 300).await, silent(metrics, 300).await);
    for _ in 0..3 {
        let ready = answer_to(caller.address(), b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    }
    let scrape = answer_to(metrics, b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(
        scrape.contains("synckairos_connections_dropped_total{listener=\"requests\",reason=\"limit\"} 2"),
        "{scrape}"
    );
    caller.command(&session, "switch").await;
    for watcher in &mut watchers {
        watcher.until_version(3).await;
    }
    drop(floods);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_with_tokens_leave_room_for_health_checks() {
    let cluster = Cluster::of(1).with(|config| config.max_connections = Some(16)).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let mut kept = Vec::new();
    for _ in 0..15 {
        let mut each = KeepAliveConnection::open(caller.address()).await;
        each.ask(&session.path(), &Host::authorization(), "").await;
        assert_eq!(soon("an answer", each.answer()).await.unwrap().status, 200);
        kept.push(each);
    }
    assert_eq!(cluster.watch(0, &session).over(Transport::WebSocket).await.until_closed().await, 4008);
    let mut another = KeepAliveConnection::open(caller.address()).await;
    another.ask(&format!("{}/events", session.path()), &Host::authorization(), "").await;
    assert_eq!(soon("an answer", another.answer()).await.unwrap().status, 429);
    let health = answer_to(caller.address(), b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
}

/// What a scrape tells of that metric.
fn told(scraped: &str, metric: &str) -> u64 {
    let line = scraped.lines().find_map(|line| line.strip_prefix(metric)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("{metric} in {scraped}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_descriptor_limit_is_raised_and_a_low_one_is_logged() {
    let host = Host::new().with_descriptors_at_first(256);
    let process = host.serve().await;
    let scraped = host.scrape().await;
    let given =
        rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.map_or(1 << 20, |most| most.min(1 << 20));
    assert_eq!(told(&scraped, "process_max_fds"), given, "{scraped}");
    assert!((10..256).contains(&told(&scraped, "process_open_fds")), "{scraped}");
    assert!(!process.log().contains("file descriptors"), "{}", process.log());
    assert!(process.terminate().await.success());
    let host = Host::new().with_descriptors(256);
    let process = host.serve().await;
    assert!(
        process.log().contains("leaves room for few connections connections=192 descriptors=256"),
        "{}",
        process.log()
    );
    assert!(process.terminate().await.success());
    let host = Host::new().with_descriptors(256).with("MAX_CONNECTIONS", "5000");
    let process = host.serve().await;
    assert!(process.log().contains("too low for MAX_CONNECTIONS"), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_never_use_up_the_descriptors() {
    let host = Host::new().with_descriptors(100);
    let process = host.serve().await;
    let flood = silent(host.address(), 150).await;
    host.caller().get("/ready").await.expect(200);
    let session = host.caller().running(blitz()).await;
    assert_eq!(host.caller().command(&session, "switch").await.version(), 3);
    let scrape = host.scrape().await;
    assert!(scrape.contains("synckairos_connections_dropped_total{listener=\"requests\",reason=\"descriptors\"} 0"));
    assert_eq!(process.log().matches("connections were dropped").count(), 1, "{}", process.log());
    drop(flood);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host() {
    let cluster = Cluster::of(1).start().await;
    let (requests, metrics) = (cluster.instance(0).address, cluster.instance(0).metrics_address);
    for (address, path) in [(requests, "/health"), (metrics, "/metrics")] {
        for (target, version, hosts, status) in [
            (path.to_owned(), "1.1", "host: x\r\n", 200),
            (path.to_owned(), "1.1", "", 400),
            (path.to_owned(), "1.1", "host: x\r\nhost: x\r\n", 400),
            (path.to_owned(), "1.1", "host: x\r\nhost: y\r\n", 400),
            (path.to_owned(), "1.1", "host: \r\n", 400),
            (path.to_owned(), "1.1", "host: a b\r\n", 400),
            (path.to_owned(), "1.0", "", 200),
            (path.to_owned(), "1.0", "host: x\r\nhost: x\r\n", 400),
            (format!("http://x{path}"), "1.1", "host: x\r\n", 200),
            (format!("http://x{path}"), "1.1", "", 400),
        ] {
            let request = format!("GET {target} HTTP/{version}\r\n{hosts}connection: close\r\n\r\n");
            let answer = answer_to(address, request.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/{version} {status}")), "{request} {answer}");
        }
    }
    let open = Cluster::of(1).open().start().await;
    // The target counts, not the header beside it (RFC 9112, section 3.2.2).
    let request = b"GET http://rebound.example/v1/sessions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
    let answer = answer_to(open.instance(0).address, request).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_no_page_s_to_read() {
    let cluster = Cluster::of(1).with(|config| config.metrics_hosts = vec!["m.example".to_owned()]).start().await;
    for (headers, status) in [
        ("host: 127.0.0.1:9464", 200),
        ("host: m.example", 200),
        ("host: rebound.example", 403),
        ("host: 127.0.0.1\r\norigin: http://evil.example", 403),
        ("host: 127.0.0.1\r\nsec-fetch-site: cross-site", 403),
    ] {
        let request = format!("GET /metrics HTTP/1.1\r\n{headers}\r\nconnection: close\r\n\r\n");
        let answer = answer_to(cluster.instance(0).metrics_address, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers} {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_no_answers_is_closed() {
    let cluster = Cluster::of(1).with(short).start().await;
    let caller = cluster.caller(0);
    let mut greedy = TcpStream::connect(caller.address()).await.unwrap();
    let request = b"GET /openapi-that-is-not-there HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000);
    // Until neither side takes any more.
    while timeout(Duration::from_millis(500), greedy.write_all(&request)).await.is_ok_and(|sent| sent.is_ok()) {}
    let dropped = "synckairos_connections_dropped_total{listener=\"requests\",reason=\"write\"} 1";
    timeout(WAIT_TIMEOUT * 2, until_told(&cluster, dropped)).await.unwrap();
    caller.asking(Method::GET, "/health").send().await.expect(200);
}
