//! What outlives a process: stops, kills, restarts. The real binary, real files.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use synckairos::wire::instant;
use tokio::time::Instant;

use crate::harness::process::Host;
use crate::harness::{Session, blitz, countdown, eventually, stopwatch, with};

/// A kill loses at most so much of what was acknowledged.
const LOST_MS: i64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_by_signal_loses_nothing() {
    let host = Host::new();
    let process = host.serve().await;
    let caller = host.caller();
    let sessions: Vec<_> = futures::future::join_all((0..20).map(|_| caller.running(stopwatch()))).await;
    for _ in 0..10 {
        futures::future::join_all(sessions.iter().map(|session| caller.command(session, "switch"))).await;
    }
    let began = Instant::now();
    assert!(process.terminate().await.success());
    assert!(began.elapsed() < Duration::from_secs(1), "took {:?} to stop", began.elapsed());
    let _next = host.serve().await;
    for session in &sessions {
        assert_eq!(caller.snapshot(session).await["version"], 12);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_under_load_loses_at_most_the_last_twenty_milliseconds() {
    let lost = killed_under_load(&Host::new()).await;
    println!("lost {} acknowledged commands, the last {} ms of them", lost.commands, lost.span_ms);
    assert!(lost.span_ms <= LOST_MS, "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_durable_answers_a_kill_loses_nothing() {
    let lost = killed_under_load(&Host::new().with("DURABLE", "always")).await;
    assert_eq!(lost.commands, 0, "{lost:?}");
}

/// What was acknowledged and is gone.
#[derive(Debug)]
struct Lost {
    commands: usize,
    /// From the first of them to the last that was acknowledged at all, as the
    /// server's clock had it.
    span_ms: i64,
}

async fn killed_under_load(host: &Host) -> Lost {
    let process = host.serve().await;
    let caller = host.caller();
    let sessions: Vec<_> = futures::future::join_all((0..8).map(|_| caller.running(stopwatch()))).await;
    let until = Instant::now() + Duration::from_millis(600);
    let load = async |session: &Session| {
        let mut acknowledged = Vec::new();
        while Instant::now() < until {
            let answer = caller.command(session, "switch").await;
            let at = instant::parse(answer.body["as_of"].as_str().unwrap()).unwrap();
            acknowledged.push((answer.version(), at.as_ms()));
        }
        acknowledged
    };
    let acknowledged = futures::future::join_all(sessions.iter().map(load)).await;
    process.kill();
    let _next = host.serve().await;
    let commands: usize = acknowledged.iter().map(Vec::len).sum();
    assert!(commands > 20, "hardly a load: {commands}");
    let last = acknowledged.iter().flatten().map(|(_, at)| *at).max().unwrap();
    let mut lost = Lost { commands: 0, span_ms: 0 };
    for (session, answers) in sessions.iter().zip(&acknowledged) {
        let version = caller.snapshot(session).await["version"].as_u64().unwrap();
        let gone: Vec<_> = answers.iter().filter(|(each, _)| *each > version).collect();
        lost.commands += gone.len();
        lost.span_ms = lost.span_ms.max(gone.first().map_or(0, |(_, at)| last - at));
    }
    lost
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_session_goes_on_in_a_new_epoch() {
    let host = Host::new();
    let process = host.serve().await;
    let caller = host.caller();
    let session = caller.running(blitz()).await;
    let before = caller.command(&session, "switch").await.body;
    assert!(process.terminate().await.success());
    let process = host.serve().await;
    let after = caller.snapshot(&session).await;
    assert_eq!(
        (&after["version"], &after["status"], &after["pause_reasons"]),
        (&before["version"], &json!("paused"), &json!(["outage"]))
    );
    assert!(after["epoch"].as_i64() > before["epoch"].as_i64());
    let switched = caller.command(&session, "resume").await;
    assert_eq!(switched.version(), before["version"].as_u64().unwrap() + 1);
    // A position of the old life is stale.
    let stale = format!("W/\"{}-{}\"", before["epoch"], switched.version());
    let late = caller.asking(Method::POST, format!("{}/pause", session.path())).header("if-match", &stale).send().await;
    late.expect(409).refused("stale_version");
    let history = caller.get(format!("{}/history", session.path())).await.expect(200).body;
    let history = history["changes"].as_array().unwrap();
    assert_eq!(history.len(), 4);
    for pair in history.windows(2) {
        assert_eq!(pair[1]["link"]["previous"], pair[0]["link"]["digest"]);
    }
    process.kill();
    let _last = host.serve().await;
    assert_eq!(caller.snapshot(&session).await["version"], switched.version());
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_missed_during_downtime_are_settled_at_start() {
    let host = Host::new();
    let process = host.serve().await;
    let caller = host.caller();
    let session = caller.running(with(countdown(700), json!({"session_id": "due"}))).await;
    let deadline = caller.snapshot(&session).await["deadline_at"].clone();
    caller.get(format!("{}/history", session.path())).await.expect(200);
    process.kill();
    let away = instant::parse(deadline.as_str().unwrap()).unwrap();
    let clock = synckairos::clock::SystemClock::start();
    synckairos::clock::Clock::sleep_until(&clock, away).await;
    let _next = host.serve().await;
    // The ledger is asked, which settles nothing.
    let listed = eventually("an expired session in the ledger", async || {
        caller.get("/v1/sessions?status=expired").await.expect(200).body["sessions"].get(0).cloned()
    })
    .await;
    assert_eq!(
        (&listed["session_id"], &listed["version"], &listed["recovered"]),
        (&json!("due"), &json!(3), &json!(true))
    );
    let history = caller.get(format!("{}/history", session.path())).await.body;
    let expired = &history["changes"][2]["change"]["expired"];
    assert_eq!(expired[0]["at"], deadline);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_five_seconds_and_more_is_not_charged_unless_asked_for() {
    let host = Host::new();
    let process = host.serve().await;
    let caller = host.caller();
    let pauses = caller.running(countdown(3_600_000)).await;
    let billed = caller.running(with(countdown(3_600_000), json!({"on_outage": "charge"}))).await;
    assert!(process.terminate().await.success());
    let alive = past(&host, &[&pauses, &billed], 3_000_000).await;
    let _next = host.serve().await;
    let present = caller.snapshot(&pauses).await;
    assert_eq!((&present["status"], &present["pause_reasons"]), (&json!("paused"), &json!(["outage"])));
    let used = present["time_used_ms"].as_i64().unwrap();
    assert_eq!(used, alive - started(&present), "charged up to the last proof of life");
    assert_eq!(present["total_time_ms"], 3_600_000 - used);
    let charged = caller.snapshot(&billed).await;
    assert_eq!(charged["status"], "running");
    caller.command(&pauses, "resume").await;
    assert_eq!(caller.snapshot(&pauses).await["status"], "running");
}

fn started(snapshot: &Value) -> i64 {
    instant::parse(snapshot["started_at"].as_str().unwrap()).unwrap().as_ms()
}

/// Puts everything that was written so far back in time, as if the outage had been
/// that much longer; gives the last proof of life.
async fn past(host: &Host, sessions: &[&Session], ms: i64) -> i64 {
    let mut ledger = SqliteConnectOptions::new().filename(host.ledger()).connect().await.unwrap();
    for session in sessions {
        let (body,): (String,) =
            sqlx::query_as("select body from session_snapshot where session_id = ? order by version desc limit 1")
                .bind(&session.id)
                .fetch_one(&mut ledger)
                .await
                .unwrap();
        sqlx::query("update session_snapshot set body = ? where session_id = ? and version = 2")
            .bind(moved(&body, ms).to_string())
            .bind(&session.id)
            .execute(&mut ledger)
            .await
            .unwrap();
    }
    sqlx::query("update heartbeat set at = at - ?").bind(ms).execute(&mut ledger).await.unwrap();
    let (alive,): (i64,) = sqlx::query_as("select at from heartbeat").fetch_one(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    alive
}

/// A stored session whose instants are all that much earlier.
fn moved(body: &str, ms: i64) -> Value {
    fn move_all(value: &mut Value, ms: i64) {
        match value {
            Value::Object(map) => map.values_mut().for_each(|each| move_all(each, ms)),
            Value::Array(list) => list.iter_mut().for_each(|each| move_all(each, ms)),
            // Nothing but an instant is a number of this size.
            Value::Number(number) => {
                if let Some(at) = number.as_i64().filter(|at| *at > 1_000_000_000_000) {
                    *value = json!(at - ms);
                }
            }
            _ => {}
        }
    }
    let mut session = serde_json::from_str(body).unwrap();
    move_all(&mut session, ms);
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_stays_deleted_and_keys_stay_known() {
    let host = Host::new();
    let process = host.serve().await;
    let caller = host.caller();
    let (gone, kept) = (caller.running(blitz()).await, caller.running(blitz()).await);
    caller.asking(Method::DELETE, gone.path()).send().await.expect(204);
    let switch = async |expected| {
        let asking = caller.asking(Method::POST, format!("{}/switch", kept.path())).key("k").json(&json!({}));
        asking.send().await.expect(expected)
    };
    let create =
        async || caller.asking(Method::POST, "/v1/sessions").key("made").json(&blitz()).send().await.expect(201);
    let (first, made) = (switch(200).await, create().await);
    assert!(process.terminate().await.success());
    let _next = host.serve().await;
    caller.get(gone.path()).await.expect(404).refused("session_not_found");
    caller.command_with(&gone, "start", json!({})).await.expect(404);
    caller.asking(Method::DELETE, gone.path()).send().await.expect(204);
    let again = switch(200).await;
    assert_eq!((again.header("idempotent-replayed"), again.version()), ("true", 3));
    assert_eq!((&again.body["outcome"], &again.body["position"]), (&first.body["outcome"], &first.body["position"]));
    let repeated = create().await;
    assert_eq!(repeated.header("idempotent-replayed"), "true");
    assert_eq!(repeated.body["session_id"], made.body["session_id"]);
    let other = caller.asking(Method::POST, format!("{}/pause", kept.path())).key("k").json(&json!({})).send().await;
    other.expect(422).refused("idempotency_mismatch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_is_repeated_after_a_restart_spares_the_session_created_since() {
    let host = Host::new();
    let process = host.serve().await;
    let caller = host.caller();
    let session = caller.create(blitz()).await;
    let delete = async || caller.asking(Method::DELETE, session.path()).key("end").send().await.expect(204);
    delete().await;
    assert!(process.terminate().await.success());
    let _next = host.serve().await;
    let mut again = blitz();
    again["session_id"] = json!(session.id);
    caller.post("/v1/sessions", again).await.expect(201);
    delete().await;
    assert_eq!(caller.snapshot(&session).await["version"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_one_process_at_a_time() {
    let host = Host::new().with("DRAIN_TIMEOUT_MS", "100");
    let process = host.serve().await;
    for command in ["serve", "migrate"] {
        let second = host.run(&[command, "--listen-addr", "127.0.0.1:0"]).await;
        assert_eq!(second.status.code(), Some(1));
        let said = String::from_utf8(second.stderr).unwrap();
        assert!(said.contains("another process serves from it"), "{said}");
    }
    host.caller().running(blitz()).await;
    // Who comes while the first one stops waits for it.
    let patient = host.run(&["migrate", "--drain-timeout-ms", "5000"]);
    let (waited, stopped) = tokio::join!(patient, process.terminate());
    assert!(stopped.success() && waited.status.success(), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_form_of_a_later_release_is_left_alone() {
    let host = Host::new();
    let process = host.serve().await;
    let caller = host.caller();
    let session = caller.create(blitz()).await;
    assert!(process.terminate().await.success());
    let mut ledger = SqliteConnectOptions::new().filename(host.ledger()).connect().await.unwrap();
    let newer = "update session_snapshot set body = json_set(body, '$.format', 999)";
    sqlx::query(newer).execute(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    let process = host.serve().await;
    caller.get(session.path()).await.expect(503).refused("needs_repair");
    caller.command_with(&session, "start", json!({})).await.expect(503).refused("needs_repair");
    caller.asking(Method::DELETE, session.path()).send().await.expect(503).refused("needs_repair");
    assert!(process.terminate().await.success());
}
