//! The real binary with its ledger in PostgreSQL: brought up, served, killed, and alone.

use std::process::Output;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use testkit::postgres::Server;

use crate::harness::process::Host;
use crate::harness::sql::connect;
use crate::harness::{blitz, eventually};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn host(url: &str) -> Host {
    Host::new().with("DATABASE_URL", url).with("DRAIN_TIMEOUT_MS", "300")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_schema_is_reported_without_the_password() {
    let server = Server::shared().await;
    let url = server.database().await;
    let host = host(&url);
    let refused = host.run(&["serve"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("run `synckairos migrate`"), "{}", said(&refused));
    assert!(host.run(&["migrate"]).await.status.success());
    let process = host.serve().await;
    assert!(process.terminate().await.success());
    let secret = url.replace("postgres://", "postgres://somebody:hidden@nowhere.invalid/d?x=");
    let wrong = host.run(&["serve", "--database-url", &secret]).await;
    let checked = host.run(&["serve", "--check", "--database-url", &secret]).await;
    let printed = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(!wrong.status.success() && printed.contains("postgres://nowhere.invalid/d"), "{printed}");
    assert!(![said(&wrong), printed].concat().contains("hidden"));
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_a_kill() {
    let server = Server::shared().await;
    let url = server.database().await;
    let host = host(&url).with("DURABLE", "always");
    assert!(host.run(&["migrate"]).await.status.success());
    let process = host.serve().await;
    let session = host.caller().running(blitz()).await;
    for _ in 0..20 {
        host.caller().command(&session, "switch").await;
    }
    process.kill();
    let again = host.serve().await;
    let caller = host.caller();
    let snapshot = caller.snapshot(&session).await;
    assert_eq!((&snapshot["recovered"], snapshot["version"].as_u64()), (&true.into(), Some(22)));
    caller.command(&session, "switch").await;
    let history = caller.get(format!("{}/history", session.path())).await.expect(200).body;
    assert_eq!(history["changes"].as_array().map(Vec::len), Some(23), "{history}");
    assert!(again.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_also_after_a_database_outage() {
    let server = Server::own(&[]).await;
    let url = server.database().await;
    let (first, second) = (host(&url), host(&url));
    assert!(first.run(&["migrate"]).await.status.success());
    let process = first.serve().await;
    let refused = second.run(&["serve"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("another process serves from it"), "{}", said(&refused));
    server.kill();
    server.start().await;
    eventually("the lock is taken again", async || {
        process.log().contains("the ledger's lock was taken again").then_some(())
    })
    .await;
    let refused = second.run(&["serve"]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(process.terminate().await.success());
    let next = second.serve().await;
    assert!(next.terminate().await.success());
}

/// The ledger's lock, as somebody else asks for it.
const LOCK: i64 = i64::from_be_bytes(*b"synckair");

async fn ask(url: &str, question: &'static str) -> i64 {
    let mut connection = connect(url).await.unwrap();
    let answer = sqlx::query_scalar(question).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    answer
}

/// Waits in line for the lock, so that the server hands it on at the moment its holder is cut off: a process that only
/// tries again and again, the holder among them, finds it taken from then on.
async fn lock_taken_from_its_holder(url: &str) -> PgConnection {
    const IN_LINE: &str = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
    const CUT: &str = "select count(pg_terminate_backend(pid)) from pg_locks where locktype = 'advisory' and granted";
    let mut next = connect(url).await.unwrap();
    let waiting = async {
        sqlx::query("select pg_advisory_lock($1)").bind(LOCK).execute(&mut next).await.unwrap();
    };
    let cutting = async {
        eventually("somebody waits in line", async || (ask(url, IN_LINE).await == 1).then_some(())).await;
        assert_eq!(ask(url, CUT).await, 1);
    };
    tokio::join!(waiting, cutting);
    next
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_stops_when_its_database_is_taken() {
    const AT_THE_DOOR: &str = "select count(*) from pg_stat_activity where query like 'select pg_try_advisory_lock%'";
    let server = Server::own(&[]).await;
    let url = server.database().await;
    let (first, second) = (host(&url), host(&url).with("DRAIN_TIMEOUT_MS", "9000"));
    assert!(first.run(&["migrate"]).await.status.success());
    let process = first.serve().await;
    let taking = async {
        eventually("the second waits", async || (ask(&url, AT_THE_DOOR).await == 2).then_some(())).await;
        let taken = lock_taken_from_its_holder(&url).await;
        let (ended, log) = process.ended().await;
        assert!(ended.success() && log.contains("another process has taken the ledger's lock"), "{ended} {log}");
        taken.close().await.unwrap();
    };
    let (next, ()) = tokio::join!(second.serve(), taking);
    second.caller().get("/ready").await.expect(200);
    assert!(next.terminate().await.success());
}
