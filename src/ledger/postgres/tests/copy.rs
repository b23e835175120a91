//! Rows that are copied, beside rows that may fork.

use std::sync::Arc;

use super::{JANUARY, TestDatabase, entry, key};
use crate::domain::entry::Entry;
use crate::ledger::{AuditSink as _, Ledger as _};

/// A version whose body was shed: it does not change the session's newest row.
fn shed(entry: &Arc<Entry>) -> Arc<Entry> {
    Arc::new(Entry { body: None, ..(**entry).clone() })
}

#[tokio::test]
async fn a_copy_of_a_row_that_exists_falls_back_to_an_insert() {
    let mut database = TestDatabase::new().await;
    let [first, second, third] = [1, 2, 3].map(|version| entry("a", version, JANUARY, "x"));
    database.ledger.record(&[first, shed(&second)]).await.unwrap();
    assert_eq!(database.number("select version from session").await, 1);
    // By the session's newest row both are new, but one is not.
    let recorded = database.ledger.record(&[shed(&second), third, entry("b", 1, JANUARY, "y")]).await.unwrap();
    assert_eq!((recorded.new, recorded.forks), (2, vec![]));
    assert_eq!(database.number("select count(*) from session_snapshot").await, 4);
    assert_eq!(database.number("select version from session where session_id = 'a'").await, 3);
}

#[tokio::test]
async fn forks_are_found_in_a_batch_that_is_mostly_copied() {
    let database = TestDatabase::new().await;
    database.ledger.record(&[entry("a", 1, JANUARY, "x"), entry("b", 1, JANUARY, "x")]).await.unwrap();
    let mut batch: Vec<_> = (2..=40).map(|version| entry("a", version, JANUARY, "x")).collect();
    batch.push(entry("a", 7, JANUARY, "another"));
    batch.push(entry("b", 1, JANUARY, "another"));
    batch.push(entry("b", 2, JANUARY, "x"));
    batch.push(entry("c", 1, JANUARY, "x"));
    let recorded = database.ledger.record(&batch).await.unwrap();
    assert_eq!((recorded.new, recorded.forks), (43, vec![key("a"), key("b")]));
    let rows = database.ledger.history(&key("a"), None, 100).await.unwrap().rows;
    assert_eq!((rows.len(), rows.iter().any(|row| row.link == batch[3].link)), (41, true));
}
