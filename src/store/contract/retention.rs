//! How long a session is kept, how it comes back, and what the ledger has to do with it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;

use super::Bench;
use super::bench::Memory;
use super::fixtures::{NOW, START, commanded, commit, created, first, key, repeat};
use crate::domain::entry::IdempotencyRecord;
use crate::domain::position::Position;
use crate::domain::session::Status;
use crate::domain::session::command::Command;
use crate::domain::time::Timestamp;
use crate::store::outbox::EntryId;
use crate::store::partition::Partitions;
use crate::store::{Committed, StoredSession};

/// What a test waits for takes no longer, however busy the machine is.
const SOON: Duration = Duration::from_secs(10);

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

pub async fn what_something_will_happen_to_is_never_let_go(bench: &impl Bench) {
    let (running, scheduled) = (key("running"), key("scheduled"));
    let held = first(bench, &running).await;
    commanded(bench, &running, &held, &START).await;
    let held = first(bench, &scheduled).await;
    commanded(bench, &scheduled, &held, &Command::Start { at: Some(NOW + 60_000), participant: None }).await;
    bench.record_all().await;
    bench.evict(Timestamp::NEVER).await;
    for key in [running, scheduled] {
        assert!(bench.store().read(&key).await.unwrap().is_some(), "{key}");
    }
}

pub async fn a_deleted_session_stays_as_deleted_until_the_ledger_holds_that(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    bench.record_all().await;
    let deleted = commanded(bench, &key, &held, &Command::Delete).await;
    bench.evict(Timestamp::NEVER).await;
    let read = bench.store().read(&key).await.unwrap().unwrap();
    assert_eq!((read.session.status, read.entry_id), (Status::Deleted, deleted.entry_id));
    let again = bench.store().commit(commit(&key, None, created(&key), None)).await.unwrap();
    assert!(matches!(again, Committed::Stale(_)), "{again:?}");
}

/// As the ledger had it, in a new epoch.
fn restored(held: &StoredSession) -> StoredSession {
    let session = held.session.restored(None, NOW + 7_000);
    StoredSession { session: Arc::new(session), head: held.head, entry_id: None, needs_restore: false }
}

pub async fn a_restored_session_is_taken_once_with_its_deadline_and_answers(bench: &impl Bench) {
    let (origin, key) = (Memory::new(), key("a"));
    let held = first(&origin, &key).await;
    let held = commanded(&origin, &key, &held, &START).await;
    let answered =
        IdempotencyRecord { repeat: repeat("k"), position: held.session.position, at: NOW, change: Bytes::from("{}") };
    let taken = bench.store().restore(&key, None, restored(&held), vec![answered.clone()]).await.unwrap();
    assert_eq!(taken.session.position, Position { epoch: NOW.as_ms() + 7_000, version: 2 });
    assert_eq!(bench.store().due(Partitions::ALL, Timestamp::NEVER, 9).await.unwrap(), [(NOW + 60_000, key.clone())]);
    assert_eq!(bench.store().idempotency_record(&key, &repeat("k").key).await.unwrap(), Some(answered));
    // The second one to restore it finds the first one's, and what was written since.
    let newest = commanded(bench, &key, &taken, &Command::Cancel).await;
    let again = bench.store().restore(&key, None, restored(&held), Vec::new()).await.unwrap();
    assert_eq!((&again.session, again.head), (&newest.session, newest.head));
}

pub async fn a_restored_session_is_no_write(bench: &impl Bench) {
    let (origin, key) = (Memory::new(), key("a"));
    let held = first(&origin, &key).await;
    let taken = bench.store().restore(&key, None, restored(&held), Vec::new()).await.unwrap();
    assert_eq!((bench.announced().await.len(), bench.waiting().await.len(), taken.entry_id), (0, 0, None));
    // What is written next names the version it was restored from.
    let next = commanded(bench, &key, &taken, &START).await;
    assert_eq!(bench.waiting().await[0].link.previous, held.head);
    assert_eq!(next.session.position.version, 2);
}

pub async fn recorded_returns_when_the_ledger_holds_it_and_not_before(bench: &impl Bench) {
    let one = first(bench, &key("a")).await.entry_id.unwrap();
    bench.record_all().await;
    let two = first(bench, &key("b")).await.entry_id.unwrap();
    until_recorded(bench, one).await;
    let waiting = tokio::time::timeout(Duration::from_millis(200), bench.store().wait_recorded(two));
    assert!(waiting.await.is_err(), "the ledger does not hold it");
    let (recorded, ()) = tokio::join!(bench.store().wait_recorded(two), bench.record_all());
    recorded.unwrap();
}

async fn until_recorded(bench: &impl Bench, ticket: EntryId) {
    let recorded = tokio::time::timeout(SOON, bench.store().wait_recorded(ticket)).await;
    recorded.expect("the ledger holds it").unwrap();
}

pub async fn once_the_newest_that_waits_is_recorded_all_before_it_is(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    let running = commanded(bench, &key, &held, &START).await;
    let newest = bench.store().outbox_tail(&key).await.unwrap();
    assert_eq!(newest, running.entry_id.filter(|_| bench.outlives_processes()));
    bench.record_all().await;
    for ticket in [held.entry_id, running.entry_id] {
        until_recorded(bench, ticket.unwrap()).await;
    }
    assert_eq!(bench.store().outbox_tail(&key).await.unwrap(), None);
}

pub async fn answers_keep_in_step_with_the_ledger_unless_it_is_away(bench: &impl Bench) {
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

pub async fn what_the_ledger_refused_is_kept_until_it_is_released(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    let at = held.session.position;
    bench.store().retain(&key, at).await.unwrap();
    bench.record_all().await;
    bench.evict(Timestamp::NEVER).await;
    assert!(bench.store().read(&key).await.unwrap().is_some(), "nobody else holds it");
    let other = Position { version: 7, ..at };
    bench.store().release(&key, other).await.unwrap();
    bench.evict(Timestamp::NEVER).await;
    assert!(bench.store().read(&key).await.unwrap().is_some(), "it is another version that may go");
    bench.store().release(&key, at).await.unwrap();
    bench.evict(Timestamp::NEVER).await;
    assert!(bench.store().read(&key).await.unwrap().is_none());
    // Of what is not held nothing is kept.
    bench.store().retain(&key, at).await.unwrap();
    assert!(bench.store().read(&key).await.unwrap().is_none());
}

pub async fn what_was_kept_goes_as_any_other_once_a_later_version_is_in_the_ledger(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    bench.store().retain(&key, held.session.position).await.unwrap();
    let next = commanded(bench, &key, &held, &Command::Cancel).await;
    bench.store().retain(&key, held.session.position).await.unwrap();
    bench.record_all().await;
    let read = bench.store().read_watched(&key).await.unwrap().unwrap();
    assert_eq!((&read.session, read.head), (&next.session, next.head));
    bench.evict(Timestamp::NEVER).await;
    assert!(bench.store().read(&key).await.unwrap().is_none());
}
