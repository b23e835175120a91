//! Positions: entity tags, expected versions, races.

use std::collections::BTreeSet;

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Caller, Cluster, Session, blitz, stopwatch};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_the_newest_version_is_sent_nothing() {
    let cluster = Cluster::of(2).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let caller = cluster.caller(1);
    let tag = caller.get(session.path()).await.header("etag").to_owned();
    let strong = tag.trim_start_matches("W/").to_owned();
    for known in [tag.clone(), strong, format!("\"1-1\", {tag}"), "*".to_owned()] {
        let answer =
            caller.asking(Method::GET, session.path()).header("if-none-match", &known).send().await.expect(304);
        assert_eq!((answer.header("etag"), answer.bytes.len()), (tag.as_str(), 0), "{known}");
    }
    cluster.caller(0).command(&session, "start").await;
    for old in [tag.as_str(), "\"1-1\"", "nonsense", ""] {
        let answer = caller.asking(Method::GET, session.path()).header("if-none-match", old).send().await.expect(200);
        assert_eq!(answer.version(), 2, "{old}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_on_an_older_version_is_refused_with_the_present_one() {
    let cluster = Cluster::of(2).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let epoch = cluster.now_ms();
    let if_match = async |tag: String, body: Value| switch(&caller, &session, &tag, body).await;
    for stale in [format!("W/\"{epoch}-1\""), format!("\"{epoch}-3\""), format!("W/\"{}-2\"", epoch + 1)] {
        let refused = if_match(stale.clone(), json!({})).await.expect(409).refused("stale_version");
        assert_eq!(
            (&refused.body["session"]["version"], &refused.body["session"]["epoch"]),
            (&json!(2), &json!(epoch)),
            "{stale}"
        );
    }
    let command = async |body: Value| cluster.caller(1).command_with(&session, "switch", body).await;
    command(json!({"expected_version": 1})).await.expect(409).refused("stale_version");
    // Both must hold where both are given.
    if_match(format!("W/\"{epoch}-2\""), json!({"expected_version": 1})).await.refused("stale_version");
    assert_eq!(caller.snapshot(&session).await["version"], 2);

    assert_eq!(if_match(format!("W/\"{epoch}-2\""), json!({"expected_version": 2})).await.expect(200).version(), 3);
    assert_eq!(if_match("*".to_owned(), json!({})).await.expect(200).version(), 4);
    assert_eq!(command(json!({"expected_version": 4})).await.expect(200).version(), 5);
    assert_eq!(command(json!({"expected_version": null})).await.expect(200).version(), 6);
}

async fn switch(caller: &Caller, session: &Session, tag: &str, body: Value) -> Answer {
    let path = format!("{}/switch", session.path());
    caller.asking(Method::POST, path).header("if-match", tag).json(&body).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_holds_for_a_delete_and_for_participants_too() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let stale = format!("W/\"{}-1\"", cluster.now_ms());
    for (method, path) in [
        (Method::DELETE, session.path()),
        (Method::DELETE, format!("{}/participants/white", session.path())),
        (Method::PATCH, format!("{}/participants/white", session.path())),
    ] {
        let answer = caller.asking(method, path).header("if-match", &stale).json(&json!({})).send().await;
        answer.expect(409).refused("stale_version");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_expect_the_same_version_one_writes() {
    let cluster = Cluster::of(3).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let callers: Vec<_> = (0..60).map(|each| cluster.caller(each % 3)).collect();
    let racing = callers.iter().map(|caller| caller.command_with(&session, "switch", json!({"expected_version": 2})));
    let answers = join_all(racing).await;
    let won = answers.iter().filter(|answer| answer.status == 200).count();
    let stale = answers.iter().filter(|answer| answer.code() == "stale_version").count();
    assert_eq!((won, stale), (1, 59));
    assert_eq!(cluster.caller(0).snapshot(&session).await["version"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_racing_switches_are_all_applied_and_leave_no_hole() {
    let cluster = Cluster::of(3).start().await;
    let session = cluster.caller(0).running(stopwatch()).await;
    let callers: Vec<_> = (0..300).map(|each| cluster.caller(each % 3)).collect();
    let answers = join_all(callers.iter().map(|caller| caller.command(&session, "switch"))).await;
    let positions: BTreeSet<_> =
        answers.iter().map(|answer| answer.body["position"].as_str().unwrap().to_owned()).collect();
    let made: BTreeSet<_> = (3..303).map(|version| format!("{}-{version}", cluster.now_ms())).collect();
    assert_eq!(positions, made);
    let history = cluster.caller(1).get(format!("{}/history?limit=1000", session.path())).await.expect(200).body;
    let versions: Vec<_> =
        history["changes"].as_array().unwrap().iter().map(|change| change["version"].as_u64()).collect();
    assert_eq!(versions, (1..303).map(Some).collect::<Vec<_>>());
}
