//! PostgreSQL killed, stopped, frozen, full: commands go on, nothing is lost, and whoever
//! asks for the past is told at once to come again.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _};
use synckairos::audit::Now;
use synckairos::audit::worker::Worker;
use synckairos::breaker::Settings;
use synckairos::domain::time::Timestamp;
use synckairos::jobs::{Backoff, RetryPolicy};
use synckairos::ledger::Ledger;
use synckairos::ledger::instrumented::Instrumented;
use synckairos::ledger::postgres::PostgresLedger;
use synckairos::store::outbox::{Backlog, MemoryOutbox};
use testkit::postgres::Server;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::harness::cluster::BEGIN_MS;
use crate::harness::sql::connect;
use crate::harness::writers::{Writers, key, versions};
use crate::harness::{Answer, Cluster, Session, blitz, eventually, soon, with};

/// Behind its breaker, as it is served.
async fn guarded(url: &str) -> Arc<dyn Ledger> {
    PostgresLedger::migrate(url, "test").await.unwrap();
    let settings = Settings { failures: 3, first: Duration::from_millis(100), ..Settings::default() };
    let ledger = PostgresLedger::open(url, "test").await.unwrap();
    Arc::new(Instrumented::with("postgres", Arc::new(ledger), settings))
}

async fn execute(url: &str, statement: &str) {
    let mut connection = connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// An audit by itself.
struct Audit {
    outbox: Arc<MemoryOutbox>,
    soft: CancellationToken,
    task: JoinHandle<Backlog>,
}

impl Audit {
    fn start(ledger: &Arc<dyn Ledger>) -> Self {
        let outbox = Arc::new(MemoryOutbox::new(usize::MAX));
        let backoff = Backoff { first: Duration::from_millis(5), max: Duration::from_millis(50) };
        let now: Now = Arc::new(|| Timestamp::from_ms(BEGIN_MS));
        let worker = Worker::new(Arc::clone(&outbox) as _, Arc::clone(ledger) as _, now);
        let pace = RetryPolicy { refused_backoff: backoff, unavailable_backoff: backoff, ..RetryPolicy::default() };
        let soft = CancellationToken::new();
        let task = tokio::spawn(worker.with_retries(pace).run(soft.clone(), CancellationToken::new()));
        Self { outbox, soft, task }
    }

    async fn drained(self) {
        soon("an empty outbox", self.outbox.wait_drained()).await;
        self.soft.cancel();
        assert_eq!(soon("the end of the audit", self.task).await.unwrap(), Backlog::default());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_arrives_once_though_the_ledger_is_killed_often() {
    let server = Server::own(&[]).await;
    let ledger = guarded(&server.database().await).await;
    let (audit, mut writers) = (Audit::start(&ledger), Writers::default());
    for _ in 0..4 {
        writers.append(&audit.outbox, 4_000, 40);
        // In the middle of it, as far as that can be met.
        eventually("something under way", async || {
            let left = synckairos::store::outbox::Outbox::backlog(&*audit.outbox).await.ok()?;
            (left.entries < 3_500).then_some(())
        })
        .await;
        server.kill();
        writers.append(&audit.outbox, 1_000, 40);
        server.start().await;
    }
    audit.drained().await;
    writers.all_are_in(&*ledger).await;
    assert_eq!(ledger.dead_letters(None, 1).await.unwrap(), []);
}

/// With the store in memory, a call that finds the ledger behind waits for it, until it
/// has been behind for a second and counts as away.
async fn play_until_away(cluster: &Cluster, session: &Session) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1_200) {
        cluster.caller(0).command(session, "switch").await;
        // A page of its history has room for a thousand, and a quick machine would play more.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether the breaker said so, and the ledger was not asked. Where it was asked, and did not answer, the caller is
/// told to come back after half a second; one of many asks, to find out whether it is there again.
fn is_turned_away(answer: &Answer) -> bool {
    answer.body["retry_after_ms"] != 500
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_ledger_delays_no_command_and_no_answer() {
    let server = Server::own(&[]).await;
    let cluster = Cluster::of(2).on(guarded(&server.database().await).await).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let history = format!("{}/history", session.path());
    caller.get(&history).await.expect(200);
    server.stop();
    eventually("an open breaker", async || {
        let answer = caller.get("/v1/sessions").await.expect(503);
        is_turned_away(&answer).then_some(())
    })
    .await;
    play_until_away(&cluster, &session).await;
    for _ in 0..50 {
        let began = Instant::now();
        cluster.caller(1).command(&session, "switch").await;
        assert!(began.elapsed() < Duration::from_millis(250), "a command took {:?}", began.elapsed());
    }
    let version = caller.snapshot(&session).await["version"].as_u64().unwrap();
    let mut turned_away = 0;
    for path in ["/v1/sessions", "/v1/sessions/nobody-knows", "/v1/sessions?status=running"].repeat(10) {
        let answer = caller.get(path).await.expect(503).refused("ledger_unavailable");
        turned_away += usize::from(is_turned_away(&answer));
        let retry_after = answer.body["retry_after_ms"].as_u64().unwrap();
        assert!((50..=2_500).contains(&retry_after), "{}", answer.body);
        assert!(!answer.header("retry-after").is_empty());
    }
    assert!(turned_away > 15, "only {turned_away} of 30 were answered without asking the ledger");
    assert_eq!(caller.asking(Method::GET, "/ready").send().await.expect(200).body["ledger"], false);
    server.start().await;
    let is_there = async || (caller.get("/ready").await.expect(200).body["ledger"] == true).then_some(());
    eventually("a ledger that is there", is_there).await;
    let whole = eventually("a history that is whole", async || {
        let body = caller.get(format!("{history}?limit=1000")).await.expect(200).body;
        (body["changes"].as_array().unwrap().len() as u64 == version).then_some(body)
    })
    .await;
    let complete_to = whole["complete_to"].as_str().unwrap();
    assert!(complete_to.ends_with(&format!("-{version}")), "{complete_to}");
    caller.get("/v1/sessions/nobody-knows").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_ledger_opens_the_breaker() {
    let server = Server::own(&[]).await;
    let cluster = Cluster::of(1).on(guarded(&server.database().await).await).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    caller.get(format!("{}/history", session.path())).await.expect(200);
    server.freeze();
    let asking = (0..8).map(|_| caller.get("/v1/sessions"));
    for answer in soon("answers", futures::future::join_all(asking)).await {
        answer.expect(503).refused("ledger_unavailable");
    }
    play_until_away(&cluster, &session).await;
    let began = Instant::now();
    caller.command(&session, "switch").await;
    assert!(began.elapsed() < Duration::from_millis(250), "a command took {:?}", began.elapsed());
    let mut turned_away = 0;
    for _ in 0..20 {
        turned_away += usize::from(is_turned_away(&caller.get("/v1/sessions").await.expect(503)));
    }
    assert!(turned_away > 10, "only {turned_away} of 20 were answered without asking the ledger");
    server.thaw();
    eventually("an answer", async || (caller.get("/v1/sessions").await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for_without_dead_letters() {
    let server = Server::own(&[]).await;
    let url = server.database().await;
    let ledger = guarded(&url).await;
    let full = "create function full() returns trigger language plpgsql as \
        $$ begin raise exception 'no space left on device' using errcode = '53100'; end $$; \
        create trigger full before insert on session_snapshot for each row execute function full()";
    execute(&url, &full.replace("full", "disk_full")).await;
    let (audit, mut writers) = (Audit::start(&ledger), Writers::default());
    writers.append(&audit.outbox, 2_000, 20);
    // More often than an entry that is refused would be tried.
    let is_tried = async || (server.log().matches("no space left on device").count() > 5).then_some(());
    eventually("tries that fail", is_tried).await;
    assert_eq!(ledger.newest(&key(0)).await.unwrap(), None);
    execute(&url, "drop trigger disk_full on session_snapshot").await;
    audit.drained().await;
    writers.all_are_in(&*ledger).await;
    assert_eq!(ledger.dead_letters(None, 1).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_entry_becomes_a_dead_letter_and_others_flow_on() {
    let server = Server::shared().await;
    let url = server.database().await;
    let ledger = guarded(&url).await;
    execute(&url, "alter table session_snapshot add constraint session_snapshot_test check (epoch <> 7)").await;
    let (audit, mut writers) = (Audit::start(&ledger), Writers::default());
    writers.append(&audit.outbox, 700, 7);
    let mut poison = synckairos::domain::entry::Entry::clone(&writers.next(7));
    poison.link.position.epoch = 7;
    audit.outbox.append(Arc::new(poison.clone()));
    writers.append(&audit.outbox, 700, 7);
    audit.drained().await;
    for session in 0..7 {
        assert_eq!(versions(&*ledger, &key(session)).await.len(), 200);
    }
    let dead = ledger.dead_letters(None, 10).await.unwrap();
    let [letter] = &dead[..] else { panic!("{dead:?}") };
    assert_eq!(letter.entry, poison);
    assert!(letter.reason.contains("session_snapshot_test"), "{}", letter.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn restores_and_lists_are_the_same_as_with_sqlite() {
    let server = Server::shared().await;
    let url = server.database().await;
    let session = {
        let cluster = Cluster::of(1).on(guarded(&url).await).start().await;
        let caller = cluster.caller(0);
        let session = caller.running(with(blitz(), json!({"metadata": {"hall": "north"}}))).await;
        caller.command(&session, "switch").await;
        session
    };
    let cluster = Cluster::of(1).on(guarded(&url).await).start().await;
    let caller = cluster.caller(0);
    for query in ["?metadata.hall=north", "?participant_id=white&sync_mode=per_participant", "?status=running"] {
        let listed = caller.get(format!("/v1/sessions{query}")).await.expect(200).body;
        assert_eq!(listed["sessions"][0]["session_id"], json!(session.id), "{query}: {listed}");
    }
    let present = caller.snapshot(&session).await;
    assert_eq!((&present["version"], &present["recovered"]), (&json!(3), &json!(true)));
    assert_eq!(caller.command(&session, "switch").await.version(), 4);
    let history = caller.get(format!("{}/history", session.path())).await.expect(200).body;
    assert_eq!(history["changes"].as_array().unwrap().len(), 4);
}
