//! Deployments beside each other: on one Redis, where none sees anything of another, and
//! on one ledger, where one at a time may write.

use std::process::Output;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use synckairos::ledger::postgres::PostgresLedger;
use testkit::postgres;
use testkit::process::Process;
use testkit::redis::{Keeps, Server};
use tokio::time::{Instant, sleep, timeout};

use crate::harness::backends::Backends;
use crate::harness::follow::{By, Whose};
use crate::harness::process::Host;
use crate::harness::sql::connect;
use crate::harness::{Caller, Session, blitz, countdown, eventually, soon, with};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits for longer than anything else may take.
async fn within(limit: Duration, what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(timeout(limit, waiting).await.is_ok(), "{what}: not within {limit:?}");
}

async fn migrated(server: &postgres::Server) -> String {
    let database = server.database().await;
    PostgresLedger::migrate(&database, "test").await.unwrap();
    database
}

fn named(id: &str, body: Value) -> Value {
    with(body, json!({"session_id": id}))
}

fn epoch(snapshot: &Value) -> i64 {
    snapshot["epoch"].as_i64().unwrap_or_else(|| panic!("{snapshot}"))
}

/// Follows a session on every transport up to a version; whatever is told must be of that epoch.
async fn follows_alone(caller: &Caller, session: &Session, epoch: i64, version: u64, act: impl Future<Output = ()>) {
    let whose = Whose::new(caller.address(), session, Host::authorization());
    let mut followers = Vec::new();
    for by in By::ALL {
        let mut follower = whose.follow(by, None).await;
        let first = soon("the state", follower.next()).await.unwrap();
        assert_eq!(first.position.unwrap().0, epoch, "{by:?} {first:?}");
        followers.push((by, follower));
    }
    let following = followers.iter_mut().map(async |(by, follower)| {
        loop {
            let seen = soon("a frame", follower.next()).await.unwrap();
            let of = seen.position.map_or(epoch, |(epoch, _)| epoch);
            assert_eq!(of, epoch, "{by:?} is told of another deployment's: {seen:?}");
            if seen.version() >= version {
                return;
            }
        }
    });
    futures::join!(join_all(following), act);
}

/// Two deployments on one Redis: the same sessions of the same tenant, and none knows of the other.
async fn live_apart(settings: [[(&'static str, String); 2]; 2]) {
    let (redis, postgres) = (Server::start(Keeps::Nothing), postgres::Server::shared().await);
    redis.set_clock_offset_ms(0);
    let mut hosts = Vec::new();
    for of_one in settings {
        let host = Host::new().with("DATABASE_URL", &migrated(&postgres).await);
        let host = of_one.iter().fold(host, |host, (name, value)| host.with(name, &value.replace('R', &redis.url())));
        hosts.push((host.serve().await, host));
    }
    let [a, b] = [0, 1].map(|at: usize| hosts[at].1.caller());
    let mut epochs = Vec::new();
    for caller in [&a, &b] {
        let session = caller.running(named("t1", blitz())).await;
        epochs.push(epoch(&caller.snapshot(&session).await));
    }
    assert_ne!(epochs[0], epochs[1]);
    let t1 = Session { id: "t1".to_owned() };
    // What one does must neither reach the other's watchers nor keep them from their own.
    let noise = async {
        for _ in 0..3 {
            b.command(&t1, "pause").await;
            b.command(&t1, "resume").await;
        }
        a.command(&t1, "switch").await;
    };
    let theirs = follows_alone(&b, &t1, epochs[1], 8, async {});
    futures::join!(follows_alone(&a, &t1, epochs[0], 3, noise), theirs);
    for (caller, version) in [(&a, 3), (&b, 8)] {
        assert_eq!(caller.snapshot(&t1).await["version"], version);
    }
    each_keeps_its_own_time([&a, &b]).await;
    for (process, host) in hosts {
        assert!(host.scrape().await.contains("synckairos_members 1\n"), "it sees the other as a member");
        assert!(process.terminate().await.success());
    }
}

async fn each_keeps_its_own_time(callers: [&Caller; 2]) {
    let timers = [1_000, 2_000].map(|ms| named("d1", countdown(ms)));
    let began = join_all(callers.iter().zip(timers).map(|(caller, timer)| caller.running(timer))).await;
    let ends = callers.iter().zip(&began).map(async |(caller, session)| {
        eventually("the end", async || {
            let snapshot = caller.snapshot(session).await;
            (snapshot["status"] == "expired").then_some(snapshot)
        })
        .await
    });
    let ends = join_all(ends).await;
    assert!(ends.iter().all(|end| end["version"] == 3), "{ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_in_two_databases_of_one_redis_see_nothing_of_each_other() {
    let url = |database: u8| ("REDIS_URL", format!("R/{database}"));
    let plain = ("LOG_FORMAT", "text".to_owned());
    Box::pin(live_apart([[url(0), plain.clone()], [url(1), plain]])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_of_two_names_in_one_database_see_nothing_of_each_other() {
    let of = |name: &str| [("REDIS_URL", "R".to_owned()), ("REDIS_PREFIX", name.to_owned())];
    Box::pin(live_apart([of("staging"), of("staging-2")])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_of_one_name_in_two_databases_see_nothing_of_each_other() {
    let of = |database: u8| [("REDIS_URL", format!("R/{database}")), ("REDIS_PREFIX", "live".to_owned())];
    Box::pin(live_apart([of(2), of(3)])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_prefix_is_refused_and_the_result_is_logged() {
    for wrong in ["a:b", "{a}", "a*", "a@1", &"a".repeat(65)] {
        let refused = Host::new().with("REDIS_PREFIX", wrong).run(&["serve", "--check"]).await;
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
        assert!(said(&refused).contains("1 to 64 characters of A-Z a-z 0-9 _ . -"), "{}", said(&refused));
    }
    let host = Host::new().with("REDIS_PREFIX", "live").with("DATABASE_URL", "postgres://h/d");
    let told = host.with("REDIS_URL", "redis://h/2").run(&["serve", "--check"]).await;
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("REDIS_PREFIX         live@2  (environment)"), "{told}");
}

/// Backends, a process on them, and another Redis.
async fn at_home() -> (Backends, Host, Process, Server) {
    let backends = Backends::shared(Keeps::Nothing).await;
    let host = backends.lead(Host::new());
    let process = host.serve().await;
    let other = Server::start(Keeps::Nothing);
    other.set_clock_offset_ms(0);
    (backends, host, process, other)
}

/// What is not in the ledger may be lost with a Redis.
async fn until_recorded(host: &Host, session: &Session, versions: usize) {
    let history = format!("{}/history", session.path());
    eventually("the ledger has it", async || {
        let history = host.caller().get(&history).await.expect(200).body;
        (history["changes"].as_array().map(Vec::len) == Some(versions)).then_some(())
    })
    .await;
}

async fn is_fenced(host: &Host) -> bool {
    host.scrape().await.contains("synckairos_ledger_contested 1\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_another_deployment_writes_to_is_refused() {
    let (backends, host, process, other) = at_home().await;
    let session = host.caller().running(blitz()).await;
    let url = backends.redis().unwrap().url();
    let strangers = [
        ("another database", backends.lead(Host::new()).with("REDIS_URL", &format!("{url}/1")), "serve"),
        ("another name", backends.lead(Host::new()).with("REDIS_PREFIX", "staging"), "serve"),
        ("another Redis", backends.lead(Host::new()).with("REDIS_URL", &other.url()), "serve"),
        ("a worker of another Redis", backends.lead(Host::new()).with("REDIS_URL", &other.url()), "worker"),
        ("none", backends.lead(Host::new()).with("REDIS_URL", ""), "serve"),
    ];
    let refused = join_all(strangers.iter().map(async |(what, host, command)| {
        let began = Instant::now();
        let refused = host.run(&[command]).await;
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        (what, refused)
    }));
    for (what, refused) in refused.await {
        let text = said(&refused);
        assert_eq!(refused.status.code(), Some(1), "{what}: {text}");
        let told = ["written by another deployment, called sk in Redis", "--takes-over", &url];
        assert!(told.iter().all(|part| text.contains(part)), "{what}: {text}");
    }
    // It goes on as if nothing had been, and so does another instance of it.
    host.caller().command(&session, "switch").await;
    let beside = backends.lead(Host::new());
    let _beside = beside.serve().await;
    beside.caller().command(&session, "switch").await;
    assert!(!is_fenced(&host).await);
    assert!(process.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_whose_deployment_has_another_ledger_is_refused() {
    let (backends, host, process, _) = at_home().await;
    let session = host.caller().running(blitz()).await;
    let postgres = postgres::Server::own(&[]).await;
    let elsewhere = migrated(&postgres).await;
    let stranger = || backends.lead(Host::new()).with("DATABASE_URL", &elsewhere);
    let strangers = [("serve", stranger()), ("worker", stranger())];
    for refused in join_all(strangers.iter().map(async |(command, host)| host.run(&[command]).await)).await {
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        let told = ["called sk in Redis writes to another ledger", "REDIS_PREFIX", "--takes-over"];
        assert!(told.iter().all(|part| said(&refused).contains(part)), "{}", said(&refused));
    }
    // One that cannot ask its ledger at first finds out later.
    postgres.kill();
    let late = stranger();
    let serving = late.serve().await;
    postgres.start().await;
    let (ended, log) = serving.ended().await;
    assert!(ended.success() && log.contains("writes to another ledger: stopping"), "{ended} {log}");
    host.caller().command(&session, "switch").await;
    until_recorded(&host, &session, 3).await;

    // On purpose, with several at the same moment.
    let movers = [stranger(), stranger()];
    let moving = join_all(movers.iter().map(|mover| mover.start(&["serve", "--takes-over"]))).await;
    let (ended, log) = process.ended().await;
    assert!(ended.success() && log.contains("writes to another ledger: stopping"), "{ended} {log}");
    for (mover, version) in movers.iter().zip(4..) {
        assert_eq!(mover.caller().command(&session, "switch").await.version(), version);
    }
    let history = format!("{}/history", session.path());
    eventually("the new ledger has it", async || {
        let told = movers[0].caller().get(&history).await.expect(200).body;
        told["changes"].as_array()?.iter().any(|change| change["version"] == 5).then_some(())
    })
    .await;
    let refused = host.run(&["serve"]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    for process in moving {
        assert!(process.terminate().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_goes_on_and_stops_the_other_deployment() {
    let (backends, host, process, other) = at_home().await;
    let session = host.caller().running(blitz()).await;
    until_recorded(&host, &session, 2).await;
    // All of its instances say so, at the same moment.
    let takers: Vec<_> = (0..3).map(|_| backends.lead(Host::new()).with("REDIS_URL", &other.url())).collect();
    let taking = join_all(takers.iter().map(|taker| taker.start(&["serve", "--takes-over"]))).await;
    within(Duration::from_secs(20), "the other stands still", async || is_fenced(&host).await).await;
    let ready = host.caller().get("/ready").await;
    assert_eq!((ready.status, &ready.body["store"]), (503, &json!(false)), "{}", ready.body);
    host.caller().get(session.path()).await.expect(503);
    host.caller().command_with(&session, "switch", json!({})).await.expect(503);
    assert!(process.log().contains("another deployment writes to the ledger"), "{}", process.log());

    for taker in &takers {
        within(Duration::from_secs(10), "it is the ledger's", async || !is_fenced(taker).await).await;
        taker.caller().command(&session, "switch").await;
    }
    until_recorded(&takers[0], &session, 5).await;
    assert!(process.terminate().await.success());
    let refused = host.run(&["serve"]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    // Back again, on purpose.
    let back = host.start(&["serve", "--takes-over"]).await;
    // Its own Redis has an older version; the ledger knows better.
    assert_eq!(host.caller().command(&session, "switch").await.body["version"], 6);
    within(Duration::from_secs(20), "they stand still", async || is_fenced(&takers[0]).await).await;
    for process in taking.into_iter().chain([back]) {
        assert!(process.terminate().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_instances_that_start_at_the_same_moment_are_one_deployment() {
    let backends = Backends::shared(Keeps::Nothing).await;
    let hosts: Vec<_> = (0..4).map(|_| backends.lead(Host::new())).collect();
    let processes = join_all(hosts.iter().map(Host::serve)).await;
    let id = backends.redis().unwrap().say(&["GET", "sk:{members}:deployment"]);
    let marks = backends.sql("select json_array(id, name) from deployment").await;
    assert_eq!(marks, [json!([id[0], "sk"])]);
    for (host, process) in hosts.iter().zip(processes) {
        assert!(!is_fenced(host).await);
        assert!(process.terminate().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_whose_redis_lost_everything_comes_back_by_itself() {
    let (mut backends, host, process, _) = at_home().await;
    let session = host.caller().running(blitz()).await;
    let id = || async { backends.sql("select json_array(id) from deployment").await };
    let before = id().await;
    until_recorded(&host, &session, 2).await;
    // Emptied while it is used: those that run remember, and who starts then is one of them.
    let redis = backends.redis().unwrap();
    redis.say(&["FLUSHALL"]);
    redis.set_clock_offset_ms(0);
    let second = backends.lead(Host::new());
    let beside = second.serve().await;
    eventually("it is remembered", async || {
        let kept = backends.redis().unwrap().say(&["GET", "sk:{members}:deployment"]);
        (kept == [before[0][0].as_str().unwrap()]).then_some(())
    })
    .await;
    second.caller().command(&session, "switch").await;
    until_recorded(&second, &session, 3).await;

    // Killed with all who remember, and nothing on disk.
    beside.kill();
    process.kill();
    let redis = backends.redis_mut();
    redis.kill();
    redis.start_again();
    redis.set_clock_offset_ms(0);
    let again = [host.spawn(&["serve"]), second.spawn(&["serve"])];
    for host in [&host, &second] {
        within(Duration::from_secs(30), "it serves", async || {
            tokio::net::TcpStream::connect(host.address()).await.is_ok()
        })
        .await;
        assert!(host.caller().snapshot(&session).await["version"].as_u64() >= Some(3));
        host.caller().running(blitz()).await;
        assert!(!is_fenced(host).await);
    }
    assert_eq!(backends.sql("select json_array(id) from deployment").await, before);
    let logs = [again[0].log(), again[1].log()].concat();
    assert!(logs.contains("Redis had forgotten which deployment it is"), "{logs}");
    for process in again {
        assert!(process.terminate().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_redis_and_a_copy_that_goes_on_by_itself_the_copy_is_right() {
    let (backends, host, process, other) = at_home().await;
    let session = host.caller().running(blitz()).await;
    let first = backends.redis().unwrap();
    other.say(&["REPLICAOF", "127.0.0.1", &first.port().to_string()]);
    within(Duration::from_secs(10), "it is copied", async || {
        other.say(&["INFO", "replication"]).concat().contains("master_link_status:up")
    })
    .await;
    first.until_copied();
    other.say(&["REPLICAOF", "NO", "ONE"]);
    let moved = backends.lead(Host::new()).with("REDIS_URL", &other.url());
    let there = moved.serve().await;
    moved.caller().command(&session, "switch").await;
    within(Duration::from_secs(30), "who stayed stands still", async || is_fenced(&host).await).await;
    host.caller().command_with(&session, "switch", json!({})).await.expect(503);
    assert!(!is_fenced(&moved).await);
    // What was copied is gone again: who stayed is right after all.
    assert!(there.terminate().await.success());
    within(Duration::from_secs(30), "who stayed goes on", async || !is_fenced(&host).await).await;
    let found = host.caller().snapshot(&session).await;
    assert!(found["version"].as_u64() >= Some(3) && found["recovered"] == true, "the ledger has the third: {found}");
    assert!(process.terminate().await.success());
}

/// As a release to come leaves it: it has only added something.
const NEWER: &str = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
    values (9000, 'more', true, 'x', 0)";

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_served_among_others_and_refused_alone() {
    let (backends, _, process, _) = at_home().await;
    let Backends::Shared { database, .. } = &backends else { panic!("it is shared") };
    let mut connection = connect(database).await.unwrap();
    sqlx::query(NEWER).execute(&mut connection).await.unwrap();
    // One that runs goes on; while all are replaced in turn, one of the old release may start.
    let second = backends.lead(Host::new());
    let beside = second.serve().await;
    second.caller().running(blitz()).await;
    assert!(beside.log().contains("newer than this release"), "{}", beside.log());
    let refused = Host::new().with("DATABASE_URL", database).run(&["migrate"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("newer than this release: it has migration 9000"), "{}", said(&refused));
    for process in [beside, process] {
        assert!(process.terminate().await.success());
    }
    let server = postgres::Server::shared().await;
    let alone = Host::new().with("DATABASE_URL", &migrated(&server).await);
    let file = Host::new();
    for host in [&alone, &file] {
        assert!(host.serve().await.terminate().await.success());
    }
    let url = alone.setting("DATABASE_URL");
    sqlx::query(NEWER).execute(&mut connect(&url).await.unwrap()).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file.ledger());
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query(NEWER).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    for host in [&alone, &file] {
        for command in ["serve", "migrate"] {
            let refused = host.run(&[command]).await;
            assert_eq!(refused.status.code(), Some(1), "{command}");
            assert!(said(&refused).contains("Start the release that made it"), "{}", said(&refused));
        }
    }
}
