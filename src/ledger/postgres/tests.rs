//! PostgreSQL only: concurrent writers, months, plans, errors.

mod copy;
mod months;
mod rights;

use std::collections::BTreeSet;
use std::str::FromStr as _;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use testkit::postgres::Server;

use super::PostgresLedger;
use crate::domain::chain::{Digest, Link};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::idempotency::IdempotencyKey;
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::ledger::{AuditSink as _, Error, Filter, Ledger as _, LedgerHealth as _};

/// 2026-01-01, 2026-02-01 and 2026-03-01.
const JANUARY: i64 = 1_767_225_600_000;
const FEBRUARY: i64 = 1_769_904_000_000;
const MARCH: i64 = 1_772_323_200_000;

async fn connect(url: &str) -> sqlx::Result<PgConnection> {
    PgConnectOptions::from_str(url)?.disable_statement_logging().connect().await
}

/// A database, a ledger in it, and a connection that bypasses the ledger.
struct TestDatabase {
    server: Arc<Server>,
    url: String,
    ledger: PostgresLedger,
    sql: PgConnection,
}

impl TestDatabase {
    async fn new() -> Self {
        Self::on(Server::shared().await).await
    }

    async fn on(server: Arc<Server>) -> Self {
        let url = server.database().await;
        PostgresLedger::migrate(&url, "test").await.unwrap();
        let ledger = PostgresLedger::open(&url, "test").await.unwrap();
        let sql = connect(&url).await.unwrap();
        Self { server, url, ledger, sql }
    }

    async fn execute(&mut self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.sql).await.unwrap();
    }

    async fn number(&mut self, question: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(question)).fetch_one(&mut self.sql).await.unwrap()
    }

    async fn months(&mut self) -> Vec<String> {
        let question =
            "select relname::text from pg_class where relname ~ '^session_snapshot_\\d{4}_\\d\\d$' order by 1";
        sqlx::query_scalar(question).fetch_all(&mut self.sql).await.unwrap()
    }
}

fn key(session: &str) -> SessionKey {
    SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new(session).unwrap() }
}

fn entry(session: &str, version: u64, at: i64, what: &str) -> Arc<Entry> {
    let body = json!({
        "format": 1, "status": "running", "sync_mode": "global", "due_at": at, "created_at": 0,
        "updated_at": at, "participants": [{ "participant_id": "white" }], "metadata": { "hall": what },
    });
    let body = Bytes::from(body.to_string());
    let position = Position { epoch: 1, version };
    let link = Link { position, at: Timestamp::from_ms(at), previous: Digest::NONE, body: Digest::of(&body) };
    Arc::new(Entry { key: key(session), link, body: Some(body), change: "{}".into(), idempotency: None })
}

fn refused<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Refused(_)))
}

fn unavailable<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Unavailable(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_of_the_same_rows_never_deadlock() {
    let mut database = TestDatabase::new().await;
    let others: Vec<_> = join_all((0..4).map(|_| PostgresLedger::open(&database.url, "other"))).await;
    let others: Vec<_> = others.into_iter().map(Result::unwrap).collect();
    let all: Vec<_> = (0..2_000).map(|n| entry(&format!("s{}", n % 40), 1 + n / 40, JANUARY, "north")).collect();
    // Each writer in its own order, in overlapping batches.
    let writers = others.iter().enumerate().map(|(shift, ledger)| {
        let mut mine: Vec<_> = all.clone();
        mine.rotate_left(shift * 500);
        if shift % 2 == 1 {
            mine.reverse();
        }
        async move {
            let mut new = 0;
            for batch in mine.chunks(300) {
                let recorded = ledger.record(batch).await.unwrap();
                assert_eq!(recorded.forks, []);
                new += recorded.new;
            }
            new
        }
    });
    let new: u64 = join_all(writers).await.into_iter().sum();
    assert_eq!(new, 2_000);
    assert_eq!(database.number("select count(*) from session_snapshot").await, 2_000);
    assert_eq!(database.number("select min(version) from session").await, 50);
    assert_eq!(database.number("select count(*) from session_label").await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_concurrent_sides_of_a_fork_one_is_counted() {
    let database = TestDatabase::new().await;
    for round in 1..=50 {
        let sides = ["north", "south"].map(|hall| entry("a", round, FEBRUARY + i64::from(hall == "south") - 1, hall));
        let written = join_all(sides.iter().map(|side| database.ledger.record(std::slice::from_ref(side)))).await;
        let forks: usize = written.into_iter().map(|recorded| recorded.unwrap().forks.len()).sum();
        assert_eq!(forks, 1, "round {round}");
    }
    let rows = database.ledger.history(&key("a"), None, 1_000).await.unwrap().rows;
    assert_eq!((rows.len(), rows.iter().filter(|row| row.superseded).count()), (100, 50));
}

#[tokio::test]
async fn a_fork_is_found_in_another_month() {
    let database = TestDatabase::new().await;
    database.ledger.heartbeat(Timestamp::from_ms(JANUARY), Timestamp::from_ms(JANUARY)).await.unwrap();
    database.ledger.record(&[entry("a", 1, JANUARY, "x"), entry("a", 2, FEBRUARY, "x")]).await.unwrap();
    let recorded = database.ledger.record(&[entry("a", 1, MARCH, "y")]).await.unwrap();
    assert_eq!((recorded.new, recorded.forks), (1, vec![key("a")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_whole_batches_only() {
    let database = TestDatabase::new().await;
    let writing = async {
        for batch in 0..40 {
            let batch: Vec<_> = (1..=25).map(|n| entry("a", batch * 25 + n, JANUARY, "x")).collect();
            database.ledger.record(&batch).await.unwrap();
        }
    };
    let reading = async {
        let mut last = 0;
        while last < 1_000 {
            let rows = database.ledger.history(&key("a"), None, 2_000).await.unwrap().rows;
            assert!(rows.len() % 25 == 0 && rows.len() >= last, "{}", rows.len());
            last = rows.len();
        }
    };
    futures::join!(writing, reading);
}

#[tokio::test]
async fn bodies_are_compressed_with_lz4_if_available() {
    let mut database = TestDatabase::new().await;
    database.ledger.record(&[entry("a", 1, JANUARY, &"hall ".repeat(1_000))]).await.unwrap();
    let can = "select count(*) from pg_settings where name = 'default_toast_compression' and 'lz4' = any (enumvals)";
    let does = "select count(*) from session_snapshot where pg_column_compression(body) = 'lz4'";
    assert_eq!(database.number(does).await, database.number(can).await);
}

#[tokio::test]
async fn forgetting_months_leaves_the_newest_of_each_session() {
    let mut database = TestDatabase::new().await;
    database.ledger.heartbeat(Timestamp::from_ms(JANUARY), Timestamp::from_ms(JANUARY)).await.unwrap();
    let idle = [entry("idle", 1, JANUARY, "x"), entry("idle", 2, JANUARY + 1, "x")];
    let alive = [entry("alive", 1, JANUARY, "x"), entry("alive", 2, FEBRUARY, "x")];
    let undated = [entry("odd", 1, 5, "x"), entry("odd", 2, 6, "x")];
    for entries in [&idle, &alive, &undated] {
        database.ledger.record(entries).await.unwrap();
    }
    let forget = "select session_snapshot_forget('2026-02-01')::bigint";
    assert_eq!((database.number(forget).await, database.number(forget).await), (1, 0));
    let versions = async |session| {
        let rows = database.ledger.history(&key(session), None, 10).await.unwrap().rows;
        rows.iter().map(|row| row.link.position.version).collect::<Vec<_>>()
    };
    assert_eq!((versions("idle").await, versions("alive").await, versions("odd").await), (vec![2], vec![2], vec![2]));
    let newest = database.ledger.newest(&key("idle")).await.unwrap().unwrap();
    assert_eq!(newest.body, idle[1].body);
    let newest_then = database.ledger.at(&key("idle"), Timestamp::from_ms(MARCH)).await.unwrap().unwrap();
    assert_eq!(newest_then.link, idle[1].link);
    assert_eq!(database.ledger.record(&idle[1..]).await.unwrap().new, 0, "it knows what it kept");
    database.ledger.record(&[entry("idle", 3, FEBRUARY, "x")]).await.unwrap();
    assert_eq!(database.number(forget).await, 0);
    assert_eq!(database.number("select count(*) from session_snapshot_other where session_id = 'idle'").await, 0);
}

#[tokio::test]
async fn labels_are_written_only_when_they_change() {
    let mut database = TestDatabase::new().await;
    let find = async |ledger: &PostgresLedger, hall: &str| {
        let filter = Filter { metadata: vec![("hall".into(), hall.into())], ..Filter::default() };
        ledger.sessions(&key("a").tenant, &filter, None, 10).await.unwrap().rows.len()
    };
    database.ledger.record(&[entry("a", 2, 5, "north")]).await.unwrap();
    let row_location = "select (ctid::text::point)[1]::bigint from session_label";
    let before = database.number(row_location).await;
    database.ledger.record(&[entry("a", 3, 6, "north")]).await.unwrap();
    // An older version.
    database.ledger.record(&[entry("a", 1, 4, "south")]).await.unwrap();
    assert_eq!(database.number(row_location).await, before, "written anew");
    assert_eq!((find(&database.ledger, "north").await, find(&database.ledger, "south").await), (1, 0));
    database.ledger.record(&[entry("a", 4, 7, "south")]).await.unwrap();
    assert_eq!((find(&database.ledger, "north").await, find(&database.ledger, "south").await), (0, 1));
}

#[tokio::test]
async fn only_an_invalid_entry_is_refused() {
    let mut database = TestDatabase::new().await;
    let one = [entry("a", 1, 5, "x")];
    // Codes of a full disk, a restart, a standby, a lock or a missing privilege.
    for code in ["53100", "53200", "57P01", "57014", "25006", "40001", "40P01", "55P03", "42501", "XX000", "P0001"] {
        let raises = format!(
            "create or replace function fail() returns trigger language plpgsql as \
            $$ begin raise exception 'on purpose' using errcode = '{code}'; end $$; \
            create or replace trigger fail before insert on session for each row execute function fail()"
        );
        database.execute(&raises).await;
        assert!(unavailable(&database.ledger.record(&one).await), "{code}");
    }
    database.execute("drop trigger fail on session").await;
    database.execute("alter table session_snapshot add constraint session_snapshot_test check (epoch > 1)").await;
    assert!(refused(&database.ledger.record(&one).await));
    database.execute("alter table session_snapshot drop constraint session_snapshot_test").await;
    database.execute("alter table session rename to gone").await;
    assert!(unavailable(&database.ledger.record(&one).await));
    database.execute("alter table gone rename to session").await;
    assert_eq!(database.ledger.record(&one).await.unwrap().new, 1);
}

#[tokio::test]
async fn an_old_schema_is_refused_and_concurrent_migrations_succeed() {
    let server = Server::shared().await;
    let url = server.database().await;
    let refusal = PostgresLedger::open(&url, "test").await.unwrap_err();
    let Error::Refused(why) = refusal else { panic!("{refusal}") };
    assert_eq!(why.to_string(), "the schema is older than this release: run `synckairos migrate`");
    for done in join_all((0..4).map(|_| PostgresLedger::migrate(&url, "test"))).await {
        done.unwrap();
    }
    let mut sql = connect(&url).await.unwrap();
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
        values (9000, 'contract session', true, 'x', 0)";
    PostgresLedger::open(&url, "test").await.unwrap().close().await;
    sqlx::query(newer).execute(&mut sql).await.unwrap();
    sql.close().await.unwrap();
    assert!(refused(&PostgresLedger::open(&url, "test").await));
}

#[tokio::test]
async fn an_invalid_address_is_refused_without_its_secret() {
    let unused = testkit::ports::free_port();
    for url in ["postgres://u:secret@h:x/d".to_owned(), format!("postgres://u:secret@127.0.0.1:{unused}/d")] {
        let Err(Error::Unavailable(why)) = PostgresLedger::open(&url, "test").await else { panic!("{url}") };
        assert!(!format!("{why} {why:?}").contains("secret"), "{why:?}");
    }
}

#[tokio::test]
async fn connections_are_named_and_limited() {
    let mut database = TestDatabase::new().await;
    database.ledger.ping().await.unwrap();
    let ours = "select count(*) from pg_stat_activity where application_name = 'synckairos test'";
    assert!(database.number(ours).await > 0);
    let slow = sqlx::query("select pg_sleep(10)").execute(&database.ledger.read).await.unwrap_err();
    assert_eq!(slow.as_database_error().unwrap().code().unwrap(), "57014");
    assert!(matches!(super::error::read_failed(slow), Error::TooLong), "the server is up, so no breaker may open");
    let write = sqlx::query("create table t (a int)").execute(&database.ledger.read).await.unwrap_err();
    assert_eq!(write.as_database_error().unwrap().code().unwrap(), "25006");
}

/// Twelve months, a long session among many short ones.
const FILL: &str = "insert into session_snapshot \
        (tenant, session_id, epoch, version, at, previous, body_digest, digest, body, change, repeat_key, repeat_body) \
    select 'acme', case when n % 20 = 0 then 'long' else 's' || n / 10 end, 1, \
        case when n % 20 = 0 then n / 20 + 1 else n % 10 + 1 end, 1767225600000 + n * 500000::bigint, \
        sha256(n::text::bytea), sha256(n::text::bytea), sha256(n::text::bytea), \
        convert_to('{\"format\":1,\"status\":\"running\",\"sync_mode\":\"global\",\"created_at\":0,\"updated_at\":0}', 'utf8'), \
        '{}', sha256(n::text::bytea), sha256(n::text::bytea) \
    from generate_series(0, 59999) n; \
    update session_snapshot set at = n, session_id = 'undated' || n \
    from generate_series(1, 1000) n where arrival = n * 13; \
    insert into session (tenant, session_id, epoch, version, digest, at, status, sync_mode, due_at, updated_at) \
    select distinct on (tenant, session_id) tenant, session_id, epoch, version, digest, at, \
        case when arrival % 50 = 0 then 'paused' else 'running' end, 'global', at, at \
    from session_snapshot order by tenant, session_id, version desc; \
    insert into session_label (tenant, session_id, labels) \
    select tenant, session_id, array[substring(digest for 16), '\\x00'::bytea] from session; \
    analyze session_snapshot; analyze session; analyze session_label";

#[tokio::test(flavor = "multi_thread")]
async fn no_query_reads_a_whole_table() {
    let plans = [
        "shared_preload_libraries=auto_explain",
        "auto_explain.log_min_duration=0",
        "auto_explain.log_nested_statements=on",
        "auto_explain.log_analyze=on",
    ];
    let mut database = TestDatabase::on(Arc::new(Server::own(&plans).await)).await;
    database.execute(&format!("select session_snapshot_prepare({JANUARY}, 12); {FILL}")).await;
    let begun = database.server.log().len();
    // More than five times, after which PostgreSQL may use a generic plan.
    for _ in 0..7 {
        run_all_queries(&database.ledger).await;
    }
    let log = database.server.log().split_off(begun);
    let plans: Vec<_> = log.split("LOG:  duration").filter(|plan| plan.contains("Query Text")).collect();
    assert!(plans.len() > 100, "{log}");
    let named: BTreeSet<_> =
        plans.iter().filter_map(|plan| plan.split("Query Text: ").nth(1)?.lines().next()).collect();
    let question = "select relname::text from pg_class where reltuples > 0 and relname ~ '^session'";
    let filled: Vec<String> = sqlx::query_scalar(question).fetch_all(&mut database.sql).await.unwrap();
    assert!(filled.len() > 14, "{filled:?}");
    for plan in plans {
        // A sequential scan of an empty partition is fine.
        let read = plan.split("Seq Scan on ").skip(1).filter_map(|rest| rest.split(' ').next());
        let read: Vec<_> = read.filter(|table| filled.iter().any(|each| each == table)).collect();
        assert!(read.is_empty(), "{read:?} in {plan}");
    }
    for table in ["from session_snapshot", "from session ", "insert into session", "insert into session_snapshot"] {
        assert!(named.iter().any(|query| query.contains(table)), "{table} in {named:?}");
    }
    for index in ["session_status", "session_updated", "session_due", "session_label_labels", "session_identity"] {
        assert!(
            log.contains(&format!("using {index}")) || log.contains(&format!("Scan on {index}")),
            "{index} in {log}"
        );
    }
}

async fn run_all_queries(ledger: &PostgresLedger) {
    let long = key("long");
    ledger.newest(&long).await.unwrap().unwrap();
    ledger.version(&long, 1_500).await.unwrap().unwrap();
    ledger.at(&long, Timestamp::from_ms(MARCH)).await.unwrap().unwrap();
    assert_eq!(ledger.history(&long, None, 100).await.unwrap().rows.len(), 100);
    let middle = Position { epoch: 1, version: 1_500 };
    assert_eq!(ledger.history(&long, Some(middle), 100).await.unwrap().rows.len(), 100);
    assert!(!ledger.idempotency_records(&long, Timestamp::from_ms(JANUARY + 29_900_000_000)).await.unwrap().is_empty());
    let all = Filter::default;
    let filters = [
        all(),
        Filter { status: Some("paused".into()), ..all() },
        Filter { sync_mode: Some("none".into()), ..all() },
        Filter { participant_id: Some("white".into()), ..all() },
        Filter { metadata: vec![("hall".into(), "north".into())], ..all() },
        Filter { updated_after: Some(Timestamp::from_ms(JANUARY + 29_990_000_000)), ..all() },
        Filter { sessions: Some(vec![long.session.clone()]), ..all() },
    ];
    for filter in filters {
        ledger.sessions(&long.tenant, &filter, None, 50).await.unwrap();
        ledger.sessions(&long.tenant, &filter, Some(&key("s500").session), 50).await.unwrap();
    }
    let due = ledger.due(None, Timestamp::from_ms(FEBRUARY), 100).await.unwrap();
    ledger.due(due.last(), Timestamp::from_ms(FEBRUARY), 100).await.unwrap();
    let repeat = IdempotencyKey { key: Digest::of(b"k"), body: Digest::of(b"b") };
    let mut suspect = Entry::clone(&entry("long", 1_000, FEBRUARY, "x"));
    suspect.idempotency = Some(repeat);
    ledger.record(&[Arc::new(suspect), entry("s7", 9, FEBRUARY, "x")]).await.unwrap();
}
