//! The rights that the documentation lists, and no others: enough for everything that
//! instances, workers and operators do.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use sqlx::Connection as _;
use testkit::postgres;
use testkit::redis::{Keeps, Server};
use tokio::time::sleep;

use crate::harness::follow::{By, Whose};
use crate::harness::process::Host;
use crate::harness::sql::connect;
use crate::harness::{Session, blitz, countdown, eventually, soon, with};

const DOCUMENT: &str = include_str!("../../docs/RELIABILITY.md");

/// The blocks of code in that language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let front = format!("```{language}\n");
    DOCUMENT.split(front.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// A Redis that knows the documented user alone; gives its address.
fn redis() -> (Server, String) {
    let redis = Server::start(Keeps::All);
    redis.set_clock_offset_ms(0);
    let block = blocks("sh")[0].replace(['\'', '\\'], "");
    let words: Vec<_> = block.split_whitespace().skip_while(|word| *word != "ACL").collect();
    assert_eq!(redis.say(&words), ["OK"], "{words:?}");
    let url = format!("redis://synckairos:PASSWORD@127.0.0.1:{}", redis.port());
    (redis, url)
}

async fn say(url: &str, statements: &'static str) {
    let mut connection = connect(url).await.unwrap();
    for statement in statements.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

/// A PostgreSQL with the documented roles and database; gives the addresses of both.
async fn ledger() -> (postgres::Server, [String; 2]) {
    let server = postgres::Server::own(&[]).await;
    let [roles, defaults] = blocks("sql")[..] else { panic!("two blocks of SQL") };
    say(&server.url("postgres"), roles).await;
    let of = |role: &str| server.url("synckairos").replace("//synckairos@", &format!("//synckairos_{role}@"));
    let urls = ["migrate", "serve"].map(of);
    say(&urls[0], defaults).await;
    (server, urls)
}

async fn until_recorded(host: &Host, session: &Session, versions: usize) {
    eventually("the ledger has it", async || {
        let history = host.caller().get(format!("{}/history", session.path())).await.expect(200).body;
        (history["changes"].as_array().map(Vec::len) == Some(versions)).then_some(())
    })
    .await;
}

/// One version is refused for good, and taken after all.
async fn puts_aside_and_takes_back(host: &Host, server: &postgres::Server) {
    let owner = server.url("synckairos");
    say(&owner, "alter table session add constraint session_made_up check (status <> 'cancelled') not valid").await;
    let session = host.caller().running(blitz()).await;
    host.caller().command(&session, "cancel").await;
    eventually("it is put aside", async || {
        let listed = host.run(&["audit", "dead", "list"]).await;
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        String::from_utf8_lossy(&listed.stdout).contains(&session.id).then_some(())
    })
    .await;
    say(&owner, "alter table session drop constraint session_made_up").await;
    let retried = host.run(&["audit", "dead", "retry", "--all"]).await;
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    until_recorded(host, &session, 3).await;
}

async fn is_watched(host: &Host, session: &Session) {
    let whose = Whose::new(host.address(), session, Host::authorization());
    let mut followers = join_all(By::ALL.map(|by| whose.follow(by, None))).await;
    for follower in &mut followers {
        soon("the state", follower.next()).await.unwrap();
    }
    host.caller().command(session, "switch").await;
    for mut follower in followers {
        soon("a change", follower.until_version(3)).await;
    }
}

/// What was recorded stays, whatever the role that serves is told to do.
async fn alters_no_history(serves: &str) {
    let mut connection = connect(serves).await.unwrap();
    for attempt in [
        "update session_snapshot set body = null",
        "delete from session_snapshot",
        "truncate session_snapshot",
        "drop table session_snapshot",
        "select session_snapshot_forget('2100-01-01')",
        "delete from session",
    ] {
        let refused = sqlx::query(attempt).execute(&mut connection).await.expect_err(attempt);
        let why = refused.to_string();
        assert!(why.contains("permission denied") || why.contains("must be owner"), "{attempt}: {why}");
    }
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_are_enough() {
    let ((redis, redis_url), (server, [migrates, serves])) = (redis(), ledger().await);
    let migrated = Host::new().with("DATABASE_URL", &migrates).run(&["migrate"]).await;
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let host = || Host::new().with("DATABASE_URL", &serves).with("REDIS_URL", &redis_url);
    let (first, second, worker) = (host(), host(), host());
    let mut processes = vec![first.serve().await, second.serve().await];
    let working = worker.spawn(&["worker"]);

    let session = second.caller().running(blitz()).await;
    is_watched(&first, &session).await;
    let keyed = first.caller();
    let path = format!("{}/pause", session.path());
    for _ in 0..2 {
        keyed.asking(http::Method::POST, &path).key("once").send().await.expect(200);
    }
    let timer = first.caller().running(with(countdown(300), json!({"session_id": "timer"}))).await;
    until_recorded(&second, &timer, 3).await;
    until_recorded(&second, &session, 4).await;
    first.caller().get("/v1/sessions").await.expect(200);
    second.caller().asking(http::Method::DELETE, timer.path()).send().await.expect(204);
    puts_aside_and_takes_back(&first, &server).await;

    // Both away and back again, and a process that comes back after a kill.
    processes.remove(0).kill();
    processes.push(first.serve().await);
    first.caller().command(&session, "resume").await;
    until_recorded(&first, &session, 5).await;
    // The outbox is weighed, leases are renewed, and the mark is, each second.
    sleep(Duration::from_millis(2_500)).await;
    for process in processes.into_iter().chain([working]) {
        let log = process.log();
        assert!(process.terminate().await.success(), "{log}");
    }
    assert_eq!(redis.say(&["ACL", "LOG"]), Vec::<String>::new(), "Redis declined something");
    let log = server.log();
    assert!(!log.contains("permission denied") && !log.contains("must be owner"), "{log}");
    let (months,) = sqlx::query_as::<_, (i64,)>("select count(*) from pg_inherits")
        .fetch_one(&mut connect(&server.url("synckairos")).await.unwrap())
        .await
        .unwrap();
    assert!(months >= 4, "{months} months were made");
    alters_no_history(&serves).await;
}
