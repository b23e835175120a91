//! Every signal that can be caught, sent to the real binary: none loses what was acknowledged.

use std::process::Command;

use futures::future::join_all;
use testkit::redis::Keeps;

use crate::harness::backends::Backends;
use crate::harness::process::Host;
use crate::harness::watch::{Transport, Watching};
use crate::harness::{Session, eventually, soon, stopwatch};

/// They begin a stop.
const STOPS: [&str; 7] = ["TERM", "INT", "HUP", "QUIT", "ABRT", "PWR", "XCPU"];

/// They change nothing: by default some end a process, and the last four are harmless anyway.
const IGNORED: [&str; 15] = [
    "USR1", "USR2", "ALRM", "VTALRM", "PROF", "POLL", "STKFLT", "XFSZ", "PIPE", "34", "64", "CONT", "CHLD", "URG",
    "WINCH",
];

/// Sessions at version 12 each, acknowledged a moment ago.
async fn acknowledged(host: &Host) -> Vec<Session> {
    let caller = host.caller();
    let sessions: Vec<_> = join_all((0..4).map(|_| caller.running(stopwatch()))).await;
    for _ in 0..10 {
        join_all(sessions.iter().map(|session| caller.command(session, "switch"))).await;
    }
    sessions
}

async fn all_are_there(host: &Host, sessions: &[Session], case: &str) {
    for session in sessions {
        assert_eq!(host.caller().snapshot(session).await["version"], 12, "{case}");
    }
}

/// Ends it by those signals, one after the other, and looks for everything afterwards.
async fn stopped_by(signals: &[&str]) {
    let case = format!("{signals:?}");
    let host = Host::new();
    let process = host.serve().await;
    let sessions = acknowledged(&host).await;
    for signal in signals {
        process.send(signal);
    }
    let (status, log) = process.ended().await;
    assert!(status.success(), "{case}: {status} {log}");
    assert!(log.contains("stopping"), "{case}: {log}");
    let next = host.serve().await;
    all_are_there(&host, &sessions, &case).await;
    assert!(next.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_by_any_signal_loses_nothing() {
    for signal in STOPS {
        stopped_by(&[signal]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_sighup_loses_nothing() {
    stopped_by(&["HUP", "HUP", "TERM", "HUP"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_loses_nothing_either() {
    stopped_by(&["TERM", "TERM"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_signals_change_nothing() {
    let host = Host::new();
    let process = host.serve().await;
    let sessions = acknowledged(&host).await;
    for signal in IGNORED {
        process.send(signal);
        all_are_there(&host, &sessions, signal).await;
    }
    assert!(process.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_a_terminal_stops_in_order() {
    let host = Host::new().with("RUST_LOG", "debug");
    let process = host.until_ready(host.spawn_unread(&["serve"])).await;
    let sessions = acknowledged(&host).await;
    process.send("HUP");
    assert!(process.ended().await.0.success());
    let _next = host.serve().await;
    all_are_there(&host, &sessions, "unread").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_under_nohup_ignores_sighup() {
    let host = Host::new();
    let served = host.command(&["serve"]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" serve"]).arg(served.get_program());
    command.env_clear().envs(served.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let process = host.until_ready(host.spawn_command(command)).await;
    process.send("HUP");
    let sessions = acknowledged(&host).await;
    all_are_there(&host, &sessions, "nohup").await;
    assert!(process.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_finishes_its_batch_on_any_signal() {
    let backends = Backends::shared(Keeps::Nothing).await;
    let (serving, working) = (backends.lead(Host::new()), backends.lead(Host::new()));
    let process = serving.start(&["serve", "--no-audit"]).await;
    for (before, signal) in ["HUP", "QUIT"].into_iter().enumerate() {
        let worker = working.spawn(&["worker"]);
        let is_up = async || (worker.log().matches("draining the audit").count() > before).then_some(());
        eventually("the worker works", is_up).await;
        worker.send("USR1");
        acknowledged(&serving).await;
        worker.send(signal);
        let (status, log) = worker.ended().await;
        assert!(status.success(), "{signal}: {status} {log}");
    }
    // Who stops last audits what is left, so nothing may be.
    let worker = working.spawn(&["worker"]);
    assert!(process.terminate().await.success());
    assert!(worker.terminate().await.success());
    let rows = backends.sql("select json_array(count(*)) from session_snapshot").await;
    assert_eq!((rows, backends.left_over().await), (vec![serde_json::json!([2 * 4 * 12])], Vec::<String>::new()));
}

/// What `/ready` says on a connection of its own, as a balancer asks.
async fn is_draining(host: &Host) -> bool {
    let said = host.caller().get("/ready").await;
    let draining = said.body["draining"] == true;
    assert_eq!(said.status, if draining { 503 } else { 200 }, "{}", said.body);
    draining
}

async fn until_draining(host: &Host) {
    eventually("it says that it drains", async || is_draining(host).await.then_some(())).await;
}

fn announcing(grace_ms: &str) -> Host {
    Host::new().with("DRAIN_GRACE_MS", grace_ms)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_announced_while_everything_is_served() {
    let host = announcing("60000");
    let process = host.serve().await;
    let session = host.caller().running(stopwatch()).await;
    let mut watcher = Watching::of(host.caller(), &session).over(Transport::WebSocket).await;
    process.send("TERM");
    until_draining(&host).await;
    assert_eq!(host.run(&["healthcheck"]).await.status.code(), Some(1));
    assert_eq!(host.run(&["healthcheck", "--alive"]).await.status.code(), Some(0));
    host.caller().command(&session, "switch").await;
    watcher.until_version(3).await;
    let mut late = Watching::of(host.caller(), &session).over(Transport::WebSocket).await;
    late.until_version(3).await;
    assert!(host.scrape().await.contains("process_open_fds"));
    // A second signal means that the sender cannot wait.
    process.send("TERM");
    assert!(soon("the end", process.ended()).await.0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_told_to_go_once_a_stop_was_announced_long_enough() {
    let host = announcing("300");
    let process = host.serve().await;
    let session = host.caller().running(stopwatch()).await;
    let mut watcher = Watching::of(host.caller(), &session).over(Transport::WebSocket).await;
    process.send("HUP");
    assert_eq!(watcher.until_closed().await, 1012);
    assert!(process.ended().await.0.success());
}
