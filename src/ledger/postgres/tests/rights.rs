//! The role that serves: what it may do is listed by a migration, and history is only added to.

use sqlx::{AssertSqlSafe, Connection as _};
use testkit::postgres::serving;

use super::{FEBRUARY, JANUARY, MARCH, TestDatabase, connect, entry, key};
use crate::domain::time::Timestamp;
use crate::ledger::deployment::Claim;
use crate::ledger::postgres::PostgresLedger;
use crate::ledger::{AuditSink as _, Ledger as _, LedgerHealth as _};

/// What PostgreSQL says to who lacks a right.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// What the role may do with each table, by the letters that PostgreSQL has for it: `a` inserts, `r` reads,
/// `w` updates, `d` deletes, `x` executes. Tables of later migrations have rows there.
const RIGHTS: &[(&str, &str)] = &[
    ("_sqlx_migrations", "r"),
    ("absence", "ard"),
    ("control_request", "ard"),
    ("control_revision", "rw"),
    ("dead_letter", "ard"),
    ("deployment", "arw"),
    ("heartbeat", "arw"),
    ("revocation", "arwd"),
    ("run", "arwd"),
    ("security_event", "ard"),
    ("session", "arw"),
    ("session_label", "arw"),
    ("session_snapshot", "ar"),
    ("session_snapshot_arrival", "U"),
    ("session_snapshot_prepare(bigint,integer)", "X"),
    ("setting", "arw"),
];

impl TestDatabase {
    /// A role of which these statements are carried out; gives its name and its address.
    async fn role(&mut self, name: &str, before: &str) -> (String, String) {
        let database: String =
            sqlx::query_scalar("select current_database()::text").fetch_one(&mut self.sql).await.unwrap();
        let role = format!("{name}_of_{database}");
        self.execute(&format!(
            "drop role if exists {role}; create role {role} login; {}",
            before.replace("ROLE", &role)
        ))
        .await;
        let mut url: url::Url = self.url.parse().unwrap();
        url.set_username(&role).unwrap();
        (role, url.into())
    }

    async fn rights(&mut self, role: &str) -> Vec<(String, String)> {
        let question = format!(
            "select thing, substring(rights from '{role}=([a-zA-Z]*)/') from ( \
                select oid::regclass::text as thing, array_to_string(relacl, ' ') as rights from pg_class \
                union all \
                select oid::regprocedure::text, array_to_string(proacl, ' ') from pg_proc) listed \
            where rights ~ '(^| ){role}=' order by thing collate \"C\""
        );
        sqlx::query_as(AssertSqlSafe(question)).fetch_all(&mut self.sql).await.unwrap()
    }
}

async fn refusal(url: &str, statement: &str) -> String {
    let mut connection = connect(url).await.unwrap();
    let refused = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await;
    let refused = refused.expect_err(statement);
    connection.close().await.unwrap();
    refused.as_database_error().and_then(|error| error.code().map(Into::into)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_serves_can_add_to_history_and_not_alter_it() {
    let mut database = TestDatabase::new().await;
    let url = serving(&database.url).await;
    let ledger = PostgresLedger::open(&url, "serving").await.unwrap();
    ledger.heartbeat(Timestamp::from_ms(JANUARY), Timestamp::from_ms(JANUARY)).await.unwrap();
    let versions = [entry("a", 1, JANUARY, "x"), entry("a", 2, FEBRUARY, "x"), entry("a", 3, 5, "x")];
    assert_eq!(ledger.record(&versions).await.unwrap().new, 3);
    let mut tables = database.months().await;
    assert!(tables.len() >= 3, "{tables:?}");
    tables.extend(["session_snapshot".to_owned(), "session_snapshot_other".to_owned()]);
    for table in tables {
        for attempt in [
            "update TABLE set at = at",
            "update TABLE set body = null where version = 1",
            "delete from TABLE",
            "truncate TABLE",
            "drop table TABLE",
            "alter table TABLE disable trigger all",
            "alter table TABLE drop column body",
            "create table mine partition of TABLE for values from (1) to (2)",
            "create trigger mine before insert on TABLE for each row execute function suppress_redundant_updates_trigger()",
            "create rule mine as on insert to TABLE do instead nothing",
            "insert into TABLE select * from TABLE on conflict (tenant, session_id, epoch, version, digest, at) \
                do update set body = null",
        ] {
            let attempt = attempt.replace("TABLE", &table);
            assert_eq!(refusal(&url, &attempt).await, INSUFFICIENT_PRIVILEGE, "{attempt}");
        }
    }
    for attempt in [
        "select session_snapshot_forget('2030-01-01')",
        "delete from session",
        "truncate session",
        "drop function session_snapshot_prepare(bigint, integer)",
        "create table session_snapshot_2031_01 (a int)",
        "create function mine() returns int language sql as 'select 1'",
        "delete from _sqlx_migrations",
        "select setval('session_snapshot_arrival', 1)",
    ] {
        assert_eq!(refusal(&url, attempt).await, INSUFFICIENT_PRIVILEGE, "{attempt}");
    }
    assert_eq!(database.number("select count(body) from session_snapshot").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_serves_can_do_all_that_the_service_does() {
    let database = TestDatabase::new().await;
    let url = serving(&database.url).await;
    let ledger = PostgresLedger::open(&url, "serving").await.unwrap();
    ledger.ping().await.unwrap();
    let at = Timestamp::from_ms;
    for now in [JANUARY, MARCH, MARCH + 1_000] {
        ledger.heartbeat(at(now), at(now)).await.unwrap();
    }
    assert!(ledger.heartbeats(at(MARCH)).await.unwrap().outage.is_some());
    ledger.open_run(at(JANUARY)).await.unwrap();
    ledger.close_run(at(JANUARY), at(FEBRUARY)).await.unwrap();
    ledger.open_run(at(JANUARY + 400 * 24 * 3_600_000)).await.unwrap();
    for id in [None, Some("d".to_owned())] {
        ledger.claim(&Claim { id, new_id: "d".to_owned(), ..Claim::default() }).await.unwrap();
    }
    let dead = entry("a", 1, JANUARY, "x");
    ledger.add_dead_letter(&dead, "because", at(JANUARY)).await.unwrap();
    assert_eq!(ledger.dead_letters(None, 10).await.unwrap().len(), 1);
    assert!(ledger.remove_dead_letter(&dead).await.unwrap());
    // By rows and by a copy; the same again, and newer ones.
    let many: Vec<_> = (1..=600).map(|version| entry("a", version, JANUARY + version.cast_signed(), "x")).collect();
    for batch in [&many[..1], &many[..], &many[..2]] {
        ledger.record(batch).await.unwrap();
    }
    assert_eq!(ledger.history(&key("a"), None, 1_000).await.unwrap().rows.len(), 600);
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_more_rights_keeps_those_that_are_listed() {
    let mut database = TestDatabase::new().await;
    // As an older release documented it.
    let before = "grant all on all tables in schema public to ROLE; \
        grant all on all sequences in schema public to ROLE; grant all on all functions in schema public to ROLE; \
        alter default privileges grant all on tables to ROLE; alter default privileges grant all on functions to ROLE; \
        alter default privileges in schema public grant all on tables to ROLE";
    let (role, url) = database.role("grown", before).await;
    PostgresLedger::migrate(&database.url, "test").await.unwrap();
    let ledger = PostgresLedger::open(&url, "serving").await.unwrap();
    ledger.heartbeat(Timestamp::from_ms(JANUARY), Timestamp::from_ms(JANUARY)).await.unwrap();
    assert!(database.months().await.len() > 3, "it made months of its own");
    let listed: Vec<_> = RIGHTS.iter().map(|(thing, rights)| ((*thing).to_owned(), (*rights).to_owned())).collect();
    assert_eq!(database.rights(&role).await, listed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_insert_what_is_new_is_given_its_rights_by_migrate() {
    let mut database = TestDatabase::new().await;
    // One without a schema yet.
    database.url = database.server.database().await;
    database.sql = connect(&database.url).await.unwrap();
    let (role, _) = database.role("early", "alter default privileges grant insert on tables to ROLE").await;
    PostgresLedger::migrate(&database.url, "test").await.unwrap();
    let rights = database.rights(&role).await;
    let listed: Vec<_> = rights.iter().map(|(thing, rights)| (thing.as_str(), rights.as_str())).collect();
    assert_eq!(listed, RIGHTS);
}

#[tokio::test]
async fn who_owns_the_tables_is_not_one_that_serves() {
    let mut database = TestDatabase::new().await;
    let owner: String = sqlx::query_scalar("select current_user::text").fetch_one(&mut database.sql).await.unwrap();
    let refused =
        sqlx::query(AssertSqlSafe(format!("select ledger_grant('{owner}')"))).execute(&mut database.sql).await;
    assert!(refused.unwrap_err().to_string().contains("owns the tables"));
}

#[tokio::test(flavor = "multi_thread")]
async fn months_are_forgotten_by_whom_the_owner_names() {
    let mut database = TestDatabase::new().await;
    let serves = serving(&database.url).await;
    let (_, retains) = database.role("retain", "grant execute on function session_snapshot_forget(date) to ROLE").await;
    let ledger = PostgresLedger::open(&serves, "serving").await.unwrap();
    ledger.heartbeat(Timestamp::from_ms(JANUARY), Timestamp::from_ms(JANUARY)).await.unwrap();
    ledger.record(&[entry("a", 1, JANUARY, "x"), entry("a", 2, FEBRUARY, "x")]).await.unwrap();
    // What stands in other schemas under the name of a table of ours is not touched.
    let mut retaining = connect(&retains).await.unwrap();
    let decoy = "create temporary table session (a int); create temporary table session_snapshot (a int)";
    sqlx::raw_sql(decoy).execute(&mut retaining).await.unwrap();
    let forgotten: i32 =
        sqlx::query_scalar("select session_snapshot_forget('2026-02-01')").fetch_one(&mut retaining).await.unwrap();
    assert_eq!((forgotten, database.number("select count(*) from public.session_snapshot").await), (1, 1));
}
