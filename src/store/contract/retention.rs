//! How long a session is stored, how it is restored, and how both depend on the ledger.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;

use super::Bench;
use super::bench::Memory;
use super::fixtures::{NOW, START, commanded, commit, created, first, key, repeat};
use crate::domain::idempotency::IdempotencyRecord;
use crate::domain::position::Position;
use crate::domain::session::Status;
use crate::domain::session::command::Command;
use crate::domain::time::Timestamp;
use crate::store::outbox::EntryId;
use crate::store::partition::Partitions;
use crate::store::{Committed, StoredSession};

/// For anything that must happen at last, however busy the machine is.
const TEST_TIMEOUT: Duration = Duration::from_secs(10);

pub async fn an_idle_session_is_found_until_the_ledger_holds_it(bench: &impl Bench) {
    let key = key("a");
    first(bench, &key).await;
    let is_held = async || bench.store().read(&key).await.unwrap().is_some();
    bench.evict(NOW + 1).await;
    assert!(is_held().await, "the ledger does not hold it");
    bench.record_all().await;
    bench.evict(NOW).await;
    assert!(is_held().await, "it has not been idle");
    bench.evict(NOW + 1).await;
    assert!(!is_held().await);
}

pub async fn a_session_that_is_due_is_never_evicted(bench: &impl Bench) {
    let (running, scheduled) = (key("running"), key("scheduled"));
    let base = first(bench, &running).await;
    commanded(bench, &running, &base, &START).await;
    let base = first(bench, &scheduled).await;
    commanded(bench, &scheduled, &base, &Command::Start { at: Some(NOW + 60_000), participant: None }).await;
    bench.record_all().await;
    bench.evict(Timestamp::NEVER).await;
    for key in [running, scheduled] {
        assert!(bench.store().read(&key).await.unwrap().is_some(), "{key}");
    }
}

pub async fn a_deleted_session_stays_as_deleted_until_the_ledger_holds_that(bench: &impl Bench) {
    let key = key("a");
    let base = first(bench, &key).await;
    bench.record_all().await;
    let deleted = commanded(bench, &key, &base, &Command::Delete).await;
    bench.evict(Timestamp::NEVER).await;
    let read = bench.store().read(&key).await.unwrap().unwrap();
    assert_eq!((read.session.status, read.entry_id), (Status::Deleted, deleted.entry_id));
    let again = bench.store().commit(commit(&key, None, created(&key), None)).await.unwrap();
    assert!(matches!(again, Committed::Stale(_)), "{again:?}");
}

/// As the ledger had it, in a new epoch.
fn restored(base: &StoredSession) -> StoredSession {
    let session = base.session.restored(None, NOW + 7_000);
    StoredSession { session: Arc::new(session), head: base.head, entry_id: None, needs_restore: false }
}

pub async fn a_session_is_restored_once_with_its_deadline_and_records(bench: &impl Bench) {
    let (origin, key) = (Memory::new(), key("a"));
    let base = first(&origin, &key).await;
    let base = commanded(&origin, &key, &base, &START).await;
    let record =
        IdempotencyRecord { key: repeat("k"), position: base.session.position, at: NOW, change: Bytes::from("{}") };
    let stored = bench.store().restore(&key, None, restored(&base), vec![record.clone()]).await.unwrap();
    assert_eq!(stored.session.position, Position { epoch: NOW.as_ms() + 7_000, version: 2 });
    assert_eq!(bench.store().due(Partitions::ALL, Timestamp::NEVER, 9).await.unwrap(), [(NOW + 60_000, key.clone())]);
    assert_eq!(bench.store().idempotency_record(&key, &repeat("k").key).await.unwrap(), Some(record));
    // A second restore finds the first one, and later writes.
    let newest = commanded(bench, &key, &stored, &Command::Cancel).await;
    let again = bench.store().restore(&key, None, restored(&base), Vec::new()).await.unwrap();
    assert_eq!((&again.session, again.head), (&newest.session, newest.head));
}

pub async fn a_restored_session_is_no_write(bench: &impl Bench) {
    let (origin, key) = (Memory::new(), key("a"));
    let base = first(&origin, &key).await;
    let stored = bench.store().restore(&key, None, restored(&base), Vec::new()).await.unwrap();
    assert_eq!((bench.announced().await.len(), bench.entries().await.len(), stored.entry_id), (0, 0, None));
    // The next write names the version that was restored.
    let next = commanded(bench, &key, &stored, &START).await;
    assert_eq!(bench.entries().await[0].link.previous, base.head);
    assert_eq!(next.session.position.version, 2);
}

pub async fn waiting_for_an_entry_ends_when_the_ledger_holds_it(bench: &impl Bench) {
    let one = first(bench, &key("a")).await.entry_id.unwrap();
    bench.record_all().await;
    let two = first(bench, &key("b")).await.entry_id.unwrap();
    until_recorded(bench, one).await;
    let waiting = tokio::time::timeout(Duration::from_millis(200), bench.store().wait_recorded(two));
    assert!(waiting.await.is_err(), "the ledger does not hold it");
    let (recorded, ()) = tokio::join!(bench.store().wait_recorded(two), bench.record_all());
    recorded.unwrap();
}

async fn until_recorded(bench: &impl Bench, entry_id: EntryId) {
    let recorded = tokio::time::timeout(TEST_TIMEOUT, bench.store().wait_recorded(entry_id)).await;
    recorded.expect("the ledger holds it").unwrap();
}

pub async fn once_the_outbox_tail_is_recorded_so_is_all_before_it(bench: &impl Bench) {
    let key = key("a");
    let base = first(bench, &key).await;
    let running = commanded(bench, &key, &base, &START).await;
    let newest = bench.store().outbox_tail(&key).await.unwrap();
    assert_eq!(newest, running.entry_id.filter(|_| bench.outlives_processes()));
    bench.record_all().await;
    for entry_id in [base.entry_id, running.entry_id] {
        until_recorded(bench, entry_id.unwrap()).await;
    }
    assert_eq!(bench.store().outbox_tail(&key).await.unwrap(), None);
}

pub async fn answers_wait_for_the_ledger_unless_it_is_away(bench: &impl Bench) {
    let in_time =
        async |ms| tokio::time::timeout(Duration::from_millis(ms), bench.store().wait_for_ledger()).await.is_ok();
    assert!(bench.store().wait_for_ledger().now_or_never().is_some(), "nothing waits");
    if bench.outlives_processes() {
        first(bench, &key("a")).await;
        assert!(bench.store().wait_for_ledger().now_or_never().is_some(), "nothing can be lost with a process");
        return;
    }
    first(bench, &key("a")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!in_time(50).await, "the ledger is behind");
    let ((), ()) = tokio::join!(bench.store().wait_for_ledger(), bench.record_all());
    first(bench, &key("b")).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(bench.store().wait_for_ledger().now_or_never().is_some(), "the ledger is away");
}

pub async fn a_retained_version_stays_until_it_is_released(bench: &impl Bench) {
    let key = key("a");
    let base = first(bench, &key).await;
    let at = base.session.position;
    bench.store().retain(&key, at).await.unwrap();
    bench.record_all().await;
    bench.evict(Timestamp::NEVER).await;
    assert!(bench.store().read(&key).await.unwrap().is_some(), "it is nowhere else");
    let other = Position { version: 7, ..at };
    bench.store().release(&key, other).await.unwrap();
    bench.evict(Timestamp::NEVER).await;
    assert!(bench.store().read(&key).await.unwrap().is_some(), "it is another version that was released");
    bench.store().release(&key, at).await.unwrap();
    bench.evict(Timestamp::NEVER).await;
    assert!(bench.store().read(&key).await.unwrap().is_none());
    // A missing session is not retained.
    bench.store().retain(&key, at).await.unwrap();
    assert!(bench.store().read(&key).await.unwrap().is_none());
}

pub async fn a_retained_session_expires_once_a_later_version_is_recorded(bench: &impl Bench) {
    let key = key("a");
    let base = first(bench, &key).await;
    bench.store().retain(&key, base.session.position).await.unwrap();
    let next = commanded(bench, &key, &base, &Command::Cancel).await;
    bench.store().retain(&key, base.session.position).await.unwrap();
    bench.record_all().await;
    let read = bench.store().read_watched(&key).await.unwrap().unwrap();
    assert_eq!((&read.session, read.head), (&next.session, next.head));
    bench.evict(Timestamp::NEVER).await;
    assert!(bench.store().read(&key).await.unwrap().is_none());
}
