//! Partitions are made and dropped under concurrent reads and writes.

use sqlx::Connection as _;

use super::{FEBRUARY, JANUARY, MARCH, TestDatabase, connect, entry, key};
use crate::domain::time::Timestamp;
use crate::ledger::postgres::PostgresLedger;
use crate::ledger::{AuditSink as _, Filter, Ledger as _};

#[tokio::test]
async fn a_heartbeat_prepares_the_next_months_and_moves_their_rows_in() {
    let mut database = TestDatabase::new().await;
    // As if the service had been down when the month began.
    let early = entry("a", 1, FEBRUARY + 5, "x");
    database.ledger.record(std::slice::from_ref(&early)).await.unwrap();
    assert_eq!(database.number("select count(*) from session_snapshot_other").await, 1);
    database.ledger.heartbeat(Timestamp::from_ms(MARCH - 1), Timestamp::from_ms(MARCH - 1)).await.unwrap();
    assert_eq!(database.number("select count(*) from session_snapshot_other").await, 0);
    assert_eq!(database.number("select count(*) from session_snapshot_2026_02").await, 1);
    let months = database.months().await;
    for month in ["session_snapshot_2026_02", "session_snapshot_2026_03", "session_snapshot_2026_04"] {
        assert!(months.iter().any(|each| each == month), "{month} in {months:?}");
    }
    assert_eq!(database.ledger.record(&[early]).await.unwrap().new, 0);
    let edges = [(JANUARY - 1, "other"), (MARCH - 1, "2026_02"), (MARCH, "2026_03")];
    for (version, (at, month)) in (2..).zip(edges) {
        database.ledger.record(&[entry("a", version, at, "x")]).await.unwrap();
        let there = format!("select count(*) from session_snapshot_{month} where version = {version}");
        assert_eq!(database.number(&there).await, 1, "{month}");
    }
    assert_eq!(database.ledger.history(&key("a"), None, 10).await.unwrap().rows.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn months_are_made_and_dropped_under_reads_and_writes() {
    const MONTH: i64 = 31 * 24 * 3_600_000;
    let mut database = TestDatabase::new().await;
    let other = PostgresLedger::open(&database.url, "other").await.unwrap();
    let batch = |number: i64| -> Vec<_> {
        let (version, at) = (number.cast_unsigned() + 1, JANUARY + number * MONTH / 10);
        (0..20).map(|session| entry(&format!("s{session}"), version, at, "x")).collect()
    };
    database.ledger.record(&batch(0)).await.unwrap();
    let writing = async {
        for number in 1..120 {
            database.ledger.record(&batch(number)).await.unwrap();
        }
    };
    let reading = async {
        let filter = Filter { participant_id: Some("white".into()), ..Filter::default() };
        for _ in 0..60 {
            assert!(!other.history(&key("s7"), None, 1_000).await.unwrap().rows.is_empty());
            assert!(other.newest(&key("s7")).await.unwrap().is_some());
            assert_eq!(other.sessions(&key("s7").tenant, &filter, None, 100).await.unwrap().rows.len(), 20);
        }
    };
    let turning = async {
        for month in 0..12 {
            other
                .heartbeat(Timestamp::from_ms(JANUARY + month * MONTH), Timestamp::from_ms(JANUARY + month * MONTH))
                .await
                .unwrap();
            let forget = "select session_snapshot_forget('2026-04-01')";
            sqlx::query(forget).execute(&mut database.sql).await.unwrap();
        }
    };
    futures::join!(writing, reading, turning);
    let rows = database.ledger.history(&key("s7"), None, 1_000).await.unwrap().rows;
    assert_eq!(rows.last().unwrap().link.position.version, 120);
    let late = rows.iter().filter(|row| row.link.at.as_ms() >= MARCH + MONTH).count();
    assert_eq!(late, (0..120_i64).filter(|number| JANUARY + number * MONTH / 10 >= MARCH + MONTH).count());
    let undated = format!("select count(*) from session_snapshot_other where at >= {}", MARCH + MONTH);
    assert_eq!(database.number(&undated).await, 0);
}

impl TestDatabase {
    /// Returns once a connection to this database waits for a lock of that kind.
    async fn until_one_waits_for(&mut self, kind: &str) {
        let waiting = format!(
            "select count(*) from pg_stat_activity \
            where datname = current_database() and wait_event_type = 'Lock' and wait_event = '{kind}'"
        );
        while self.number(&waiting).await == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// The row is written after the making of its month has begun, and read while it moves.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_written_while_its_month_is_made_is_found() {
    let mut database = TestDatabase::new().await;
    database.ledger.record(&[entry("a", 1, JANUARY, "x")]).await.unwrap();
    database.execute("create table aside as select * from session_snapshot; delete from session_snapshot").await;
    let [mut writer, mut maker, mut obstacle] = [
        connect(&database.url).await.unwrap(),
        connect(&database.url).await.unwrap(),
        connect(&database.url).await.unwrap(),
    ];
    let mut writing = writer.begin().await.unwrap();
    sqlx::raw_sql("lock table only session_snapshot in access exclusive mode").execute(&mut *writing).await.unwrap();
    // The making stops at its second month until this transaction is rolled back.
    let mut taking = obstacle.begin().await.unwrap();
    sqlx::raw_sql("create table session_snapshot_2026_02 ()").execute(&mut *taking).await.unwrap();
    let making = tokio::spawn(async move {
        let making = sqlx::query_scalar::<_, i32>("select session_snapshot_prepare($1, 2)").bind(JANUARY);
        making.fetch_one(&mut maker).await
    });
    database.until_one_waits_for("relation").await;
    sqlx::raw_sql("insert into session_snapshot select * from aside").execute(&mut *writing).await.unwrap();
    writing.commit().await.unwrap();
    database.until_one_waits_for("transactionid").await;
    let reader = PostgresLedger::open(&database.url, "reader").await.unwrap();
    let reading = tokio::spawn(async move { reader.newest(&key("a")).await });
    database.until_one_waits_for("relation").await;
    taking.rollback().await.unwrap();
    assert_eq!(making.await.unwrap().unwrap(), 2);
    assert!(reading.await.unwrap().unwrap().is_some());
    assert_eq!(database.number("select count(*) from session_snapshot_2026_01").await, 1);
}
