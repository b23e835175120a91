//! `/v1/security/events`: what is recorded, for whom, as one row or a count, and never a secret.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::harness::cluster::TENANT;
use crate::harness::process::Host;
use crate::harness::token::{SECRET, claims, signed, signed_by};
use crate::harness::watch::{Transport, Watching};
use crate::harness::{Authority, Caller, Cluster, blitz, eventually, with};

const PATH: &str = "/v1/security/events";

fn admin(cluster: &Cluster) -> Caller {
    cluster.caller(0).being(Authority::Admin)
}

/// The events of a kind, newest first, once there are as many.
async fn events(admin: &Caller, kind: &str, count: usize) -> Vec<Value> {
    eventually(kind, async || {
        let listed = admin.get(format!("{PATH}?kind={kind}")).await.expect(200).body;
        let events = listed["events"].as_array().unwrap().clone();
        (events.len() >= count).then_some(events)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_changes_are_recorded_for_their_tenant() {
    let cluster = Cluster::of(1).start().await;
    let (admin, viewer) = (admin(&cluster), cluster.caller(0).being(Authority::Viewer));
    let session = cluster.caller(0).running(blitz()).await;
    viewer.post("/v1/sessions", blitz()).await.expect(403);
    viewer.command_with(&session, "pause", json!({})).await.expect(403);
    admin
        .asking(Method::PATCH, "/v1/settings")
        .json(&json!({"anomaly_floor": 70, "anomalies": null}))
        .send()
        .await
        .expect(200);
    let made = admin.post("/v1/revocations", json!({"jti": "j"})).await.expect(201).body;
    let path = format!("/v1/revocations/{}", made["id"].as_str().unwrap());
    admin.asking(Method::DELETE, path).send().await.expect(204);
    cluster.caller(0).post(format!("{}/tokens", session.path()), json!({"sub": "screen"})).await.expect(201);

    let refused = events(&admin, "forbidden", 1).await;
    assert!(refused.iter().all(|event| event["sub"] == "a-viewer"), "{refused:?}");
    let changed = &events(&admin, "settings_changed", 1).await[0];
    assert_eq!((&changed["sub"], &changed["detail"]), (&json!("a-admin"), &json!("anomaly_floor = 70")));
    for (kind, words) in
        [("revocation_added", "token j"), ("revocation_removed", "revocation"), ("token_issued", "for screen")]
    {
        let event = &events(&admin, kind, 1).await[0];
        assert!(event["detail"].as_str().unwrap().contains(words), "{event}");
        assert_eq!(event["count"], 1);
    }
    let all = admin.get(PATH).await.expect(200).body["events"].as_array().unwrap().clone();
    assert!(all.is_sorted_by_key(|event| std::cmp::Reverse(event["id"].as_str().unwrap().to_owned())), "{all:?}");
    let rival = cluster.caller(0).being(Authority::Foreign).get(PATH).await.expect(200).body;
    assert_eq!(rival["events"], json!([]));
    admin.asking(Method::GET, PATH).header("accept", "application/json").send().await.expect(200);
    for authority in [Authority::Viewer, Authority::Participant("white"), Authority::Operator] {
        cluster.caller(0).being(authority).get(PATH).await.expect(403);
    }
    cluster.caller(0).being(Authority::Anonymous).get(PATH).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_within_a_second_are_a_count() {
    let cluster = Cluster::of(1).start().await;
    let viewer = cluster.caller(0).being(Authority::Viewer);
    for _ in 0..40 {
        viewer.post("/v1/sessions", blitz()).await.expect(403);
    }
    let count = async || {
        let events = events(&admin(&cluster), "forbidden", 1).await;
        let counts: Vec<_> = events.iter().map(|event| event["count"].as_u64().unwrap()).collect();
        (counts.iter().sum::<u64>(), counts.len())
    };
    let rows = eventually("all are counted", async || {
        let (sum, rows) = count().await;
        (sum == 40).then_some(rows)
    })
    .await;
    assert!(rows <= 10, "{rows} rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_pages_by_kind_and_instant() {
    let cluster = Cluster::of(1).start().await;
    let admin = admin(&cluster);
    for number in 0..5 {
        cluster.clock().advance_ms(1_000);
        admin.post("/v1/revocations", json!({"jti": format!("j{number}")})).await.expect(201);
        events(&admin, "revocation_added", number + 1).await;
    }
    let detail = |event: &Value| event["detail"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned();
    let mut seen = Vec::new();
    let mut path = format!("{PATH}?limit=2");
    loop {
        let page = admin.get(&path).await.expect(200).body;
        seen.extend(page["events"].as_array().unwrap().iter().map(detail));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{PATH}?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["j4", "j3", "j2", "j1", "j0"]);
    let late = admin.get(format!("{PATH}?since=2026-01-01T00:00:04Z")).await.expect(200).body;
    assert_eq!(late["events"].as_array().unwrap().iter().map(detail).collect::<Vec<_>>(), ["j4", "j3"]);
    assert_eq!(admin.get(format!("{PATH}?kind=anomaly")).await.expect(200).body["events"], json!([]));
    for bad in ["?kind=nonsense", "?since=yesterday", "?colour=blue", "?limit=1001"] {
        admin.get(format!("{PATH}{bad}")).await.expect(422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_changes_on_a_stream_is_recorded() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let of = |role: &str| signed(&with(claims(TENANT, role), json!({"sub": "somebody"})));
    let viewer = cluster.caller(0).being(Authority::Token(of("viewer")));
    let mut watcher = Watching::of(viewer, &session).over(Transport::WebSocket).await;
    watcher.until("STATE_SYNC").await;
    watcher.ask(json!({"type": "AUTH", "token": of("operator")})).await;
    let renewed = &events(&admin(&cluster), "token_renewed", 1).await[0];
    assert_eq!(
        (&renewed["sub"], &renewed["detail"]),
        (&json!("somebody"), &json!("AUTH on a stream: from viewer to operator"))
    );
    watcher.say(json!({"type": "AUTH", "token": of("viewer") + "x"})).await;
    assert_eq!(watcher.until_closed().await, 4500);
    let refused = &events(&admin(&cluster), "token_refused", 1).await[0];
    assert_eq!(refused["sub"], "somebody");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_noticed_before_a_stop_is_recorded() {
    let host = Host::new().with("JWT_SECRET", SECRET);
    let process = host.serve().await;
    host.caller().being(Authority::Viewer).post("/v1/sessions", blitz()).await.expect(403);
    assert!(process.terminate().await.success());
    let process = host.serve().await;
    events(&host.caller().being(Authority::Admin), "forbidden", 1).await;
    assert!(process.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_in_the_log_alone_and_without_their_text() {
    let host = Host::new().with("JWT_SECRET", SECRET);
    let process = host.serve().await;
    let forged = signed_by("another key, of more than thirty-two bytes", &claims(TENANT, "admin"));
    let bearer = host.caller().being(Authority::Token(forged.clone()));
    for _ in 0..100 {
        bearer.get("/v1/sessions").await.expect(401);
    }
    let name = signed(&with(claims(TENANT, "viewer"), json!({"sub": "a\nWARN forged line"})));
    host.caller().being(Authority::Token(name.clone())).post("/v1/sessions", blitz()).await.expect(403);
    let admin = host.caller().being(Authority::Admin);
    events(&admin, "forbidden", 1).await;
    // Found within a minute: after the window of ten seconds in which they came.
    eventually_slowly("the address is anomalous", async || {
        process.log().contains("wrong_tokens in the last minute").then_some(())
    })
    .await;
    let log = process.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("token_refused")).collect();
    assert!((1..10).contains(&lines.len()), "{lines:#?}");
    assert!(lines[0].contains("security") && lines[0].contains("127.0.0.1"), "{}", lines[0]);
    assert!(!log.contains(&forged[..40]) && !log.contains(&name[..40]), "a token is in the log");
    assert!(!log.lines().any(|line| line.starts_with("WARN forged")), "a name has made a line of its own");
    assert_eq!(admin.get(format!("{PATH}?kind=token_refused")).await.expect(200).body["events"], json!([]));
    let scrape = host.scrape().await;
    assert!(scrape.contains("synckairos_security_events_total{kind=\"token_refused\"} 100"), "{scrape}");
    assert!(scrape.contains("synckairos_anomalies_total{kind=\"wrong_tokens\"} 1"), "{scrape}");
    assert!(process.terminate().await.success());
}

/// For what takes a window of ten seconds.
async fn eventually_slowly<T>(what: &str, mut answer: impl AsyncFnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + Duration::from_secs(25);
    loop {
        if let Some(answer) = answer().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
