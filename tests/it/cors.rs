//! Pages of other origins: which may call, what they may send and read, and that others get nothing.

use std::collections::BTreeSet;

use http::{HeaderMap, Method};
use serde_json::json;
use testkit::golden;

use crate::harness::process::Host;
use crate::harness::raw::{KeepAliveConnection, RawResponse};
use crate::harness::token::{claims, signed};
use crate::harness::watch::{Transport, Watching};
use crate::harness::{Authority, Caller, Cluster, Session, blitz, eventually, soon, with};

const APP: &str = "http://localhost:5173";
const EVIL: &str = "https://evil.example";

/// Response headers that every page may read, by the Fetch standard.
const SAFELISTED: &[&str] =
    &["cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma"];

/// Response headers that are for browsers and proxies, not for the code of a page.
const FOR_BROWSERS: &[&str] = &[
    "access-control-allow-origin",
    "access-control-expose-headers",
    "connection",
    "content-encoding",
    "content-security-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "date",
    "referrer-policy",
    "transfer-encoding",
    "vary",
    "x-accel-buffering",
    "x-content-type-options",
];

/// One instance with a key, or without one, that lists [`APP`] and another origin.
async fn listing(is_open: bool) -> Cluster {
    let plan = Cluster::of(1).with(|config| config.cors_origins = vec!["https://app.example.com".into(), APP.into()]);
    let plan = if is_open { plan.open() } else { plan };
    plan.start().await
}

fn words(headers: &HeaderMap, name: &str) -> BTreeSet<String> {
    let values = headers.get_all(name).into_iter().map(|value| value.to_str().unwrap());
    values.flat_map(|value| value.split(',')).map(|word| word.trim().to_ascii_lowercase()).collect()
}

/// A page of `APP` may read the answer and each of its headers; what is kept of it is kept for that origin.
#[track_caller]
fn assert_readable(headers: &HeaderMap, what: &str) {
    let allowed: Vec<_> = headers.get_all("access-control-allow-origin").into_iter().collect();
    assert_eq!(allowed, [APP], "{what}");
    assert!(words(headers, "vary").contains("origin"), "{what}: {headers:?}");
    let exposed = words(headers, "access-control-expose-headers");
    let is_readable = |name: &str| exposed.contains(name) || SAFELISTED.contains(&name) || FOR_BROWSERS.contains(&name);
    let hidden: Vec<_> = headers.keys().filter(|name| !is_readable(name.as_str())).collect();
    assert!(hidden.is_empty(), "{what}: {hidden:?} cannot be read");
}

/// No page of another origin may read the answer.
#[track_caller]
fn assert_unreadable(headers: &HeaderMap, what: &str) {
    assert!(headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{what}: {headers:?}");
}

/// A preflight; its status and headers.
async fn preflight(caller: &Caller, path: &str, origin: &str, method: &str) -> (u16, HeaderMap) {
    let asking = caller.being(Authority::Anonymous);
    let asking = asking.asking(Method::OPTIONS, path).header("origin", origin);
    let asking = asking.header("access-control-request-method", method).header("accept", "*/*");
    let answer = asking.header("access-control-request-headers", "authorization,content-type").begin().await;
    (answer.status().as_u16(), answer.headers().clone())
}

/// Every route of the public listener, and its methods.
fn routes() -> Vec<(String, Vec<String>)> {
    let golden = golden::read("routes.txt");
    let rows = golden.lines().filter(|line| !line.ends_with("...") && !line.starts_with("/metrics"));
    let rows = rows.flat_map(|line| {
        let (path, methods) = line.split_once(' ').unwrap();
        let path = path.replace("{id}", "a").replace("{command}", "switch").replace("{participant_id}", "p");
        let prefixes = if matches!(&*path, "/health" | "/ready") { &[""][..] } else { &["/v1", "/api/v1", "/api"] };
        let methods: Vec<_> = methods.split(' ').map(str::to_owned).collect();
        prefixes.iter().map(move |prefix| (format!("{prefix}{path}"), methods.clone()))
    });
    let files = ["/", "/sdk/index.js", "/web/app.js"].map(|path| (path.to_owned(), vec!["GET".to_owned()]));
    rows.chain(files).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_told_the_methods_of_its_route() {
    let cluster = listing(false).await;
    let caller = cluster.caller(0);
    assert!(routes().len() > 50, "{:?}", routes());
    for (path, methods) in routes() {
        let (status, headers) = preflight(&caller, &path, APP, &methods[0]).await;
        assert_eq!(status, 204, "{path}");
        let head = methods.iter().any(|method| method == "GET").then(|| "HEAD".to_owned());
        let expected: BTreeSet<_> = methods.iter().cloned().chain(head).map(|each| each.to_ascii_lowercase()).collect();
        assert_eq!(words(&headers, "access-control-allow-methods"), expected, "{path}");
        let sent = words(&headers, "access-control-allow-headers");
        for name in [
            "authorization",
            "content-type",
            "idempotency-key",
            "if-match",
            "if-none-match",
            "last-event-id",
            "signature",
        ] {
            assert!(sent.contains(name), "{path}: {name}");
        }
        assert!(headers["access-control-max-age"].to_str().unwrap().parse::<u32>().unwrap() >= 600, "{path}");
        assert!(!headers.contains_key("access-control-allow-credentials"), "{path}");
        assert_eq!(headers["access-control-allow-origin"], APP, "{path}");
        assert!(words(&headers, "vary").contains("origin"), "{path}");
        let (status, headers) = preflight(&caller, &path, EVIL, &methods[0]).await;
        assert_eq!(status, 405, "{path}");
        assert_unreadable(&headers, &path);
    }
    let (status, headers) = preflight(&caller, "/v1/nowhere", APP, "GET").await;
    assert_eq!(status, 404);
    assert_readable(&headers, "an unknown path");
    // What asks for no method is no preflight.
    let plain = caller.asking(Method::OPTIONS, "/health").header("origin", APP).send().await.expect(405);
    assert_readable(&plain.headers, "OPTIONS");
}

/// Requests of every kind of answer, and the status of each.
async fn every_kind_of_answer(caller: &Caller, origin: &str) -> Vec<(String, u16, HeaderMap)> {
    let session = caller.running(blitz()).await;
    let tag = caller.get(session.path()).await.header("etag").to_owned();
    let of = |rest: &str| format!("{}{rest}", session.path());
    let ask = |method: Method, path: String| caller.asking(method, path).header("origin", origin);
    let asked = [
        (ask(Method::GET, of("")), 200),
        (ask(Method::GET, of("")).header("if-none-match", &tag), 304),
        (ask(Method::POST, "/v1/sessions".into()).key("again").json(&blitz()), 201),
        (ask(Method::POST, "/v1/sessions".into()).key("again").json(&blitz()), 201),
        (ask(Method::GET, of("/poll")), 200),
        (ask(Method::GET, of("/history")), 200),
        (ask(Method::GET, "/sdk/index.js".into()), 200),
        (ask(Method::GET, "/health".into()), 200),
        (ask(Method::GET, "/v1/sessions/unknown/poll".into()), 404),
        (ask(Method::GET, "/v1/sessions/unknown/events".into()).header("last-event-id", "5-1"), 204),
        (ask(Method::GET, "/v1/nowhere".into()), 404),
        (ask(Method::PUT, of("")), 405),
        (ask(Method::GET, of("")).header("accept", "text/html"), 406),
        (ask(Method::POST, of("/start")), 409),
        (ask(Method::POST, "/v1/time".into()).json(&json!({"x": "y".repeat(5_000)})), 413),
        (ask(Method::POST, of("/switch")).header("content-type", "text/plain").bytes("{}"), 415),
        (ask(Method::POST, of("/switch")).json(&json!({"x": 1})), 422),
        (ask(Method::GET, of("/poll?timeout_ms=1")), 422),
        (ask(Method::GET, of("/ws")), 400),
        (ask(Method::DELETE, of("")), 204),
    ];
    let mut answers = Vec::new();
    for (asking, status) in asked {
        let what = format!("{asking:?}");
        let answer = asking.send().await.expect(status);
        answers.push((what, status, answer.headers));
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_origin_reads_every_answer_and_another_none() {
    for is_open in [true, false] {
        let cluster = listing(is_open).await;
        for (what, _, headers) in every_kind_of_answer(&cluster.caller(0), APP).await {
            assert_readable(&headers, &what);
        }
    }
    let cluster = listing(false).await;
    let refused = cluster.caller(0).being(Authority::Anonymous);
    let refused = refused.asking(Method::GET, "/v1/sessions").header("origin", APP).send().await.expect(401);
    assert_readable(&refused.headers, "401");
    let misled = cluster.caller(0);
    let misled = misled.asking(Method::GET, "/v1/time").header("origin", APP).header("host", "a b").send().await;
    assert_readable(&misled.expect(400).headers, "400");
    for (what, _, headers) in every_kind_of_answer(&cluster.caller(0), EVIL).await {
        assert_unreadable(&headers, &what);
        assert!(words(&headers, "vary").contains("origin"), "{what}: {headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_leaves_tells_a_listed_origin() {
    let host = Host::new().with("CORS_ORIGINS", APP).with("DRAIN_GRACE_MS", "3000");
    let process = host.serve().await;
    process.send("TERM");
    let asked = async || host.caller().asking(Method::GET, "/ready").header("origin", APP).send().await;
    let leaving = eventually("it leaves", async || Some(asked().await).filter(|it| it.status == 503));
    assert_readable(&leaving.await.headers, "503");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_nothing_is_said_of_origins() {
    let cluster = Cluster::of(1).start().await;
    for (what, _, headers) in every_kind_of_answer(&cluster.caller(0), APP).await {
        assert_unreadable(&headers, &what);
        assert!(!words(&headers, "vary").contains("origin"), "{what}: {headers:?}");
    }
    let (status, headers) = preflight(&cluster.caller(0), "/v1/sessions", APP, "POST").await;
    assert_eq!(status, 405);
    assert_unreadable(&headers, "a preflight");
}

/// What is answered first to a request that is written as it stands.
async fn raw(caller: &Caller, path: &str, more: &str) -> (KeepAliveConnection, RawResponse) {
    let mut kept = KeepAliveConnection::open(caller.address()).await;
    kept.ask(path, &Host::authorization(), more).await;
    let said = soon("an answer", kept.answer()).await.unwrap_or_else(|| panic!("an answer to {path}"));
    (kept, said)
}

fn is_readable(said: &RawResponse) -> bool {
    said.header("access-control-allow-origin") == APP
        && said.header("access-control-expose-headers").contains("retry-after")
        && said.headers("vary").contains(&"origin")
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_taken_over_say_who_may_read_them() {
    let cluster = listing(false).await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let from_app = format!("origin: {APP}\r\n");
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (path, more, status) in
        [("/events", "", 200), ("/poll", "", 200), ("/ws", upgrade, 101), ("/ws?heartbeat_ms=1", upgrade, 422)]
    {
        let (_kept, said) = raw(&caller, &format!("{}{path}", session.path()), &format!("{from_app}{more}")).await;
        assert_eq!(said.status, status, "{path}");
        assert!(is_readable(&said), "{path}: {said:?}");
        let (_kept, said) = raw(&caller, &format!("{}{path}", session.path()), "origin: null\r\n").await;
        assert!(said.header("access-control-allow-origin").is_empty(), "{path}: {said:?}");
    }
    // The upgrade succeeds, and a close code tells that there is no such session.
    let (_kept, said) = raw(&caller, "/v1/sessions/unknown/ws", &format!("{from_app}{upgrade}")).await;
    assert!(said.status == 101 && is_readable(&said), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_poll_on_one_connection_says_who_may_read_it() {
    let cluster = listing(false).await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let (mut kept, first) = raw(&caller, &format!("{}/poll", session.path()), &format!("origin: {APP}\r\n")).await;
    let mut since = first.json()["position"].as_str().unwrap().to_owned();
    for origin in [APP, APP, "https://app.example.com", EVIL, APP] {
        caller.command(&session, "switch").await;
        let path = format!("{}/poll?since={since}", session.path());
        kept.ask(&path, &Host::authorization(), &format!("origin: {origin}\r\n")).await;
        let said = soon("an answer", kept.answer()).await.unwrap();
        let allowed = if origin == EVIL { "" } else { origin };
        assert_eq!((said.status, said.header("access-control-allow-origin")), (200, allowed), "{origin}");
        assert!(said.headers("vary").contains(&"origin"), "{said:?}");
        since = said.json()["position"].as_str().unwrap().to_owned();
    }
    // The refusal is written where the poll waits, far from every route.
    caller.asking(Method::DELETE, session.path()).send().await.expect(204);
    for status in [200, 404] {
        let path = format!("{}/poll?since={since}", session.path());
        kept.ask(&path, &Host::authorization(), &format!("origin: {APP}\r\n")).await;
        let gone = soon("the end of the session", kept.answer()).await.unwrap();
        assert!(gone.status == status && is_readable(&gone), "{gone:?}");
        since = gone.json()["position"].as_str().unwrap_or(&since).to_owned();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_is_refused_while_it_waits_says_who_may_read_it() {
    let cluster = Cluster::of(1).in_real_time().with(|config| config.cors_origins = vec![APP.into()]).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let snapshot = caller.snapshot(&session).await;
    let path = format!("{}/poll?since={}-{}", session.path(), snapshot["epoch"], snapshot["version"]);
    let ends = cluster.now_ms() / 1_000 + 2;
    let brief = format!("Bearer {}", signed(&with(claims("acme", "operator"), json!({"exp": ends}))));
    let mut kept = KeepAliveConnection::open(caller.address()).await;
    kept.ask(&path, &brief, &format!("origin: {APP}\r\n")).await;
    let ended = soon("the end of the token", kept.answer()).await.unwrap();
    assert!(ended.status == 401 && is_readable(&ended), "{ended:?}");
}

/// The status of a WebSocket for a page of that origin; 101 if it is opened.
async fn upgraded(cluster: &Cluster, session: &Session, origin: Option<&str>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for path in [session.path(), format!("{}/ws", session.path()), "/v1/ws".to_owned()] {
        let watching = Watching::at(cluster.caller(0), &path).of_page(origin);
        statuses.push(watching.attempt(Transport::WebSocket).await.map_or_else(|status| status, |_| 101));
    }
    statuses.dedup();
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn open_mode_lets_in_listed_origins_and_no_others() {
    let cluster = listing(true).await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let ours = format!("http://{}", caller.address());
    for (origin, status) in [
        (APP, 200),
        ("https://app.example.com", 200),
        (&ours, 200),
        (EVIL, 403),
        ("null", 403),
        ("http://localhost:5174", 403),
        ("https://localhost:5173", 403),
        ("http://LOCALHOST:5173", 403),
        ("http://localhost:5173/", 403),
        ("http://127.0.0.1:5173", 403),
        ("http://localhost:5173, https://app.example.com", 403),
    ] {
        for path in [session.path(), format!("{}/events", session.path()), format!("{}/poll", session.path())] {
            let answer = caller.asking(Method::GET, &path).header("origin", origin).begin().await;
            assert_eq!(answer.status().as_u16(), status, "{origin} {path}");
        }
        let upgrade = if status == 200 { 101 } else { 403 };
        assert_eq!(upgraded(&cluster, &session, Some(origin)).await, [upgrade], "{origin}");
    }
    // A name that merely resolves to this machine lets nobody in, whoever asks.
    let rebound = caller.asking(Method::GET, session.path()).header("origin", APP).header("host", "rebound.example");
    rebound.send().await.expect(403).refused("forbidden");
    let twice = caller.asking(Method::GET, session.path()).header("origin", APP).header("origin", APP);
    assert_unreadable(&twice.send().await.expect(403).headers, "two origins");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_the_setting_binds_websockets_too() {
    let cluster = listing(false).await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let ours = format!("http://{}", caller.address());
    for (origin, status) in [
        (None, 101),
        (Some(&*ours), 101),
        (Some(APP), 101),
        (Some(EVIL), 403),
        (Some("null"), 403),
        (Some("http://localhost:5174"), 403),
    ] {
        assert_eq!(upgraded(&cluster, &session, origin).await, [status], "{origin:?}");
    }
    // Without the setting the token decides, wherever the page is from.
    let unset = Cluster::of(1).start().await;
    let session = unset.caller(0).running(blitz()).await;
    assert_eq!(upgraded(&unset, &session, Some(EVIL)).await, [101]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_no_browser_sends_is_refused_at_start() {
    for bad in ["*", "null", "localhost:5173", "http://localhost:5173/", "https://App.example.com", "http://a:80"] {
        for arguments in [&["serve"][..], &["serve", "--check"]] {
            let host = Host::new().with("CORS_ORIGINS", &format!("{APP},{bad}"));
            let refused = host.run(arguments).await;
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(2), "{bad}: {said}");
            assert!(said.contains("CORS_ORIGINS must be origins as browsers send them"), "{bad}: {said}");
            assert!(!host.data().exists());
        }
    }
    let checked =
        Host::new().with("CORS_ORIGINS", &format!("{APP}, https://a.example")).run(&["serve", "--check"]).await;
    let report = String::from_utf8(checked.stdout).unwrap();
    assert!(report.contains("CORS_ORIGINS         http://localhost:5173,https://a.example  (environment)"), "{report}");
}
