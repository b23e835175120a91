//! What the log of the real binary says of an outage: lines of the outage, not of those it meets.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use testkit::process::Process;
use testkit::redis::Keeps;
use tokio::time::{Instant, sleep_until};

use crate::harness::backends::Backends;
use crate::harness::process::Host;
use crate::harness::watch::{Transport, Watcher, Watching};
use crate::harness::{Caller, Session, countdown, eventually, stopwatch, with};

/// Each would have written a line a second, or one for each of its partitions.
const SESSIONS: usize = 60;

/// What an instance may say of one outage and its end, of each who asks Redis by itself: breaker, lease,
/// clock, jobs, connections, listening, due set, life of the store.
const LINES: usize = 12;

/// So long what happens again and again does so several times.
const OUTAGE: Duration = Duration::from_secs(3);

fn warnings(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR")).collect()
}

async fn watched(caller: &Caller) -> (Vec<Session>, Vec<Watcher>) {
    let made = (0..SESSIONS).map(|number| {
        let named = json!({"session_id": format!("w-{number}")});
        // Some fall due while nobody can be asked.
        caller.running(if number % 2 == 0 { with(stopwatch(), named) } else { with(countdown(4_000), named) })
    });
    let sessions = join_all(made).await;
    let watching = sessions.iter().map(|session| Watching::of(caller.clone(), session).over(Transport::WebSocket));
    let watchers = join_all(watching).await;
    (sessions, watchers)
}

async fn until_logged(process: &Process, what: &str) {
    eventually(what, async || process.log().contains(what).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_outage_is_a_few_log_lines_with_cause_and_length() {
    let mut backends = Backends::shared(Keeps::Nothing).await;
    let host = backends.lead(Host::new());
    let process = host.serve().await;
    let (sessions, _watchers) = watched(&host.caller()).await;
    let (caller, until) = (host.caller(), Instant::now() + OUTAGE);
    backends.redis_mut().kill();
    while Instant::now() < until {
        // As clients do that do not give up.
        join_all(sessions.iter().map(|session| caller.get(session.path()))).await;
        sleep_until(Instant::now() + Duration::from_millis(100)).await;
    }
    backends.redis_mut().start_again();
    until_logged(&process, "answers come again of=\"store\" lasted_ms=").await;
    until_logged(&process, "the store generation changed").await;
    let log = process.log();
    let said = warnings(&log);
    println!("{} lines: {said:#?}", said.len());
    assert!(said.len() <= LINES, "{} lines: {said:#?}", said.len());
    assert_eq!(log.matches("callers are told so without asking").count(), 1, "{log}");
    assert!(
        said.iter().any(|line| line.contains("of=\"store\"") && line.contains("error=\"failed to reach the store: "))
    );
    assert!(process.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_outage_is_a_few_log_lines_with_cause_and_length() {
    let backends = Backends::apart(Keeps::Nothing).await;
    let Backends::Shared { postgres, .. } = &backends else { unreachable!() };
    let host = backends.lead(Host::new());
    let process = host.serve().await;
    let (sessions, _watchers) = watched(&host.caller()).await;
    let (caller, until) = (host.caller(), Instant::now() + OUTAGE * 2);
    postgres.kill();
    while Instant::now() < until {
        join_all(sessions.iter().step_by(2).map(|session| caller.command(session, "switch"))).await;
        let unknown = (0..SESSIONS).map(|number| caller.get(format!("/v1/sessions/unknown-{number}")));
        // At first some wait for the others of their tenant.
        let answers = join_all(unknown).await;
        assert!(answers.iter().all(|answer| [429, 503].contains(&answer.status)), "{answers:?}");
    }
    postgres.start().await;
    until_logged(&process, "answers come again of=\"ledger_reads\" lasted_ms=").await;
    until_logged(&process, "heartbeats are recorded again").await;
    let log = process.log();
    let said = warnings(&log);
    println!("{} lines: {said:#?}", said.len());
    assert!(said.len() <= LINES, "{} lines: {said:#?}", said.len());
    assert!(said.iter().any(|line| line.contains("of=\"ledger_reads\"") && line.contains("onnection")), "{said:#?}");
    assert!(!log.contains("pool timed out"), "{log}");
    assert!(process.terminate().await.success());
}
