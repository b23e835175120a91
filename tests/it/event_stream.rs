//! Server-sent events and long-poll: the same frames by the same cursor.

use http::Method;
use serde_json::json;

use crate::harness::cluster::TENANT;
use crate::harness::events::Events;
use crate::harness::token::claims;
use crate::harness::{Authority, Cluster, Session, blitz, countdown, eventually, with};

fn path(session: &Session) -> String {
    format!("{}/events", session.path())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_the_state_then_every_change_with_its_position() {
    let cluster = Cluster::of(2).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(countdown(60_000)).await;
    let mut events = Events::open(&cluster.caller(1), &path(&session), None).await;
    let first = events.next().await.unwrap();
    assert_eq!((first.kind.as_str(), first.data["payload"]["version"].as_u64()), ("STATE_SYNC", Some(1)));
    assert_eq!(first.id.as_deref(), first.data["position"].as_str());
    caller.command(&session, "start").await;
    let started = events.next().await.unwrap();
    assert_eq!((started.kind.as_str(), started.data["payload"]["status"].as_str()), ("STATE_UPDATE", Some("running")));
    cluster.clock().advance_ms(60_000);
    let ended = events.next().await.unwrap();
    assert_eq!((ended.kind.as_str(), ended.id), ("STATE_UPDATE", None));
    let expired = events.next().await.unwrap();
    assert_eq!((expired.kind.as_str(), expired.id.as_deref()), ("TIME_EXPIRED", ended.data["position"].as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnected_stream_gets_missed_versions_once_in_order() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let mut watching = Events::open(&caller, &path(&session), None).await;
    let seen = watching.next().await.unwrap().id.unwrap();
    for _ in 0..5 {
        caller.command(&session, "switch").await;
    }
    // The ring is known to hold all five once somebody was told of the last.
    while watching.next().await.unwrap().data["payload"]["version"] != 7 {}
    let mut events = Events::open(&caller, &path(&session), Some(&seen)).await;
    for version in 3..=7 {
        let event = events.next().await.unwrap();
        assert_eq!((event.kind.as_str(), event.data["payload"]["version"].as_u64()), ("STATE_UPDATE", Some(version)));
    }
    let mut events = Events::open(&caller, &path(&session), Some("99999999999999-1")).await;
    let newest = events.next().await.unwrap();
    assert_eq!((newest.kind.as_str(), newest.data["payload"]["version"].as_u64()), ("STATE_SYNC", Some(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_missed_nothing_gets_a_heartbeat_at_once() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let mut events = Events::open(&caller, &path(&session), None).await;
    let first = events.next_of_any_kind().await.unwrap();
    assert_eq!(first.kind, "STATE_SYNC", "the state comes before anything else");
    let seen = first.id.unwrap();
    let mut back = Events::open(&caller, &path(&session), Some(&seen)).await;
    let alive = back.next_of_any_kind().await.unwrap();
    assert_eq!((alive.kind.as_str(), &alive.id, &alive.data["position"]), ("HEARTBEAT", &None, &json!(seen)));
    caller.command(&session, "start").await;
    assert_eq!(back.next_of_any_kind().await.unwrap().kind, "STATE_UPDATE");
    let mut late = Events::open(&caller, &path(&session), Some(&seen)).await;
    assert_eq!(late.next_of_any_kind().await.unwrap().kind, "STATE_UPDATE", "what was missed comes first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_closes_its_stream_for_good() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let mut events = Events::open(&caller, &path(&session), None).await;
    let seen = events.next().await.unwrap().id.unwrap();
    caller.asking(Method::DELETE, session.path()).send().await.expect(204);
    let deleted = events.next().await.unwrap();
    assert_eq!(deleted.kind, "SESSION_DELETED");
    let close = events.next().await.unwrap();
    assert_eq!((close.kind.as_str(), close.data["code"].as_u64()), ("CLOSE", Some(4_503)));
    assert!(events.next().await.is_none(), "nothing follows a close");
    let mut late = Events::open(&caller, &path(&session), Some(&seen)).await;
    assert_eq!(late.next().await.unwrap().kind, "SESSION_DELETED", "who missed it is told");
    let last = deleted.id.unwrap();
    let back = caller.asking(Method::GET, path(&session)).header("last-event-id", &last).send().await;
    assert_eq!(back.status, 204);
    caller.get(path(&session)).await.expect(404).refused("session_not_found");
    caller.get("/v1/sessions/nobody/events").await.expect(404).refused("session_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_share_a_stream_and_its_cursor() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let (one, two) = (caller.create(blitz()).await, caller.create(blitz()).await);
    let path = format!("/v1/events?sessions={},{}", one.id, two.id);
    let mut events = Events::open(&caller, &path, None).await;
    events.next().await.unwrap();
    let both = events.next().await.unwrap().id.unwrap();
    caller.command(&two, "start").await;
    let started = events.next().await.unwrap();
    assert_eq!(started.data["session_id"], two.id.as_str());
    let mut back = Events::open(&caller, &path, Some(&both)).await;
    let missed = back.next().await.unwrap();
    assert_eq!((missed.kind.as_str(), &missed.data["session_id"]), ("STATE_UPDATE", &json!(two.id)));
    let many = vec!["x"; 1_001].join(",");
    caller.get(format!("/v1/events?sessions={many}")).await.expect(422).refused("invalid");
    caller.get("/v1/events").await.expect(422).refused("invalid");
    let twice = format!("/v1/events?sessions={},{}", one.id, one.id);
    caller.get(twice).await.expect(422).refused("invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_session_is_told_of_and_the_others_go_on() {
    let cluster = Cluster::of(2).start().await;
    let caller = cluster.caller(0);
    let (one, gone) = (caller.create(blitz()).await, caller.create(blitz()).await);
    caller.asking(Method::DELETE, gone.path()).send().await.expect(204);
    let missing: Vec<_> = (0..5).map(|n| format!("nobody-{n}")).collect();
    let sessions = format!("{},{},{}", missing.join(","), one.id, gone.id);
    let path = format!("/v1/events?sessions={sessions}");
    let mut events = Events::open(&cluster.caller(1), &path, None).await;
    let mut unknown = std::collections::BTreeSet::new();
    for _ in 0..6 {
        let event = events.next().await.unwrap();
        assert_eq!((event.kind.as_str(), event.id), ("SESSION_NOT_FOUND", None), "{}", event.data);
        assert_eq!((&event.data["type"], &event.data["payload"]), (&json!("SESSION_NOT_FOUND"), &json!({})));
        assert!(unknown.insert(event.data["session_id"].as_str().unwrap().to_owned()), "told once each");
    }
    assert!(unknown.contains(&gone.id) && !unknown.contains(&one.id), "{unknown:?}");
    let state = events.next().await.unwrap();
    assert_eq!((state.kind.as_str(), &state.data["session_id"]), ("STATE_SYNC", &json!(one.id)));
    caller.command(&one, "start").await;
    let started = events.next().await.unwrap();
    // A place for each that was asked for, so that the cursor stays one.
    let position = started.data["position"].as_str().unwrap().to_owned();
    let cursor = started.id.unwrap();
    assert_eq!(cursor, format!("-,-,-,-,-,{position},-"));
    caller.command(&one, "switch").await;
    let mut back = Events::open(&cluster.caller(1), &path, Some(&cursor)).await;
    let mut kinds = Vec::new();
    while kinds.len() < 7 {
        kinds.push(back.next().await.unwrap().kind);
    }
    assert_eq!(kinds.iter().filter(|kind| *kind == "SESSION_NOT_FOUND").count(), 6, "{kinds:?}");
    assert!(kinds.contains(&"STATE_UPDATE".to_owned()), "it resumes: {kinds:?}");
    // One that may not be seen looks the same as one that is not there.
    let limited = with(claims(TENANT, "viewer"), json!({"sessions": [one.id]}));
    let hidden = format!("/v1/events?sessions={},hidden", one.id);
    let mut events = Events::open(&caller.claiming(&limited), &hidden, None).await;
    assert_eq!(events.next().await.unwrap().kind, "SESSION_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_unknown_sessions_alone_is_refused() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let path = "/v1/events?sessions=nobody,none";
    caller.get(path).await.expect(404).refused("session_not_found");
    let back = caller.asking(Method::GET, path).header("last-event-id", "-,-").send().await;
    assert_eq!(back.status, 204, "an EventSource that comes back is told to stay away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_last_session_it_follows() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let (one, two) = (caller.create(blitz()).await, caller.create(blitz()).await);
    let mut events = Events::open(&caller, &format!("/v1/events?sessions={},{}", one.id, two.id), None).await;
    let mut last = String::new();
    for _ in 0..2 {
        last = events.next().await.unwrap().id.unwrap();
    }
    caller.asking(Method::DELETE, one.path()).send().await.expect(204);
    let deleted = events.next().await.unwrap();
    assert_eq!(deleted.kind, "SESSION_DELETED");
    caller.command(&two, "start").await;
    let started = events.next().await.unwrap();
    let position = started.data["position"].as_str().unwrap();
    assert_eq!(started.id.as_deref(), Some(format!("-,{position}").as_str()), "after {last}");
    caller.asking(Method::DELETE, two.path()).send().await.expect(204);
    assert_eq!(events.next().await.unwrap().kind, "SESSION_DELETED");
    let close = events.next().await.unwrap();
    assert_eq!((close.kind.as_str(), close.data["code"].as_u64()), ("CLOSE", Some(4_503)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_says_goodbye_on_every_transport() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let mut events = Events::open(&caller, &path(&session), None).await;
    let seen = events.next().await.unwrap().id.unwrap();
    let parked = format!("{}/poll?since={seen}&timeout_ms=60000", session.path());
    let polling = tokio::spawn({
        let caller = caller.clone();
        async move { caller.get(parked).await }
    });
    eventually("a poll that is parked", async || {
        let scrape = caller.scrape(cluster.instance(0).metrics_address).await;
        scrape.lines().any(|line| line.starts_with("synckairos_subscribers{transport=\"poll\"} 1")).then_some(())
    })
    .await;
    cluster.instance(0).front.begin();
    let sent_away = polling.await.unwrap().expect(200).body;
    assert_eq!(sent_away["timed_out"], true);
    assert!(sent_away["next_poll_ms"].as_u64().unwrap() <= 1_000, "{sent_away}");
    let close = events.next().await.unwrap();
    assert_eq!((close.kind.as_str(), close.data["code"].as_u64()), ("CLOSE", Some(1_012)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_answers_at_once_when_there_is_news_and_waits_when_there_is_none() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let path = format!("{}/poll", session.path());
    let first = caller.get(path.as_str()).await.expect(200);
    assert_eq!((first.body["session"]["version"].as_u64(), &first.body["events"]), (Some(1), &json!([])));
    let since = first.body["position"].as_str().unwrap().to_owned();
    assert_eq!(first.header("etag"), format!("W/\"{since}\""));
    let waiting = tokio::spawn({
        let (caller, path) = (caller.clone(), format!("{path}?since={since}"));
        async move { caller.get(path).await }
    });
    caller.command(&session, "start").await;
    let answer = waiting.await.unwrap().expect(200).body;
    assert_eq!((&answer["timed_out"], answer["session"]["version"].as_u64()), (&json!(false), Some(2)));
    let again = caller.get(format!("{path}?since={since}")).await.expect(200).body;
    assert_eq!((again["events"][0]["type"].as_str(), &again["position"]), (Some("STATE_UPDATE"), &answer["position"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_ends_in_time_and_refuses_an_invalid_position() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let path = format!("{}/poll", session.path());
    let since = caller.get(path.as_str()).await.body["position"].as_str().unwrap().to_owned();
    let quiet = caller.get(format!("{path}?since={since}&timeout_ms=1000")).await.expect(200).body;
    assert_eq!((&quiet["timed_out"], &quiet["position"]), (&json!(true), &json!(since)));
    for odd in ["nonsense", "1-1", "99999999999999-1", "-1", "5"] {
        let answer = caller.get(format!("{path}?since={odd}")).await.expect(200).body;
        assert_eq!((answer["session"]["version"].as_u64(), &answer["timed_out"]), (Some(1), &json!(false)), "{odd}");
    }
    for odd in ["999", "60001", "x", "-1"] {
        caller.get(format!("{path}?timeout_ms={odd}")).await.expect(422).refused("invalid");
    }
    caller.being(Authority::Foreign).get(path.as_str()).await.expect(404).refused("session_not_found");
    caller.being(Authority::Anonymous).get(path.as_str()).await.expect(401).refused("unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sessions_share_a_stream_with_a_cursor_each() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let mut sessions = Vec::new();
    for _ in 0..1_000 {
        sessions.push(caller.create(countdown(60_000)).await);
    }
    let ids: Vec<_> = sessions.iter().map(|session| session.id.as_str()).collect();
    let mut events = Events::open(&caller, &format!("/v1/events?sessions={}", ids.join(",")), None).await;
    let mut told = std::collections::BTreeSet::new();
    while told.len() < 1_000 {
        let event = events.next().await.unwrap();
        assert_eq!(event.kind, "STATE_SYNC");
        assert!(told.insert(event.data["session_id"].as_str().unwrap().to_owned()), "told once each");
    }
    // A position of a session that has come further is from the future for this one.
    caller.command(&sessions[0], "start").await;
    let further = caller.snapshot(&sessions[0]).await;
    let position = format!("{}-{}", further["epoch"], further["version"]);
    let mut other = Events::open(&caller, &path(&sessions[1]), Some(&position)).await;
    let first = other.next().await.unwrap();
    assert_eq!((first.kind.as_str(), first.data["payload"]["version"].as_u64()), ("STATE_SYNC", Some(1)));
}
