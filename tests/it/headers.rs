//! Headers at the edge: what is taken, what may be kept, and who may be told.

use http::Method;
use serde_json::json;

use crate::cors::routes;
use crate::harness::raw::RawConnection;
use crate::harness::{Authority, Cluster, blitz};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

#[tokio::test(flavor = "multi_thread")]
async fn an_accept_that_no_form_meets_is_refused() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let of = |rest: &str| format!("{}{rest}", session.path());
    let json = [of(""), of("/history"), of("/poll"), "/v1/sessions".into(), "/v1/time".into(), "/health".into()];
    for path in json.iter().chain(&[of("/at?time=2026-01-01T00:00:00Z"), "/ready".into()]) {
        for (accept, status) in [
            (BROWSER, 200),
            ("*/*", 200),
            ("application/json", 200),
            ("application/*;q=0.1", 200),
            ("application/problem+json", 200),
            ("application/json, text/javascript, */*; q=0.01", 200),
            ("", 200),
            ("nonsense", 200),
            ("text/html", 406),
            ("text/event-stream", 406),
            ("application/*;q=0, */*", 406),
            ("*/*;q=0", 406),
        ] {
            let answer = caller.asking(Method::GET, path).header("accept", accept).send().await;
            assert_eq!(answer.status, status, "{path} {accept}: {}", answer.body);
            if status == 406 {
                assert!(answer.refused("not_acceptable").body["detail"].as_str().unwrap().contains("application/json"));
            }
        }
    }
    for (accept, status) in [(BROWSER, 200), ("text/event-stream", 200), ("*/*", 200), ("application/json", 406)] {
        let events = caller.asking(Method::GET, of("/events")).header("accept", accept).begin().await;
        assert_eq!(events.status().as_u16(), status, "{accept}");
    }
    for (path, accept, status) in [
        ("/", BROWSER, 200),
        ("/", "text/html", 200),
        ("/", "application/json", 406),
        ("/sdk/clock.js", "application/javascript", 200),
        ("/sdk/clock.js", "text/html", 406),
        ("/web/style.css", "text/css,*/*;q=0.1", 200),
        ("/nowhere", "text/html", 404),
    ] {
        let answer = caller.asking(Method::GET, path).header("accept", accept).send().await;
        assert_eq!(answer.status, status, "{path} {accept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_with_an_unacceptable_answer_is_not_done() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let switch = caller.asking(Method::POST, format!("{}/switch", session.path())).header("accept", "text/html");
    switch.send().await.expect(406).refused("not_acceptable");
    assert_eq!(caller.snapshot(&session).await["version"], 2);
    // There is nothing in the answer to a deletion that could not be taken.
    caller.asking(Method::DELETE, session.path()).header("accept", "text/html").send().await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_for_one_caller_is_not_cacheable() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let of = |rest: &str| format!("{}{rest}", session.path());
    let rows = [
        (Method::GET, of(""), 200, "private, no-cache"),
        (Method::GET, of("/history"), 200, "no-store"),
        (Method::GET, of("/at?time=2026-01-01T00:00:00Z"), 200, "no-store"),
        (Method::GET, of("/poll"), 200, "no-store"),
        (Method::GET, "/v1/sessions".into(), 200, "no-store"),
        (Method::GET, "/v1/time".into(), 200, "no-store"),
        (Method::GET, "/health".into(), 200, "no-store"),
        (Method::POST, of("/switch"), 200, "no-store"),
        (Method::POST, of("/tokens"), 201, "no-store"),
        (Method::POST, of("/clone"), 201, "no-store"),
        (Method::POST, of("/start"), 409, "no-store"),
        (Method::GET, of("/nowhere"), 405, "no-store"),
        (Method::GET, "/v1/nowhere".into(), 404, "no-store"),
        (Method::GET, "/".into(), 200, "no-cache"),
        (Method::GET, "/sdk/clock.js".into(), 200, "no-cache"),
    ];
    for (method, path, status, kept) in rows {
        let answer = caller.asking(method.clone(), &path).send().await.expect(status);
        assert_eq!(answer.header("cache-control"), kept, "{method} {path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{method} {path}");
    }
    let first = caller.get(session.path()).await;
    let again = caller.asking(Method::GET, session.path()).header("if-none-match", first.header("etag")).send().await;
    assert_eq!((again.status, again.header("cache-control")), (304, "private, no-cache"));
    let events = caller.asking(Method::GET, of("/events")).begin().await;
    assert_eq!(
        (&events.headers()["cache-control"], &events.headers()["x-content-type-options"]),
        (&"no-store".parse().unwrap(), &"nosniff".parse().unwrap())
    );
    let refused = caller.being(Authority::Anonymous).get(session.path()).await.expect(401);
    assert_eq!(refused.header("cache-control"), "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_any_route_is_guessed_at_or_kept() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    for (path, methods) in routes() {
        let others = ["GET", "HEAD", "OPTIONS", "POST", "BREW"].map(str::to_owned);
        for method in methods.into_iter().chain(others) {
            for caller in [caller.clone(), caller.being(Authority::Anonymous)] {
                let asking = caller.asking(Method::from_bytes(method.as_bytes()).unwrap(), &path);
                let answer = asking.header("origin", "https://elsewhere.example").begin().await;
                let (status, headers) = (answer.status(), answer.headers());
                assert_eq!(headers["x-content-type-options"], "nosniff", "{method} {path}: {status}");
                let kept = headers["cache-control"].to_str().unwrap();
                let is_page = !path.contains("/v1") && !path.contains("/api");
                assert!(kept == "no-store" || (is_page && kept == "no-cache"), "{method} {path}: {status} {kept}");
                let is_html = headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
                assert!(!is_html || path == "/", "{method} {path}: {status} is a page");
                assert!(!is_html || headers.contains_key("content-security-policy"), "{method} {path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_for_everyone_tells_no_metrics() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    for path in ["/metrics", "/metrics/", "//metrics", "/%6detrics", "/v1/metrics", "/api/metrics", "/api/v1/metrics"] {
        for caller in [caller.clone(), caller.being(Authority::Anonymous)] {
            for method in [Method::GET, Method::POST] {
                let answer = caller.asking(method, path).send().await.expect(404);
                assert!(!String::from_utf8_lossy(&answer.bytes).contains("synckairos_"), "{path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_an_address_with_a_token_is_never_kept() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let token = caller.token().unwrap().to_owned();
    let anyone = caller.being(Authority::Anonymous);
    let events = anyone.asking(Method::GET, format!("{}/events?token={token}", session.path())).begin().await;
    assert_eq!((events.status().as_u16(), &events.headers()["cache-control"]), (200, &"no-store".parse().unwrap()));
    anyone.get(format!("{}/poll?token={token}", session.path())).await.expect(200);
    for path in [session.path(), "/".to_owned(), "/sdk/clock.js".to_owned()] {
        let answer = caller.get(format!("{path}?token={token}")).await.expect(200);
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_talks_to_its_own_origin_only() {
    let cluster = Cluster::of(1).start().await;
    for path in ["/", "/web/app.js", "/sdk/clock.js"] {
        let answer = cluster.caller(0).get(path).await.expect(200);
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("connect-src 'self';"), "{policy}");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_in_an_address_on_streams_only() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let token = caller.token().unwrap().to_owned();
    let anyone = caller.being(Authority::Anonymous);
    let of = |rest: &str| format!("{}{rest}?token={token}", session.path());
    for (method, path) in [
        (Method::POST, of("/switch")),
        (Method::POST, of("/tokens")),
        (Method::GET, of("")),
        (Method::DELETE, of("")),
        (Method::GET, of("/history")),
        (Method::GET, format!("/v1/sessions?token={token}")),
        (Method::POST, format!("/v1/sessions/batch?token={token}")),
    ] {
        let refused = anyone.asking(method.clone(), &path).json(&json!({})).send().await.expect(401);
        let is_told = refused.body["detail"].as_str().unwrap().contains("Authorization: Bearer");
        assert!(is_told, "{method} {path}: {}", refused.body);
    }
    for path in [of("/events"), of("/poll")] {
        let head = anyone.asking(Method::HEAD, &path).begin().await;
        assert_eq!(head.status().as_u16(), 401, "HEAD {path}");
    }
    let offer = format!("synckairos.v1, bearer.{token}");
    for path in [session.path(), format!("{}/events", session.path()), format!("{}/poll", session.path())] {
        anyone.asking(Method::GET, path).header("sec-websocket-protocol", &offer).send().await.expect(401);
    }
    assert_eq!(caller.snapshot(&session).await["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_authorizations_let_nobody_in() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    for other in [format!("Bearer {}", caller.token().unwrap()), "Bearer x".to_owned(), "Basic dTpw".to_owned()] {
        for (method, rest) in
            [(Method::GET, ""), (Method::POST, "/switch"), (Method::GET, "/events"), (Method::GET, "/poll")]
        {
            let asking = caller.asking(method, format!("{}{rest}", session.path())).header("authorization", &other);
            let refused = asking.send().await.expect(401).refused("unauthenticated");
            assert!(refused.body["detail"].as_str().unwrap().contains("one Authorization header"), "{}", refused.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_mode_refuses_an_unreadable_authorization() {
    let cluster = Cluster::of(1).open().start().await;
    let address = cluster.caller(0).address();
    let session = cluster.caller(0).running(blitz()).await;
    let ours = format!("localhost:{}", address.port());
    let asked = async |version: &str, headers: &[u8]| {
        let mut text = format!("POST {}/switch {version}\r\nconnection: close\r\n", session.path()).into_bytes();
        text.extend_from_slice(headers);
        text.extend_from_slice(b"\r\n");
        let mut held = RawConnection::open(address).await;
        held.send(&text).await;
        held.until_closed().await
    };
    let (host, origin) = (format!("host: {ours}\r\n"), format!("origin: http://{ours}"));
    let rows: Vec<(&str, &str, Vec<u8>)> = vec![
        ("no host", "HTTP/1.0", Vec::new()),
        ("no host in 1.1", "HTTP/1.1", Vec::new()),
        ("an empty host", "HTTP/1.1", b"host: \r\n".to_vec()),
        ("a host beyond ASCII", "HTTP/1.1", b"host: localhost\xe9\r\n".to_vec()),
        ("two hosts", "HTTP/1.1", host.repeat(2).into_bytes()),
        ("an origin beyond ASCII", "HTTP/1.1", [host.as_bytes(), origin.as_bytes(), b"\xe9\r\n"].concat()),
        ("two origins", "HTTP/1.1", format!("{host}{origin}\r\n{origin}\r\n").into_bytes()),
        ("an empty origin", "HTTP/1.1", format!("{host}origin: \r\n").into_bytes()),
        ("another host", "HTTP/1.1", b"host: rebound.example\r\n".to_vec()),
    ];
    for (what, version, headers) in rows {
        let answer = asked(version, &headers).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["400", "403"].contains(&status), "{what}: {answer}");
    }
    assert_eq!(cluster.caller(0).snapshot(&session).await["version"], 2);
    let answer = asked("HTTP/1.1", format!("{host}{origin}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn open_mode_looks_at_the_authority_of_http2() {
    use http_body_util::Empty;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let cluster = Cluster::of(1).open().start().await;
    let address = cluster.caller(0).address();
    let ours = format!("localhost:{}", address.port());
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    for (authority, origin, status) in [
        (ours.clone(), None, 200),
        (ours.clone(), Some(format!("http://{ours}")), 200),
        (ours.clone(), Some("http://rebound.example".to_owned()), 403),
        (format!("rebound.example:{}", address.port()), None, 403),
        (
            format!("rebound.example:{}", address.port()),
            Some(format!("http://rebound.example:{}", address.port())),
            403,
        ),
    ] {
        let request = http::Request::get(format!("http://{authority}/v1/sessions"));
        let request = match &origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        };
        let answer = sender.send_request(request.body(Empty::<bytes::Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{authority} {origin:?}");
    }
    drop(sender);
    connection.abort();
}
