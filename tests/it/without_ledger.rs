//! The real binary over Redis while PostgreSQL is away, read-only, full or not the right one:
//! what it serves, what it says, and that it finds its way back by itself.

use std::process::Output;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _};
use synckairos::domain::time::Timestamp;
use synckairos::ledger::Ledger as _;
use synckairos::ledger::postgres::PostgresLedger;
use synckairos::store::partition::Partition;
use synckairos::telemetry::outage::chain;
use testkit::postgres::Server;
use testkit::process::Process;
use testkit::redis::{Keeps, Server as Redis};
use tokio::time::Instant;

use crate::harness::cluster::{TENANT, key};
use crate::harness::process::Host;
use crate::harness::sql::connect;
use crate::harness::{Answer, Session, eventually, stopwatch};

/// A Redis, and a PostgreSQL that can be stopped.
struct Backends {
    redis: Redis,
    postgres: Server,
    database: String,
}

impl Backends {
    /// With nothing in the database.
    async fn bare(settings: &[&str]) -> Self {
        let (redis, postgres) = (Redis::start(Keeps::Nothing), Server::own(settings).await);
        redis.set_clock_offset_ms(0);
        let database = postgres.database().await;
        Self { redis, postgres, database }
    }

    async fn new() -> Self {
        let backends = Self::bare(&[]).await;
        assert!(backends.host().run(&["migrate"]).await.status.success());
        backends
    }

    fn host(&self) -> Host {
        Host::new().with("REDIS_URL", &self.redis.url()).with("DATABASE_URL", &self.database)
    }

    /// Executes on the maintenance database: a change of this one may apply to its own connections.
    async fn sql(&self, statement: &str) {
        let mut connection = connect(&self.postgres.url("postgres")).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// The name of the database.
    fn name(&self) -> &str {
        self.database.rsplit('/').next().and_then(|rest| rest.split('?').next()).unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What `/ready` says of the ledger, once it says that; and its status then.
async fn until_ledger(host: &Host, is_there: bool) -> u16 {
    eventually("what is said of the ledger", async || {
        let ready = host.caller().get("/ready").await;
        (ready.body["ledger"] == is_there).then_some(ready.status)
    })
    .await
}

async fn until_logged(process: &Process, what: &str) {
    eventually(what, async || process.log().contains(what).then_some(())).await;
}

/// An id that nobody has used, in the partition of `session`: what is waiting there for the
/// ledger would have to be in it before anybody could say that the id is unknown.
fn unknown_beside(session: &Session) -> String {
    let partition = |id: String| Partition::of(&key(TENANT, &Session { id }));
    let wanted = partition(session.id.clone());
    (0..u16::MAX).map(|number| format!("nosuch{number}")).find(|id| partition(id.clone()) == wanted).unwrap()
}

/// Everything that needs the ledger says so at once.
async fn ledger_is_missed(host: &Host, session: &Session) {
    let caller = host.caller();
    let unknown = unknown_beside(session);
    let paths = [
        format!("{}/history", session.path()),
        "/v1/sessions".to_owned(),
        format!("/v1/sessions/{unknown}"),
        format!("/v1/sessions/{unknown}/poll"),
        format!("/v1/sessions/{unknown}/events"),
        format!("/v1/events?sessions={unknown}"),
    ];
    for path in paths {
        let began = Instant::now();
        let answer: Answer = caller.get(&path).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (503, &json!("ledger_unavailable")),
            "{path}: {}",
            answer.body
        );
        assert!(began.elapsed() < Duration::from_secs(4), "{path}: {:?}", began.elapsed());
    }
}

/// Until the metrics of these say that so many entries wait for the ledger.
async fn until_waiting(hosts: &[&Host], entries: usize) {
    let waiting = |scrape: String| -> usize {
        let line = scrape.lines().find_map(|line| line.strip_prefix("synckairos_audit_backlog "));
        line.map_or(0, |entries| entries.parse().unwrap())
    };
    eventually("entries that wait", async || {
        let scrapes = join_all(hosts.iter().map(|host| host.scrape())).await;
        (scrapes.into_iter().map(waiting).sum::<usize>() == entries).then_some(())
    })
    .await;
}

async fn versions(host: &Host, session: &Session) -> Vec<Value> {
    let history = host.caller().get(format!("{}/history", session.path())).await.expect(200).body;
    history["changes"].as_array().unwrap().iter().map(|change| change["version"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_ledger_takes_nobody_out_of_rotation() {
    let backends = Backends::new().await;
    let (host, durable) = (backends.host(), backends.host().with("DURABLE", "always"));
    let (process, other) = (host.serve().await, durable.serve().await);
    let session = host.caller().running(stopwatch()).await;
    assert_eq!(versions(&host, &session).await.len(), 2);
    backends.postgres.kill();
    assert_eq!(until_ledger(&host, false).await, 200);
    assert_eq!(until_ledger(&durable, false).await, 503, "it answers no command without the ledger");
    assert_eq!(host.run(&["healthcheck"]).await.status.code(), Some(0));
    assert_eq!(durable.run(&["healthcheck"]).await.status.code(), Some(1));
    assert_eq!(durable.run(&["healthcheck", "--alive"]).await.status.code(), Some(0));
    assert_eq!(host.caller().command(&session, "switch").await.version(), 3);
    until_waiting(&[&host, &durable], 1).await;
    for version in 4..=6 {
        assert_eq!(host.caller().command(&session, "switch").await.version(), version);
    }
    until_waiting(&[&host, &durable], 4).await;
    ledger_is_missed(&host, &session).await;
    backends.postgres.start().await;
    assert_eq!(until_ledger(&host, true).await, 200);
    assert_eq!(until_ledger(&durable, true).await, 200);
    let is_whole = async || (versions(&host, &session).await.len() == 6).then_some(());
    eventually("everything is in the ledger", is_whole).await;
    for process in [process, other] {
        assert!(process.terminate().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_takes_nothing_is_not_there_and_says_so() {
    let backends = Backends::new().await;
    let host = backends.host();
    let process = host.serve().await;
    assert_eq!(until_ledger(&host, true).await, 200);
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() \
        and application_name like 'synckairos%'";
    let read_only =
        |value| format!("alter database {} set default_transaction_read_only = {value}; {cut}", backends.name());
    backends.sql(&read_only("on")).await;
    assert_eq!(until_ledger(&host, false).await, 200);
    let session = host.caller().running(stopwatch()).await;
    // What is there can still be read.
    assert_eq!(versions(&host, &session).await, Vec::<Value>::new());
    until_logged(&process, "read-only").await;
    backends.sql(&read_only("off")).await;
    assert_eq!(until_ledger(&host, true).await, 200);
    eventually("what waited is there", async || (versions(&host, &session).await.len() == 2).then_some(())).await;
    assert!(process.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_the_ledger_serves_and_opens_it_later() {
    let backends = Backends::new().await;
    let (first, second, worker) = (backends.host(), backends.host(), backends.host());
    let process = first.serve().await;
    let session = first.caller().running(stopwatch()).await;
    assert_eq!(versions(&first, &session).await.len(), 2);
    process.kill();
    backends.postgres.kill();
    let began = Instant::now();
    let process = second.serve().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let draining = worker.spawn(&["worker"]);
    assert_eq!(until_ledger(&second, false).await, 200);
    assert_eq!(second.caller().snapshot(&session).await["version"], 2);
    assert_eq!(second.caller().command(&session, "switch").await.version(), 3);
    ledger_is_missed(&second, &session).await;
    for (process, host) in [(&process, &second), (&draining, &worker)] {
        until_logged(process, "the ledger is away: writes to it wait").await;
        assert!(process.log().contains("Connection refused"), "{}", process.log());
        let is_told = "synckairos_breaker_open{of=\"ledger_writes\"} 1";
        eventually("the metric", async || host.scrape().await.contains(is_told).then_some(())).await;
    }
    backends.postgres.start().await;
    assert_eq!(until_ledger(&second, true).await, 200);
    until_logged(&draining, "the ledger is open").await;
    let is_whole = async || (versions(&second, &session).await == [1, 2, 3].map(Value::from)).then_some(());
    eventually("everything is in the ledger", is_whole).await;
    assert!(process.terminate().await.success());
    assert!(draining.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_with_another_schema_is_unused_until_it_fits() {
    let backends = Backends::bare(&[]).await;
    let (host, worker) = (backends.host(), backends.host());
    backends.postgres.kill();
    let (process, draining) = (host.serve().await, worker.spawn(&["worker"]));
    let session = host.caller().running(stopwatch()).await;
    for process in [&process, &draining] {
        until_logged(process, "the ledger is away").await;
    }
    backends.postgres.start().await;
    for process in [&process, &draining] {
        until_logged(process, "run `synckairos migrate`").await;
        let log = process.log();
        let errors: Vec<_> =
            log.lines().filter(|line| line.contains("ERROR") && line.contains("cannot be used")).collect();
        assert_eq!(errors.len(), 1, "{log}");
    }
    assert_eq!(until_ledger(&host, false).await, 200);
    ledger_is_missed(&host, &session).await;
    assert!(host.run(&["migrate"]).await.status.success());
    assert_eq!(until_ledger(&host, true).await, 200);
    eventually("what waited is there", async || (versions(&host, &session).await.len() == 2).then_some(())).await;
    assert!(process.terminate().await.success());
    assert!(draining.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_waits_until_the_ledger_is_there() {
    let backends = Backends::bare(&[]).await;
    let hosts = [backends.host(), backends.host()];
    backends.postgres.kill();
    let processes = join_all(hosts.iter().map(|host| host.start(&["serve", "--migrate"]))).await;
    let session = hosts[0].caller().running(stopwatch()).await;
    backends.postgres.start().await;
    for host in &hosts {
        assert_eq!(until_ledger(host, true).await, 200);
        eventually("what waited is there", async || (versions(host, &session).await.len() == 2).then_some(())).await;
    }
    for process in processes {
        assert!(process.terminate().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_says_no_is_no_outage() {
    let backends = Backends::bare(&[]).await;
    let host = backends.host();
    for (url, why) in [
        (backends.database.clone(), "run `synckairos migrate`"),
        (backends.postgres.url("nosuch"), "database \"nosuch\" does not exist"),
        (backends.database.replace("synckairos@", "nobody@"), "role \"nobody\" does not exist"),
    ] {
        for command in ["serve", "worker"] {
            let refused = host.run(&[command, "--database-url", &url]).await;
            assert_eq!(refused.status.code(), Some(1), "{command} {why}");
            assert!(said(&refused).contains(why), "{command}: {}", said(&refused));
        }
    }
    // Alone, it would serve without knowing what it had served before.
    backends.postgres.kill();
    let alone = Host::new().with("DATABASE_URL", &backends.database);
    for arguments in [&["serve"][..], &["migrate"], &["audit", "dead", "list"]] {
        let refused = alone.run(arguments).await;
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert!(said(&refused).contains("Connection refused"), "{arguments:?}: {}", said(&refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_is_named_as_the_cause() {
    let backends = Backends::bare(&["max_connections=14", "superuser_reserved_connections=0"]).await;
    assert!(backends.host().run(&["migrate"]).await.status.success());
    let host = backends.host();
    let mut taken = Vec::new();
    while let Ok(connection) = connect(&backends.database).await {
        taken.push(connection);
    }
    let refused = host.run(&["migrate"]).await;
    assert!(said(&refused).contains("too many clients"), "{}", said(&refused));
    let process = host.serve().await;
    assert_eq!(until_ledger(&host, false).await, 200);
    assert!(process.log().contains("too many clients"), "{}", process.log());
    for connection in taken.drain(..) {
        connection.close().await.unwrap();
    }
    assert_eq!(until_ledger(&host, true).await, 200);
    let session = host.caller().running(stopwatch()).await;
    eventually("the audit goes on", async || (versions(&host, &session).await.len() == 2).then_some(())).await;
    assert!(process.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_without_a_connection_names_the_cause() {
    let backends = Backends::bare(&["max_connections=14", "superuser_reserved_connections=0"]).await;
    assert!(backends.host().run(&["migrate"]).await.status.success());
    // It has none as long as nobody asks.
    let ledger = PostgresLedger::open(&backends.database, "test").await.unwrap();
    let mut taken = Vec::new();
    eventually("others have taken all there is", async || {
        let connection = connect(&backends.database).await;
        let is_full = connection.is_err();
        taken.extend(connection);
        is_full.then_some(())
    })
    .await;
    let why = async || chain(&ledger.runs(Timestamp::from_ms(0)).await.unwrap_err());
    assert!(why().await.contains("too many clients"), "{}", why().await);
    backends.postgres.kill();
    assert!(why().await.contains("Connection refused"), "{}", why().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_the_ledger_writes_to_no_other_deployment() {
    let backends = Backends::new().await;
    let owner = backends.host();
    let process = owner.serve().await;
    let session = owner.caller().running(stopwatch()).await;
    assert_eq!(versions(&owner, &session).await.len(), 2);
    backends.postgres.kill();
    let stranger = backends.host().with("REDIS_PREFIX", "stranger");
    let other = stranger.serve().await;
    let lost = stranger.caller().running(stopwatch()).await;
    backends.postgres.start().await;
    let is_told = "synckairos_ledger_contested 1\n";
    eventually("it stands still", async || stranger.scrape().await.contains(is_told).then_some(())).await;
    stranger.caller().get(lost.path()).await.expect(503);
    assert_eq!(until_ledger(&owner, true).await, 200);
    owner.caller().get(lost.path()).await.expect(404);
    assert_eq!(owner.caller().command(&session, "switch").await.version(), 3);
    assert!(!owner.scrape().await.contains(is_told));
    for process in [process, other] {
        process.kill();
    }
}
