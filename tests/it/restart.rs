//! The one binary is stopped and started again: who watches is sent away at once, nobody
//! pays for the span between, and nothing counts as lost. A kill is another matter.

use std::time::Duration;

use serde_json::{Value, json};
use synckairos::clock::{Clock as _, SystemClock};
use synckairos::wire::instant;
use tokio::time::Instant;

use crate::harness::follow::{By, Follower, Whose};
use crate::harness::process::Host;
use crate::harness::{Caller, Session, blitz, countdown, eventually, soon, stopwatch, with};

/// A drain that is spread takes half of the ten seconds it may take.
const RESUME_TIMEOUT: Duration = Duration::from_secs(2);

fn instant_ms(value: &Value) -> i64 {
    instant::parse(value.as_str().unwrap_or_else(|| panic!("an instant: {value}"))).unwrap().as_ms()
}

fn host() -> Host {
    Host::new().with("DRAIN_TIMEOUT_MS", "10000")
}

/// One watcher of each transport, each of which has seen the session's newest state.
async fn watchers(host: &Host, session: &Session, version: u64) -> Vec<Follower> {
    let whose = Whose::new(host.address(), session, Host::authorization());
    let mut watchers = Vec::new();
    for by in By::ALL {
        let mut follower = whose.follow(by, None).await;
        soon("the newest state", follower.until_version(version)).await;
        follower.park().await;
        watchers.push(follower);
    }
    eventually("a poll that waits", async || {
        host.scrape().await.lines().any(|line| line == "synckairos_subscribers{transport=\"poll\"} 1").then_some(())
    })
    .await;
    watchers
}

async fn history(caller: &Caller, session: &Session) -> Value {
    caller.get(format!("{}/history", session.path())).await.expect(200).body
}

fn used_ms(snapshot: &Value, seat: usize) -> i64 {
    snapshot["participants"][seat]["time_used_ms"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_restart_sends_all_away_at_once_and_charges_nobody() {
    let host = host();
    let process = host.serve().await;
    let (caller, clock) = (host.caller(), SystemClock::start());
    let session = caller.running(blitz()).await;
    let charged = caller.running(with(countdown(3_600_000), json!({"on_outage": "charge"}))).await;
    let before = caller.command(&session, "switch").await.body;
    let watchers = watchers(&host, &session, 3).await;
    let (asked_at, began) = (clock.now().as_ms(), Instant::now());
    let ends = watchers.into_iter().map(async |mut watcher| {
        while soon("the end of a stream", watcher.next()).await.is_some_and(|seen| seen.kind != "HEARTBEAT") {}
        began.elapsed()
    });
    // Who polls asks once more before the stop.
    let (ends, stopped) = tokio::join!(futures::future::join_all(ends), process.terminate());
    assert!(stopped.success());
    assert!(ends.iter().all(|took| *took < RESUME_TIMEOUT), "spread in time: {ends:?}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let _next = host.serve().await;

    let after = caller.snapshot(&session).await;
    assert_eq!((&after["status"], &after["pause_reasons"]), (&json!("paused"), &json!(["outage"])), "{after}");
    let told = history(&caller, &session).await;
    let span = &told["restored"];
    let (from, until) = (instant_ms(&span["from"]), instant_ms(&span["until"]));
    assert_eq!(span["reason"], "outage");
    assert!(from >= asked_at && from - asked_at < 2_000 && until > from && until <= clock.now().as_ms(), "{told}");
    // Black pays until the stop, to the millisecond, and for nothing after it.
    assert_eq!(used_ms(&after, 1), from - instant_ms(&before["cycle_started_at"]));
    assert_eq!(after["recovered"], false, "a stop in order is no loss");
    let runs = caller.snapshot(&charged).await;
    assert_eq!((&runs["status"], &runs["recovered"]), (&json!("running"), &json!(false)));

    caller.command(&session, "resume").await;
    let told = history(&caller, &session).await;
    let resumed = told["changes"].as_array().unwrap().last().unwrap();
    assert_eq!((&resumed["change"]["command"], &resumed["change"]["restored"]), (&json!("resume"), span));
    assert_eq!(told["restored"], json!(null));
    caller.command(&session, "switch").await;
    let told = history(&caller, &session).await;
    assert_eq!(told["changes"][4]["change"].get("restored"), None, "it is told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_restart_charges_nothing_either() {
    let host = host();
    let process = host.serve().await;
    let caller = host.caller();
    let session = caller.running(blitz()).await;
    assert!(process.terminate().await.success());
    let process = host.serve().await;
    let once = caller.snapshot(&session).await;
    assert_eq!(once["status"], "paused");
    let span = history(&caller, &session).await["restored"].clone();
    // Nobody has written since: the ledger still has it running.
    assert!(process.terminate().await.success());
    let _third = host.serve().await;
    let twice = caller.snapshot(&session).await;
    assert_eq!((&twice["status"], used_ms(&twice, 0)), (&json!("paused"), used_ms(&once, 0)));
    assert_eq!(history(&caller, &session).await["restored"], span);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_clocks_are_unchanged_after_a_restart() {
    let host = host();
    let process = host.serve().await;
    let caller = host.caller();
    let (pending, paused) = (caller.create(blitz()).await, caller.running(stopwatch()).await);
    caller.command_with(&paused, "pause", json!({"reason": "tea"})).await.expect(200);
    let before = [caller.snapshot(&pending).await, caller.snapshot(&paused).await];
    assert!(process.terminate().await.success());
    let _next = host.serve().await;
    for (session, before) in [&pending, &paused].into_iter().zip(before) {
        let after = caller.snapshot(session).await;
        for field in ["status", "pause_reasons", "version", "time_used_ms", "recovered", "recovered_at"] {
            assert_eq!(after[field], before[field], "{field}");
        }
        assert_eq!(history(&caller, session).await.get("restored"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_is_charged_if_short_and_counts_as_a_loss() {
    let host = host();
    let process = host.serve().await;
    let caller = host.caller();
    let session = caller.running(blitz()).await;
    let idle = caller.create(blitz()).await;
    let before = caller.command(&session, "switch").await.body;
    for each in [&session, &idle] {
        history(&caller, each).await;
    }
    process.kill();
    let process = host.serve().await;
    let after = caller.snapshot(&session).await;
    assert_eq!((&after["status"], &after["recovered"]), (&json!("running"), &json!(true)));
    assert_eq!(after["deadline_at"], before["deadline_at"], "charged as usual");
    assert_eq!(history(&caller, &session).await.get("restored"), None);
    // A later stop in order does not make the loss undone, nor is what was written since lost.
    let fresh = caller.create(blitz()).await;
    assert!(process.terminate().await.success());
    let _last = host.serve().await;
    assert_eq!(caller.snapshot(&idle).await["recovered"], true);
    assert_eq!(caller.snapshot(&fresh).await["recovered"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_idle_before_a_kill_is_no_loss() {
    let host = host().with("SESSION_IDLE_TTL_MS", "1000");
    let process = host.serve().await;
    let (caller, clock) = (host.caller(), SystemClock::start());
    let idle = caller.create(blitz()).await;
    history(&caller, &idle).await;
    clock.sleep_until(clock.now() + 1_100).await;
    let fresh = caller.create(blitz()).await;
    history(&caller, &fresh).await;
    process.kill();
    let _next = host.serve().await;
    assert_eq!(caller.snapshot(&idle).await["recovered"], false, "it was in the ledger alone, or might have been");
    assert_eq!(caller.snapshot(&fresh).await["recovered"], true);
}
