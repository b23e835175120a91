//! What a request may cost: questions to the ledger, the length of answers, the room of a
//! session, and what it writes by itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use serde_json::{Value, json};
use synckairos::domain::chain::{Digest, Link};
use synckairos::domain::entry::Entry;
use synckairos::domain::id::TenantId;
use synckairos::domain::session::Session as Stored;
use synckairos::domain::session::growth::MAX_STORED_BYTES;
use synckairos::ledger::{Error, Filter};
use synckairos::wire::create::CreateBody;
use tokio::time::{Instant, timeout};

use crate::harness::cluster::{TENANT, key};
use crate::harness::watch::Transport;
use crate::harness::{Authority, Caller, Cluster, Session, eventually, stopwatch, with};

/// A page, its own few words included.
const PAGE: usize = 1024 * 1024 + 1_024;

/// Nobody waits longer for what has nothing to do with those who take much.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// So many participants with 8 KB of metadata each.
fn fat(participants: usize) -> Value {
    let words = "y".repeat(8_100);
    let all: Vec<_> =
        (0..participants).map(|n| json!({"participant_id": format!("p{n}"), "metadata": {"x": words}})).collect();
    json!({"sync_mode": "count_up", "participants": all})
}

/// What was committed so far is in the ledger.
async fn is_recorded(caller: &Caller, session: &Session) {
    eventually("a history that is complete", async || {
        let history = caller.get(format!("{}/history?limit=1000", session.path())).await.expect(200).body;
        let last = caller.snapshot(session).await["version"].as_u64();
        (history["changes"].as_array()?.last()?["version"].as_u64() == last).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ninth_label_or_one_twice_is_refused() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0).being(Authority::Viewer);
    let labels = |count: usize| (0..count).map(|n| format!("metadata.k{n}=v")).collect::<Vec<_>>().join("&");
    caller.get(format!("/v1/sessions?{}", labels(8))).await.expect(200);
    for many in [9, 900, 2_000] {
        let refused = caller.get(format!("/v1/sessions?{}", labels(many))).await.expect(422).refused("invalid");
        assert_eq!(refused.body["errors"][0]["pointer"], "/metadata");
        assert!(refused.body["detail"].as_str().unwrap().contains("at most 8"), "{}", refused.body);
    }
    let twice = caller.get("/v1/sessions?metadata.hall=a&metadata.hall=b").await.expect(422).refused("invalid");
    assert_eq!(twice.body["errors"][0]["pointer"], "/metadata.hall");
}

/// Far more than a caller may ask for: 900 labels of every session.
fn heavy() -> Filter {
    let mut metadata = vec![("k399".to_owned(), "v".to_owned()); 900];
    metadata.push(("k399".to_owned(), "w".to_owned()));
    Filter { metadata, ..Filter::default() }
}

/// A caller of another tenant than the busy one is answered within that; gives how soon.
async fn others_are_answered(cluster: &Cluster, id: &str, within: Duration) -> Duration {
    let stranger = cluster.caller(0).being(Authority::Foreign);
    let began = Instant::now();
    let (ready, listed, created) = futures::join!(
        stranger.get("/ready"),
        stranger.get("/v1/sessions"),
        stranger.post("/v1/sessions", with(stopwatch(), json!({"session_id": id}))),
    );
    let took = began.elapsed();
    assert!(took < within, "{took:?}");
    assert_eq!([ready.status, listed.status, created.status], [200, 200, 201]);
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_lists_of_one_tenant_keep_nobody_else_waiting() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let words: serde_json::Map<_, _> = (0..400).map(|n| (format!("k{n}"), json!("v"))).collect();
    for _ in 0..100 {
        let session = caller.create(with(stopwatch(), json!({"metadata": words}))).await;
        is_recorded(&caller, &session).await;
    }
    let (tenant, filter) = (TenantId::new(TENANT).unwrap(), heavy());
    let ledger = Arc::clone(&cluster.parts().ledger);
    let ask = || ledger.sessions(&tenant, &filter, None, 1);
    // A machine that is busy with other tests is slow at everything.
    let alone = others_are_answered(&cluster, "before", Duration::from_secs(5)).await;
    let within = ANSWER_TIMEOUT.max(4 * alone);
    // Six whose askers leave, and then six who stay.
    let left = timeout(Duration::from_millis(150), join_all((0..6).map(|_| ask()))).await;
    others_are_answered(&cluster, "left", within).await;
    let stay = async {
        let began = Instant::now();
        let answers = join_all((0..6).map(|_| ask())).await;
        let is_in_order = |answer: &Result<_, Error>| matches!(answer, Ok(_) | Err(Error::TooLong | Error::Busy));
        assert!(answers.iter().all(is_in_order), "{answers:?}");
        began.elapsed()
    };
    let others = async {
        for round in 0..3 {
            others_are_answered(&cluster, &format!("stay-{round}"), within).await;
        }
    };
    let (took, ()) = futures::join!(stay, others);
    assert!(took < Duration::from_secs(8), "{took:?}");
    // Only a file is slow at this.
    assert!(left.is_err() || cluster.backends().redis().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_page_ends_at_a_mebibyte() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    for number in 0..12 {
        let session = caller.create(with(fat(25), json!({"session_id": format!("s-{number:02}")}))).await;
        is_recorded(&caller, &session).await;
    }
    let (mut seen, mut pages, mut query) = (Vec::new(), 0, "?limit=1000".to_owned());
    loop {
        let page = caller.get(format!("/v1/sessions{query}")).await.expect(200);
        assert!(page.bytes.len() <= PAGE, "{}", page.bytes.len());
        seen.extend(page.body["sessions"].as_array().unwrap().iter().map(|each| each["session_id"].clone()));
        pages += 1;
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        query = format!("?limit=1000&cursor={cursor}");
    }
    assert_eq!(seen, (0..12).map(|number| json!(format!("s-{number:02}"))).collect::<Vec<_>>());
    assert!((3..=4).contains(&pages), "{pages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_as_long_as_its_changes() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(fat(25)).await;
    for _ in 0..60 {
        caller.command(&session, "switch").await;
    }
    is_recorded(&caller, &session).await;
    let history = caller.get(format!("{}/history?limit=1000", session.path())).await.expect(200);
    assert_eq!(history.body["changes"].as_array().unwrap().len(), 62);
    assert!(history.bytes.len() < 100_000, "{}", history.bytes.len());
    assert_eq!(history.body["next_cursor"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_past_its_room_is_refused_and_not_made() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let refused = caller.post("/v1/sessions", with(fat(33), json!({"session_id": "large"}))).await;
    refused.expect(413).refused("too_large");
    caller.get("/v1/sessions/large").await.expect(404);

    let session = caller.running(fat(32)).await;
    let one_more = json!({"participant_id": "more", "metadata": {"x": "y".repeat(8_100)}});
    let participants = format!("{}/participants", session.path());
    let told = caller.post(participants, one_more).await.expect(413).refused("too_large");
    assert!(told.body["detail"].as_str().unwrap().contains(&MAX_STORED_BYTES.to_string()), "{}", told.body);
    assert_eq!(caller.snapshot(&session).await["version"], 2);
    // It is still played with, whatever it weighs.
    for (version, command) in [(3, "switch"), (4, "pause"), (5, "resume"), (6, "cancel")] {
        assert_eq!(caller.command(&session, command).await.version(), version);
    }
    caller.asking(http::Method::DELETE, session.path()).send().await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_larger_before_goes_on() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = Session { id: "old".to_owned() };
    record_as_before(&cluster, &session, fat(60)).await;
    assert_eq!(caller.command(&session, "start").await.version(), 2);
    for command in ["switch", "pause", "resume"] {
        caller.command(&session, command).await;
    }
    let first = format!("{}/participants/p0", session.path());
    let change =
        |metadata: Value| caller.asking(http::Method::PATCH, first.clone()).json(&json!({"metadata": metadata})).send();
    change(json!({"x": "y".repeat(8_150)})).await.expect(413).refused("too_large");
    change(json!({"x": "short"})).await.expect(200);
    caller.command_with(&session, "pause", json!({"reason": "one"})).await.expect(200);
    let second = caller.command_with(&session, "pause", json!({"reason": "another"})).await;
    second.expect(413).refused("too_large");
    caller.command(&session, "resume").await;
    caller.command(&session, "cancel").await;
    caller.asking(http::Method::DELETE, session.path()).send().await.expect(204);
}

/// What a release without a bound has left in the ledger.
async fn record_as_before(cluster: &Cluster, session: &Session, body: Value) {
    let body: CreateBody = serde_json::from_value(body).unwrap();
    let new = body.into_new(session.id.parse().unwrap()).unwrap();
    let made = Stored::create(new, cluster.parts().clock.now()).unwrap().session;
    let body = Bytes::from(made.stored());
    assert!(body.len() > MAX_STORED_BYTES);
    let link = Link { position: made.position, at: made.updated_at, previous: Digest::NONE, body: Digest::of(&body) };
    let entry = Entry { key: key(TENANT, session), link, body: Some(body), change: "{}".into(), idempotency: None };
    cluster.parts().ledger.record(&[Arc::new(entry)]).await.unwrap();
}

/// Two whose turns advance by themselves.
fn round(cycle_ms: i64) -> Value {
    json!({
        "sync_mode": "per_cycle", "time_per_cycle_ms": cycle_ms, "auto_advance": true,
        "participants": [{"participant_id": "a"}, {"participant_id": "b"}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_advance_by_themselves_once_a_second_at_most() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let by_action = with(round(999), json!({"auto_advance": false, "action_on_timeout": {"type": "advance"}}));
    for fast in [round(999), by_action] {
        let refused = caller.post("/v1/sessions", fast).await.expect(422).refused("invalid_time_control");
        assert_eq!(refused.body["errors"][0]["pointer"], "/time_per_cycle_ms");
        assert!(refused.body["detail"].as_str().unwrap().contains("at least 1000"), "{}", refused.body);
    }
    caller.create(round(1_000)).await;
    caller.create(with(round(1), json!({"auto_advance": false}))).await;
    let cluster = Cluster::of(1).with(|config| config.least_advance = Duration::from_millis(100)).start().await;
    cluster.caller(0).create(round(100)).await;
    cluster.caller(0).post("/v1/sessions", round(99)).await.expect(422);
}

async fn idle_after_ten_seconds() -> Cluster {
    Cluster::of(2).with(|config| config.session_idle_ttl = Duration::from_secs(10)).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_without_watchers_come_to_rest() {
    let cluster = idle_after_ten_seconds().await;
    let caller = cluster.caller(0);
    let session = caller.running(round(1_000)).await;
    for turn in 1..=9 {
        cluster.clock().advance_ms(1_000);
        let snapshot = caller.snapshot(&session).await;
        assert_eq!((&snapshot["status"], &snapshot["version"]), (&json!("running"), &json!(2 + turn)));
    }
    cluster.clock().advance_ms(1_000);
    let idle = caller.snapshot(&session).await;
    assert_eq!((&idle["status"], &idle["pause_reasons"]), (&json!("paused"), &json!(["idle"])));
    assert_eq!((&idle["version"], &idle["total_time_ms"]), (&json!(12), &json!(1_000)));
    cluster.clock().advance_ms(60_000);
    assert_eq!(caller.snapshot(&session).await["version"], 12);
    let history = caller.get(format!("{}/history", session.path())).await.expect(200).body;
    let told = &history["changes"].as_array().unwrap().last().unwrap()["change"];
    assert_eq!((&told["command"], &told["outcome"]["type"]), (&json!("settle"), &json!("paused")));
    assert_eq!((&told["by"], &told["reason"]), (&Value::Null, &json!("idle")));
    caller.command(&session, "resume").await;
    cluster.clock().advance_ms(1_000);
    assert_eq!(caller.snapshot(&session).await["status"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_go_on_while_anybody_watches_or_acts() {
    let cluster = idle_after_ten_seconds().await;
    let (caller, watched) = (cluster.caller(0), cluster.caller(0).running(round(1_000)).await);
    let mut watcher = cluster.watch(1, &watched).over(Transport::WebSocket).await;
    watcher.until("STATE_SYNC").await;
    let played = caller.running(round(1_000)).await;
    for turn in 1..=25 {
        cluster.clock().advance_ms(1_000);
        assert_eq!(caller.snapshot(&watched).await["status"], "running");
        assert_eq!(caller.snapshot(&played).await["status"], "running");
        if turn % 8 == 0 {
            caller.command(&played, "switch").await;
        }
    }
}
