//! Parameters that nobody asked for, as other people's clients send them: ignored on every
//! GET, refused in a list. The routes are read off the route table, so a new one is here.

use http::Method;
use serde_json::json;

use crate::harness::watch::{Transport, Watching};
use crate::harness::{Caller, Cluster, Session, stopwatch};

/// What jQuery, a polyfill or a tracker adds.
const UNKNOWN: &str = "_=1&evs_preamble=x&colour=blue&utm_source=a%20b";

/// A misspelt filter of these would show too much.
const LISTS: [&str; 2] = ["/sessions", "/sessions/{id}/history"];

/// The paths of a route table that answer to GET.
fn gets(table: &str) -> Vec<&str> {
    let routes = table.split(".route(").skip(1);
    let gets = routes.filter(|route| route.contains("get("));
    gets.map(|route| route.split('"').nth(1).expect("a path")).collect()
}

/// Every route of the service that answers to GET, and under what.
fn routes() -> Vec<(&'static str, &'static str)> {
    let plain = [include_str!("../../src/http/mod.rs"), include_str!("../../src/http/v1/mod.rs")].map(gets).concat();
    let streams = gets(include_str!("../../src/http/v1/streams/mod.rs"));
    assert!(plain.len() >= 7 && streams.len() >= 5, "the tables are read: {plain:?} {streams:?}");
    let is_bare = |path: &&str| ["/health", "/ready"].contains(path);
    let (bare, api): (Vec<_>, Vec<_>) = plain.into_iter().chain(streams).partition(is_bare);
    let api = ["/v1", "/api/v1", "/api"].into_iter().flat_map(|base| api.iter().map(move |path| (base, *path)));
    let pages = ["/", "/web/app.js", "/sdk/index.js"].into_iter().chain(bare).map(|path| ("", path));
    pages.chain(api).collect()
}

/// What a route cannot do without.
fn needed(path: &str, session: &Session) -> String {
    match path {
        "/events" => format!("sessions={}", session.id),
        "/sessions/{id}/at" => "time=2026-01-01T00:00:00Z".to_owned(),
        _ => String::new(),
    }
}

async fn status(caller: &Caller, path: &str, query: &str) -> u16 {
    caller.asking(Method::GET, format!("{path}?{query}")).begin().await.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_parameters_are_ignored_on_every_get_but_lists() {
    let cluster = Cluster::of(1).with(crate::harness::seal::with_secret).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(stopwatch()).await;
    for (base, route) in routes() {
        let path = format!("{base}{}", route.replace("{id}", &session.id));
        let needed = needed(route, &session);
        let expected = if route.ends_with("/ws") { 400 } else { 200 };
        assert_eq!(status(&caller, &path, &needed).await, expected, "{path}?{needed}");
        assert_eq!(status(&caller, &path, &format!("{needed}&_=1")).await, expected, "{path} with `_`");
        let answered = status(&caller, &path, &format!("{needed}&{UNKNOWN}")).await;
        assert_eq!(answered, if LISTS.contains(&route) { 422 } else { expected }, "{path} with {UNKNOWN}");
    }
    for watching in [Watching::of(caller.clone(), &session), Watching::many(caller.clone())] {
        assert!(watching.asking(UNKNOWN).attempt(Transport::WebSocket).await.is_ok());
    }
    let upgraded = Watching::at(caller.clone(), &session.path()).asking(UNKNOWN);
    assert!(upgraded.attempt(Transport::WebSocket).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_parameter_is_read_beside_unknown_ones() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(stopwatch()).await;
    for (path, query) in [
        ("poll", "timeout_ms=999"),
        ("events", "heartbeat_ms=1"),
        ("events", "warnings=2"),
        ("poll", "since=1-1&since=1-2"),
        ("events", "last=1-1&last=1-2"),
        ("at", "time=yesterday"),
    ] {
        let path = format!("{}/{path}?{UNKNOWN}&{query}", session.path());
        caller.get(path.as_str()).await.expect(422).refused("invalid");
    }
    let listed = caller.get("/v1/sessions?_=1&limit=1&status=running").await;
    // The ledger may hear of it a little later; the parameters are what counts here.
    assert_eq!(listed.expect(200).body["next_cursor"], json!(null));
}

/// The first event of a stream that comes with that cursor in that place.
async fn first(caller: &Caller, session: &Session, query: &str, header: Option<&str>) -> String {
    let mut kept = crate::harness::raw::KeepAliveConnection::open(caller.address()).await;
    let header = header.map(|cursor| format!("last-event-id: {cursor}\r\n")).unwrap_or_default();
    let authorization = format!("Bearer {}", caller.token().unwrap());
    kept.ask(&format!("{}/events?{query}", session.path()), &authorization, &header).await;
    assert_eq!(kept.answer().await.unwrap().status, 200, "{query}");
    loop {
        let line = crate::harness::soon("a line", kept.line()).await.expect("an event");
        if let Some(kind) = line.strip_prefix("event: ") {
            return kind.to_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_resumes_by_each_of_its_names_and_the_newest_counts() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(stopwatch()).await;
    let epoch = caller.snapshot(&session).await["epoch"].as_i64().unwrap();
    let (newest, old) = (format!("{epoch}-2"), format!("{epoch}-1"));
    for (query, header, expected) in [
        (format!("last={newest}"), None, "HEARTBEAT"),
        (format!("lastEventId={newest}"), None, "HEARTBEAT"),
        (format!("evs_last_event_id={newest}"), None, "HEARTBEAT"),
        // The address a page was given says where it began, not where it has got to.
        (format!("last={old}&lastEventId={newest}"), None, "HEARTBEAT"),
        (format!("last={newest}&lastEventId={old}"), None, "STATE_SYNC"),
        (format!("last={old}&evs_last_event_id={newest}"), None, "HEARTBEAT"),
        (format!("lastEventId={old}"), Some(&newest), "HEARTBEAT"),
        (format!("lastEventId={newest}"), Some(&old), "STATE_SYNC"),
        (format!("last={newest}&lastEventId=nonsense"), None, "HEARTBEAT"),
        ("last=nonsense".to_owned(), None, "STATE_SYNC"),
        ("lastEventId=".to_owned(), None, "STATE_SYNC"),
    ] {
        let first = first(&caller, &session, &query, header.map(String::as_str)).await;
        assert_eq!(first, expected, "{query} {header:?}");
    }
}
