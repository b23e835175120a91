//! What nobody should send: a clear problem with a stable code, nothing half-done.

use http::Method;
use serde_json::{Value, json};

use crate::harness::raw::{RawConnection, exchange};
use crate::harness::{Cluster, Session, blitz, countdown, stopwatch, with};

/// A change of a good create, the code it is refused with, and the part that is wrong.
type Fault = (Value, &'static str, &'static str);

fn person(more: Value) -> Value {
    json!({"participants": [with(json!({"participant_id": "a", "total_time_ms": 1}), more)]})
}

fn control(control: &Value) -> Value {
    json!({"time_control": control})
}

/// Fields that are unknown, missing or of another type.
fn misshapen() -> Vec<Fault> {
    vec![
        (json!({"colour": "blue"}), "invalid", "/colour"),
        (person(json!({"name": "x"})), "invalid", "/participants/0/name"),
        (control(&json!({"delay": {"type": "simple", "delay_ms": 1, "x": 1}})), "invalid", "/time_control/delay"),
        (control(&json!({"delay": {"type": "sudden", "delay_ms": 1}})), "invalid", "/time_control/delay"),
        (json!({"sync_mode": null}), "invalid", "/sync_mode"),
        (json!({"sync_mode": "chess"}), "invalid", "/sync_mode"),
        (json!({"sync_mode": 7}), "invalid", "/sync_mode"),
        (json!({"participants": {}}), "invalid", "/participants"),
        (json!({"participants": [[]]}), "invalid", "/participants/0"),
        (json!({"participants": ["white"]}), "invalid", "/participants/0"),
        (json!({"increment_ms": "1000"}), "invalid", "/increment_ms"),
        (json!({"increment_ms": 1.5}), "invalid", "/increment_ms"),
        (json!({"increment_ms": true}), "invalid", "/increment_ms"),
        (json!({"warnings_ms": [1, "2"]}), "invalid", "/warnings_ms/1"),
        (json!({"action_on_timeout": "expire"}), "invalid", "/action_on_timeout"),
        (json!({"action_on_timeout": {"type": "explode"}}), "invalid", "/action_on_timeout/type"),
        (json!({"metadata": []}), "invalid", "/metadata"),
        (json!({"lag_policy": "generous"}), "invalid", "/lag_policy"),
    ]
}

/// Numbers and names out of bounds.
fn out_of_bounds() -> Vec<Fault> {
    vec![
        (json!({"increment_ms": -1}), "invalid", "/increment_ms"),
        (json!({"increment_ms": i64::MIN}), "invalid", "/increment_ms"),
        (json!({"increment_ms": i64::MAX}), "invalid", "/increment_ms"),
        (json!({"increment_ms": u64::MAX}), "invalid", "/increment_ms"),
        (json!({"increment_ms": 1e300}), "invalid", "/increment_ms"),
        (json!({"max_time_ms": -5}), "invalid", "/max_time_ms"),
        (json!({"warnings_ms": [-1]}), "invalid", "/warnings_ms"),
        (json!({"warnings_ms": (1..=17).collect::<Vec<_>>()}), "invalid", "/warnings_ms"),
        (person(json!({"total_time_ms": -1})), "invalid", "/participants/0/total_time_ms"),
        (person(json!({"total_time_ms": 3_162_240_000_001_i64})), "invalid", "/participants/0/total_time_ms"),
        (person(json!({"participant_index": -1})), "invalid", "/participants/0/participant_index"),
        (person(json!({"participant_index": 4_294_967_296_u64})), "invalid", "/participants/0/participant_index"),
        (
            control(&json!({"overtime": {"type": "byoyomi", "periods": 1001, "period_ms": 1}})),
            "invalid",
            "/time_control/overtime",
        ),
        (
            control(&json!({"overtime": {"type": "byoyomi", "periods": -1, "period_ms": 1}})),
            "invalid",
            "/time_control/overtime",
        ),
        (json!({"session_id": ""}), "invalid", "/session_id"),
        (json!({"session_id": "a/b"}), "invalid", "/session_id"),
        (json!({"session_id": "-a"}), "invalid", "/session_id"),
        (json!({"session_id": "x".repeat(129)}), "invalid", "/session_id"),
        (json!({"session_id": "n\u{0}ul"}), "invalid", "/session_id"),
        (json!({"session_id": "\u{1f980}"}), "invalid", "/session_id"),
        (json!({"session_id": 7}), "invalid", "/session_id"),
        (person(json!({"participant_id": "a b"})), "invalid", "/participants/0/participant_id"),
        (
            json!({"participants": [{"participant_id": "a", "total_time_ms": 1}, {"participant_id": "a", "total_time_ms": 1}]}),
            "invalid",
            "/participants",
        ),
        (json!({"metadata": {"x": "y".repeat(8_192)}}), "invalid", "/metadata"),
        (person(json!({"metadata": {"x": "y".repeat(8_192)}})), "invalid", "/participants/0/metadata"),
    ]
}

/// Each part is fine alone.
fn contradictory() -> Vec<Fault> {
    vec![
        (person(json!({"group_id": "red"})), "invalid_time_control", "/participants/0/group_id"),
        (json!({"participants": []}), "invalid_time_control", "/participants"),
        (json!({"groups": [{"group_id": "red"}]}), "invalid_time_control", "/groups"),
        (json!({"max_time_ms": 59_999}), "invalid_time_control", "/participants/0/total_time_ms"),
        (json!({"participants": [{"participant_id": "a"}]}), "invalid_time_control", "/participants/0/total_time_ms"),
        (json!({"participants": [{}]}), "invalid_time_control", "/participants/0/total_time_ms"),
        (
            json!({"increment_ms": 0, "participants": [{"participant_id": "a", "total_time_ms": 0}]}),
            "invalid_time_control",
            "/participants/0/total_time_ms",
        ),
        (json!({"time_per_cycle_ms": 1_000}), "invalid_time_control", "/time_per_cycle_ms"),
        (json!({"concurrency": "simultaneous"}), "invalid_time_control", "/increment_ms"),
        (json!({"soft_close": {"window_ms": 1, "extension_ms": 1}}), "invalid_time_control", "/soft_close"),
        (
            json!({"auto_advance": true, "action_on_timeout": {"type": "pause"}}),
            "invalid_time_control",
            "/auto_advance",
        ),
        (control(&json!({"hourglass": true})), "invalid_time_control", "/increment_ms"),
        (control(&json!({"delay": {"type": "simple", "delay_ms": 0}})), "invalid_time_control", "/time_control/delay"),
        (control(&json!({"stages": [{"cycles": 0, "add_ms": 1}]})), "invalid_time_control", "/time_control/stages"),
        (
            control(&json!({"overtime": {"type": "canadian", "cycles": 0, "period_ms": 1}})),
            "invalid_time_control",
            "/time_control/overtime",
        ),
        (
            control(
                &json!({"delay": {"type": "simple", "delay_ms": 1}, "overtime": {"type": "canadian", "cycles": 1, "period_ms": 1}}),
            ),
            "invalid_time_control",
            "/time_control/delay",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_sessions_are_refused_naming_the_wrong_part() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let rows = [misshapen(), out_of_bounds(), contradictory()].concat();
    for (change, code, pointer) in rows {
        let asked = with(with(blitz(), json!({"session_id": "never"})), change.clone());
        let refused = caller.post("/v1/sessions", asked).await.expect(422).refused(code);
        let told = refused.body["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert!(told.starts_with(pointer), "{change}: at {told:?}, not {pointer}: {}", refused.body);
    }
    let contradictions = [
        with(countdown(0), json!({})),
        json!({"sync_mode": "global"}),
        with(countdown(60_000), json!({"increment_ms": 1})),
        with(stopwatch(), json!({"total_time_ms": 1})),
        with(stopwatch(), json!({"lag_policy": "standard"})),
        with(countdown(60_000), json!({"action_on_timeout": {"type": "advance"}})),
        json!({"sync_mode": "per_group", "participants": [{"participant_id": "a"}]}),
        json!({"sync_mode": "per_cycle", "participants": [{"participant_id": "a"}]}),
        json!({"sync_mode": "per_cycle", "time_per_cycle_ms": 99, "auto_advance": true, "participants": [{"participant_id": "a"}]}),
    ];
    for asked in contradictions {
        caller.post("/v1/sessions", asked).await.expect(422).refused("invalid_time_control");
    }
    let crowd: Vec<_> =
        (0..1_025).map(|seat| json!({"participant_id": format!("p{seat}"), "total_time_ms": 1})).collect();
    caller.post("/v1/sessions", with(blitz(), json!({"participants": crowd}))).await.expect(422).refused("invalid");
    caller.post("/v1/sessions", with(blitz(), json!({"participants": crowd[1..]}))).await.expect(201);
    caller.get("/v1/sessions/never").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_commands_change_nothing() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let present = caller.snapshot(&session).await;
    let rows = [
        ("start", json!({"at": "soon"})),
        ("start", json!({"at": [7]})),
        ("start", json!({"participant_id": 7})),
        ("start", json!({"participant_id": "a b"})),
        ("start", json!({"AT": null})),
        ("switch", json!({"current_participant_id": ["white"]})),
        ("switch", json!({"next_participant_id": "black", "next_group_id": "red"})),
        ("switch", json!({"client_time_ms": "now"})),
        ("switch", json!({"expected_version": -1})),
        ("switch", json!({"expected_version": "2"})),
        ("switch", json!({"expected_version": 2.5})),
        ("switch", json!({"idempotency_key": "k"})),
        ("pause", json!({"reason": ""})),
        ("pause", json!({"reason": "r".repeat(65)})),
        ("pause", json!({"reason": "line\nbreak"})),
        ("pause", json!({"reason": 7})),
        ("pause", json!({"participant_id": "white", "group_id": "red"})),
        ("resume", json!({"cause": "x"})),
        ("complete", json!({"participant_id": ""})),
        ("cancel", json!({"reason": "x"})),
        ("reset", json!({"hard": true})),
        ("extend", json!({"by_ms": 1})),
        ("adjust", json!({})),
        ("adjust", json!({"add_ms": 1, "set_ms": 1})),
        ("adjust", json!({"set_ms": -1})),
        ("adjust", json!({"add_ms": "1"})),
        ("adjust", json!({"add_ms": i64::MAX})),
        ("adjust", json!({"add_ms": i64::MIN})),
        ("adjust", json!({"add_ms": u64::MAX})),
        ("adjust", json!({"set_ms": i64::MAX})),
        ("adjust", json!({"add_ms": 1e30})),
        ("revert", json!({})),
        ("revert", json!({"to_version": -1})),
        ("revert", json!({"to_version": "1"})),
        ("participants", json!({"participant_id": "x y"})),
        ("participants", json!({"participant_id": "x", "total_time_ms": -1})),
        ("participants", json!({"participant_id": "x", "total_time_ms": i64::MAX})),
        ("participants", json!({"participant_id": "white", "total_time_ms": 1})),
        ("participants", json!({"participant_id": "x", "total_time_ms": 1, "metadata": {"x": "y".repeat(9_000)}})),
    ];
    for (command, body) in rows {
        caller.command_with(&session, command, body.clone()).await.expect(422).refused("invalid");
        assert_eq!(caller.snapshot(&session).await, present, "{command} {body}");
    }
    for body in
        [json!({"participant_index": -1}), json!({"participant_index": "1"}), json!({"metadata": 1}), json!({"x": 1})]
    {
        let path = format!("{}/participants/white", session.path());
        caller.asking(Method::PATCH, path).json(&body).send().await.expect(422).refused("invalid");
    }
    // As far as a claim may be from the truth, it is only a claim.
    for claim in [json!(-1e300), json!(1e300), json!(0)] {
        caller.command_with(&session, "switch", json!({"client_time_ms": claim})).await.expect(200);
    }
}

/// What it is, the body, its content type, and the status and code it is refused with.
type Unreadable = (&'static str, Vec<u8>, Option<&'static str>, u16, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn invalid_bodies_are_refused() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let deep = |levels: usize| [b"{\"a\":".repeat(levels), b"1".to_vec(), b"}".repeat(levels)].concat();
    let lists = |levels: usize| [b"{\"a\":".to_vec(), b"[".repeat(levels), b"]".repeat(levels), b"}".to_vec()].concat();
    let rows: Vec<Unreadable> = vec![
        ("no JSON", b"{".to_vec(), None, 400, "malformed"),
        ("a word", b"hello".to_vec(), None, 400, "malformed"),
        ("two objects", b"{}{}".to_vec(), None, 400, "malformed"),
        ("a comma too many", b"{\"reason\":\"x\",}".to_vec(), None, 400, "malformed"),
        ("no UTF-8", b"{\"reason\":\"\xff\xfe\"}".to_vec(), None, 400, "malformed"),
        ("UTF-16", "{}".encode_utf16().flat_map(u16::to_le_bytes).collect(), None, 400, "malformed"),
        ("a lone surrogate", b"{\"reason\":\"\\ud800\"}".to_vec(), None, 400, "malformed"),
        ("NUL", b"\0".to_vec(), None, 400, "malformed"),
        ("a number too long", format!("{{\"reason\":{}}}", "9".repeat(400)).into_bytes(), None, 400, "malformed"),
        ("a list", b"[]".to_vec(), None, 422, "invalid"),
        ("null", b"null".to_vec(), None, 422, "invalid"),
        ("a text", b"\"x\"".to_vec(), None, 422, "invalid"),
        ("17 objects deep", deep(17), None, 422, "invalid"),
        ("a thousand deep", deep(1_000), None, 422, "invalid"),
        ("ten thousand lists", lists(10_000), None, 422, "invalid"),
        ("never closed", b"[".repeat(60_000), None, 422, "invalid"),
        ("a form", b"reason=x".to_vec(), Some("application/x-www-form-urlencoded"), 415, "unsupported_media_type"),
        ("plain text", b"{}".to_vec(), Some("text/plain"), 415, "unsupported_media_type"),
        ("no type at all", b"{}".to_vec(), Some("nonsense"), 415, "unsupported_media_type"),
        ("an empty type", b"{}".to_vec(), Some(""), 415, "unsupported_media_type"),
        ("over 64 KiB", format!("{{\"reason\":\"{}\"}}", "x".repeat(65_536)).into_bytes(), None, 413, "too_large"),
        ("10 MB", vec![b' '; 10_000_000], None, 413, "too_large"),
    ];
    for (what, body, kind, status, code) in rows {
        for path in [format!("{}/pause", session.path()), "/v1/sessions/batch".to_owned()] {
            let is_long = ["over 64 KiB", "a number too long"].contains(&what) && path.ends_with("batch");
            let asking = caller.asking(Method::POST, &path).header("content-type", kind.unwrap_or("application/json"));
            let answer = asking.bytes(body.clone()).send().await;
            assert!(
                is_long || (answer.status, answer.code()) == (status, code),
                "{what} to {path}: {} {}",
                answer.status,
                answer.body
            );
        }
    }
    assert_eq!(caller.snapshot(&session).await["version"], 2);
    let pause = async |kind: Option<&str>, body: &'static [u8]| {
        let asking = caller.asking(Method::POST, format!("{}/pause", session.path())).bytes(body);
        match kind {
            Some(kind) => asking.header("content-type", kind),
            None => asking,
        }
        .send()
        .await
    };
    for (kind, body) in [
        (None, &b""[..]),
        (Some("text/plain"), b""),
        (None, b"{}"),
        (Some("application/json; charset=utf-8"), b" {} "),
        (Some("APPLICATION/JSON"), b"{}"),
        (Some("application/merge-patch+json"), b"{\"reason\":null}"),
    ] {
        pause(kind, body).await.expect(200);
    }
    let names = "x".repeat(60_000);
    let long = caller.post("/v1/sessions", with(blitz(), json!({"session_id": names}))).await;
    long.expect(422).refused("invalid");
    caller.asking(Method::POST, "/v1/sessions").json(&json!({"x": "y".repeat(1_048_577)})).send().await.expect(413);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_id_names_no_session() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let long = "x".repeat(129);
    for id in [
        "a%2Fb",
        "%00",
        "a%00b",
        "%2e%2e",
        "-a",
        "%20",
        "a%0ab",
        "%F0%9F%A6%80",
        "%ff",
        "%c3%28",
        "%",
        "%zz",
        "a%5cb",
        "'%20or%201=1--",
        &long,
    ] {
        for (method, rest) in [
            (Method::GET, ""),
            (Method::DELETE, ""),
            (Method::GET, "/history"),
            (Method::GET, "/at?time=2026-01-01T00:00:00Z"),
            (Method::POST, "/start"),
            (Method::POST, "/clone"),
            (Method::POST, "/tokens"),
            (Method::POST, "/participants"),
        ] {
            let answer = caller.asking(method.clone(), format!("/v1/sessions/{id}{rest}")).send().await;
            assert_eq!(
                (answer.status, answer.code()),
                (404, "session_not_found"),
                "{method} {id}{rest}: {}",
                answer.body
            );
        }
    }
    let session = caller.create(blitz()).await;
    for id in ["a%2Fb", "%00", "%F0%9F%A6%80", "%ff", &long] {
        for method in [Method::PATCH, Method::DELETE] {
            let path = format!("{}/participants/{id}", session.path());
            let answer = caller.asking(method, path).json(&json!({})).send().await;
            assert!([404, 422].contains(&answer.status), "{id}: {} {}", answer.status, answer.body);
        }
    }
    assert_eq!(caller.snapshot(&session).await["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_routes_and_methods_are_refused() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let of = |rest: &str| format!("{}{rest}", session.path());
    for (method, path, status, code) in [
        (Method::GET, "/v1".to_owned(), 404, "not_found"),
        (Method::GET, "/v2/sessions".to_owned(), 404, "not_found"),
        (Method::GET, "/v1/session".to_owned(), 404, "not_found"),
        (Method::GET, "/v1/sessions/".to_owned(), 404, "not_found"),
        (Method::GET, "/v1//sessions".to_owned(), 404, "not_found"),
        (Method::GET, "/%00".to_owned(), 404, "not_found"),
        (Method::GET, "/../../etc/passwd".to_owned(), 404, "not_found"),
        (Method::GET, "/..%2f..%2fetc%2fpasswd".to_owned(), 404, "not_found"),
        (Method::POST, of("/dance"), 404, "not_found"),
        (Method::POST, of("/settle"), 404, "not_found"),
        (Method::POST, of("/delete"), 404, "not_found"),
        (Method::POST, of("/add_participant"), 404, "not_found"),
        (Method::POST, of("/start/now"), 404, "not_found"),
        (Method::PUT, "/v1/sessions".to_owned(), 405, "method_not_allowed"),
        (Method::DELETE, "/v1/sessions".to_owned(), 405, "method_not_allowed"),
        (Method::PATCH, of(""), 405, "method_not_allowed"),
        (Method::PUT, of(""), 405, "method_not_allowed"),
        (Method::GET, of("/start"), 405, "method_not_allowed"),
        (Method::GET, of("/participants/white"), 405, "method_not_allowed"),
        (Method::POST, of("/history"), 405, "method_not_allowed"),
        (Method::DELETE, "/v1/time".to_owned(), 405, "method_not_allowed"),
        (Method::GET, "/v1/timesync".to_owned(), 405, "method_not_allowed"),
        (Method::TRACE, "/v1/time".to_owned(), 405, "method_not_allowed"),
        (Method::from_bytes(b"BREW").unwrap(), of(""), 405, "method_not_allowed"),
    ] {
        let answer = caller.asking(method.clone(), &path).send().await;
        assert_eq!((answer.status, answer.code()), (status, code), "{method} {path}: {}", answer.body);
        assert_eq!(answer.header("allow").is_empty(), status != 405, "{method} {path}");
    }
    assert_eq!(caller.snapshot(&session).await["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_conditions_and_parameters_are_refused() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    for tag in
        ["", "x", "\"\"", "W/", "1", "\"1\"", "\"1-2\", \"1-3\"", "\"-1-2\"", "\"99999999999999999999-1\"", "\u{e9}"]
    {
        let start = caller.asking(Method::POST, format!("{}/start", session.path())).header("if-match", tag);
        let answer = start.send().await;
        assert_eq!((answer.status, answer.code()), (422, "invalid"), "{tag}: {}", answer.body);
    }
    assert_eq!(caller.snapshot(&session).await["version"], 1);
    for query in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=ten",
        "limit=",
        "limit=99999999999999999999",
        "cursor=a/b",
        "cursor=",
        "status=gone",
        "status=",
        "sync_mode=chess",
        "updated_after=now",
        "updated_after=1",
        "colour=blue",
        "limit=1&limit=2",
        "%ff=1",
        "status=%00",
        "metadata=x",
        "=",
    ] {
        let answer = caller.get(format!("/v1/sessions?{query}")).await;
        assert_eq!((answer.status, answer.code()), (422, "invalid"), "{query}: {}", answer.body);
    }
    for query in [
        "limit=0",
        "after=1",
        "after=x-1",
        "after=-1-1",
        "after=1-2-3",
        "cursor=1",
        "until=1",
        "after=1-99999999999999999999",
    ] {
        let answer = caller.get(format!("{}/history?{query}", session.path())).await;
        assert_eq!((answer.status, answer.code()), (422, "invalid"), "{query}: {}", answer.body);
    }
    for query in
        ["status=pending&participant_id=a/b", "participant_id=%00", "metadata.=x", "metadata.%00=%00", "cursor=zz"]
    {
        assert_eq!(
            caller.get(format!("/v1/sessions?{query}")).await.expect(200).body["sessions"],
            json!([]),
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_http_harms_no_other_client() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let start = format!("POST {}/start HTTP/1.1\r\nhost: x\r\n", session.path());
    let authorization = format!("authorization: Bearer {}\r\n", caller.token().unwrap());
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", b"".to_vec()),
        ("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("half a line", b"GET /v1/ti".to_vec()),
        ("half a request", format!("{start}{authorization}content-length: 100\r\n\r\n{{\"at\":").into_bytes()),
        ("half a chunk", format!("{start}{authorization}transfer-encoding: chunked\r\n\r\nff\r\n{{").into_bytes()),
        (
            "a chunk of no length",
            format!("{start}{authorization}transfer-encoding: chunked\r\n\r\nzz\r\n").into_bytes(),
        ),
        (
            "two lengths",
            format!("{start}{authorization}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}").into_bytes(),
        ),
        (
            "length and chunks",
            format!("{start}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n").into_bytes(),
        ),
        ("a negative length", format!("{start}{authorization}content-length: -1\r\n\r\n").into_bytes()),
        ("no such version", b"GET /health HTTP/9.9\r\n\r\n".to_vec()),
        ("a bare line feed header", b"GET /health HTTP/1.1\nhost: x\nx\n\n".to_vec()),
        (
            "a header of 1 MB",
            [b"GET /health HTTP/1.1\r\nx: ".to_vec(), vec![b'x'; 1_000_000], b"\r\n\r\n".to_vec()].concat(),
        ),
        ("a path of 100 KB", [b"GET /".to_vec(), vec![b'x'; 100_000], b" HTTP/1.1\r\n\r\n".to_vec()].concat()),
        (
            "ten thousand headers",
            [b"GET /health HTTP/1.1\r\n".to_vec(), b"x: y\r\n".repeat(10_000), b"\r\n".to_vec()].concat(),
        ),
        ("HTTP/2 without its settings", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxx".to_vec()),
        (
            "an upgrade to nothing",
            b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: tea\r\n\r\n".to_vec(),
        ),
    ];
    for (what, bytes) in rows {
        let answer = exchange(caller.address(), &bytes).await;
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        let is_done = answer.starts_with("HTTP/1.1 2") && what.contains("upgrade") || !answer.starts_with("HTTP/1.1");
        assert!(is_refused || is_done, "{what}: {answer}");
        assert!(!answer.contains("HTTP/1.1 5"), "{what}: {answer}");
    }
    assert_eq!(caller.snapshot(&session).await["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_behind_a_good_request_takes_nothing_from_it() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let good = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = exchange(caller.address(), format!("{good}{good}\0\0\0 garbage\r\n\r\n").as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert!(!answer.contains("HTTP/1.1 5"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sender_delays_no_other_client() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut held = RawConnection::open(caller.address()).await;
        held.send(b"POST /v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-len").await;
        slow.push(held);
    }
    let session: Session = caller.running(blitz()).await;
    assert_eq!(caller.command(&session, "switch").await.version(), 3);
    drop(slow);
}
