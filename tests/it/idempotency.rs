//! Idempotency keys of commands.

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Authority, Caller, Cluster, Session, blitz};

async fn keyed(caller: &Caller, session: &Session, command: &str, key: &str, body: Value) -> Answer {
    caller.asking(Method::POST, format!("{}/{command}", session.path())).key(key).json(&body).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_first_outcome_and_position_with_the_present_snapshot() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    cluster.clock().advance_ms(3_000);
    let first = keyed(&cluster.caller(0), &session, "switch", "k", json!({})).await.expect(200);
    assert_eq!(first.header("idempotent-replayed"), "");
    cluster.clock().advance_ms(1_000);
    cluster.caller(0).command(&session, "pause").await;
    let again = keyed(&cluster.caller(1), &session, "switch", "k", json!({})).await.expect(200);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!((&again.body["outcome"], &again.body["position"]), (&first.body["outcome"], &first.body["position"]));
    assert_eq!((again.version(), &again.body["status"]), (4, &json!("paused")));
    assert_eq!(again.header("etag"), format!("W/\"{}-4\"", again.body["epoch"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_with_something_else_is_refused() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    keyed(&caller, &session, "switch", "k", json!({})).await.expect(200);
    for (command, body) in [("switch", json!({"current_participant_id": "black"})), ("pause", json!({}))] {
        keyed(&caller, &session, command, "k", body).await.expect(422).refused("idempotency_mismatch");
    }
    assert_eq!(caller.snapshot(&session).await["version"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_its_subject_and_session() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let (one, two) = (caller.running(blitz()).await, caller.running(blitz()).await);
    for (caller, session) in [(&caller, &one), (&caller, &two), (&caller.being(Authority::Admin), &one)] {
        let answer = keyed(caller, session, "switch", "k", json!({})).await.expect(200);
        assert_eq!(answer.header("idempotent-replayed"), "");
    }
    assert_eq!(
        (caller.snapshot(&one).await["version"].as_u64(), caller.snapshot(&two).await["version"].as_u64()),
        (Some(4), Some(3))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_uses_up_no_key() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    keyed(&caller, &session, "switch", "k", json!({})).await.expect(409).refused("not_running");
    caller.command(&session, "start").await;
    let answer = keyed(&caller, &session, "switch", "k", json!({})).await.expect(200);
    assert_eq!((answer.version(), answer.header("idempotent-replayed")), (3, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_repeats_at_once_one_writes() {
    let cluster = Cluster::of(3).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let callers: Vec<_> = (0..60).map(|each| cluster.caller(each % 3)).collect();
    let answers = join_all(callers.iter().map(|caller| keyed(caller, &session, "switch", "k", json!({})))).await;
    let fresh = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_empty()).count();
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!((fresh, cluster.caller(0).snapshot(&session).await["version"].as_u64()), (1, Some(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_forgotten_after_ten_minutes_and_no_sooner() {
    // Redis forgets by its own clock, and not to the millisecond.
    let cluster = Cluster::of(1).embedded().start().await;
    let caller = cluster.caller(0);
    let session = caller.running(json!({"sync_mode": "count_up"})).await;
    keyed(&caller, &session, "switch", "k", json!({})).await.expect(200);
    cluster.clock().advance_ms(600_000);
    keyed(&caller, &session, "switch", "other", json!({})).await.expect(200);
    assert_eq!(keyed(&caller, &session, "switch", "k", json!({})).await.header("idempotent-replayed"), "true");
    cluster.clock().advance_ms(1);
    keyed(&caller, &session, "switch", "third", json!({})).await.expect(200);
    assert_eq!(keyed(&caller, &session, "switch", "k", json!({})).await.expect(200).header("idempotent-replayed"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_key_is_refused() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    for bad in [String::new(), "k".repeat(257), "\u{e9}\u{1f980}".to_owned()] {
        keyed(&caller, &session, "start", &bad, json!({})).await.expect(422).refused("invalid");
    }
    assert_eq!(caller.snapshot(&session).await["version"], 1);
}
