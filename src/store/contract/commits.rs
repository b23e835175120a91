//! What a write is: one step, on the version before, answered once.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::join_all;

use super::Bench;
use super::fixtures::{NOW, START, after, commanded, commit, created, first, key, repeat, stored, switch};
use crate::domain::chain::Digest;
use crate::domain::id::SessionKey;
use crate::domain::idempotency::{IDEMPOTENCY_TTL_MS, IdempotencyRecord};
use crate::domain::session::command::{Command, Target};
use crate::domain::time::Timestamp;
use crate::store::partition::Partitions;
use crate::store::{Committed, StoredSession};

pub async fn a_write_is_stored_announced_and_audited_in_one_step(bench: &impl Bench) {
    let key = key("a");
    let base = first(bench, &key).await;
    let running = commanded(bench, &key, &base, &START).await;
    let read = bench.store().read(&key).await.unwrap().unwrap();
    assert_eq!((&read.session, read.head, read.entry_id), (&running.session, running.head, running.entry_id));
    let announced: Vec<_> =
        bench.announced().await.into_iter().map(|(key, position, frames)| (key, position.version, frames)).collect();
    let frame = |base: &StoredSession| Bytes::from(format!("frame {}", base.session.position));
    assert_eq!(announced, [(key.clone(), 1, frame(&base)), (key.clone(), 2, frame(&running))]);
    let entries = bench.entries().await;
    assert_eq!(entries.iter().map(|entry| entry.link.digest()).collect::<Vec<_>>(), [base.head, running.head]);
    assert_eq!(bench.store().due(Partitions::ALL, NOW + 60_000, 10).await.unwrap(), [(NOW + 60_000, key)]);
}

pub async fn a_stale_write_gets_the_newest_and_leaves_no_trace(bench: &impl Bench) {
    let key = key("a");
    let old = first(bench, &key).await;
    let newest = commanded(bench, &key, &old, &START).await;
    let before = (bench.announced().await.len(), bench.entries().await.len());
    for base in [Some(&old), None] {
        let late = commit(&key, base, after(&old, &Command::Cancel, NOW), Some(repeat("late")));
        let Committed::Stale(current) = bench.store().commit(late).await.unwrap() else { panic!("it is not stale") };
        assert_eq!(current.session, newest.session);
    }
    assert_eq!(bench.store().read(&key).await.unwrap().unwrap().session, newest.session);
    assert_eq!((bench.announced().await.len(), bench.entries().await.len()), before);
    assert_eq!(bench.store().due(Partitions::ALL, NOW + 60_000, 10).await.unwrap().len(), 1);
    assert_eq!(bench.store().idempotency_record(&key, &repeat("late").key).await.unwrap(), None);
}

pub async fn a_write_to_a_missing_session_leaves_no_trace(bench: &impl Bench) {
    let (base, elsewhere) = (first(bench, &key("a")).await, key("b"));
    let lost = commit(&elsewhere, Some(&base), after(&base, &START, NOW), None);
    assert!(matches!(bench.store().commit(lost).await.unwrap(), Committed::Missing));
    assert!(bench.store().read(&elsewhere).await.unwrap().is_none());
    assert_eq!((bench.announced().await.len(), bench.entries().await.len()), (1, 1));
    assert!(bench.store().due(Partitions::ALL, Timestamp::NEVER, 10).await.unwrap().is_empty());
}

pub async fn of_many_first_writes_one_is_stored(bench: &impl Bench) {
    let key = key("a");
    bench.subscribe(&key).await;
    let racing = (0..50).map(|_| bench.store().commit(commit(&key, None, created(&key), None)));
    let outcomes = join_all(racing).await;
    let won = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Committed::Stored(_)))).count();
    let stale = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Committed::Stale(_)))).count();
    assert_eq!((won, stale, bench.announced().await.len(), bench.entries().await.len()), (1, 49, 1, 1));
}

/// Each writes until it has won `times`.
async fn race(bench: &impl Bench, key: &SessionKey, writers: usize, times: usize) {
    let write = async || {
        let mut base = bench.store().read(key).await.unwrap().unwrap();
        for _ in 0..times {
            loop {
                let next = after(&base, &switch(), NOW);
                match bench.store().commit(commit(key, Some(&base), next, None)).await.unwrap() {
                    Committed::Stored(newest) => break base = newest,
                    Committed::Stale(newest) => base = newest,
                    other => panic!("{other:?}"),
                }
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
        }
    };
    join_all((0..writers).map(|_| write())).await;
}

pub async fn of_racing_writes_each_is_stored_on_the_one_before(bench: &impl Bench) {
    let key = key("a");
    let base = first(bench, &key).await;
    commanded(bench, &key, &base, &START).await;
    race(bench, &key, 20, 20).await;
    let newest = bench.store().read(&key).await.unwrap().unwrap();
    assert_eq!(newest.session.position.version, 402);
    let mut previous = Digest::NONE;
    for entry in bench.entries().await {
        assert_eq!(entry.link.previous, previous, "{:?}", entry.link);
        previous = entry.link.digest();
    }
    assert_eq!(previous, newest.head);
}

pub async fn announcements_and_entries_come_in_the_order_of_the_versions(bench: &impl Bench) {
    let keys = ["a", "b", "c"].map(key);
    for key in &keys {
        let base = first(bench, key).await;
        commanded(bench, key, &base, &START).await;
    }
    join_all(keys.iter().map(|key| race(bench, key, 4, 25))).await;
    let (mut announced, mut audited) = (BTreeMap::new(), BTreeMap::new());
    for (key, position, _) in bench.announced().await {
        announced.entry(key).or_insert_with(Vec::new).push(position.version);
    }
    for entry in bench.entries().await {
        audited.entry(entry.key.clone()).or_insert_with(Vec::new).push(entry.link.position.version);
    }
    for key in &keys {
        let all: Vec<_> = (1..=102).collect();
        assert_eq!((&announced[key], &audited[key]), (&all, &all), "{key}");
    }
}

pub async fn a_repeated_key_is_answered_as_the_first_time(bench: &impl Bench) {
    let key = key("a");
    let pending = first(bench, &key).await;
    let once = stored(bench, commit(&key, Some(&pending), after(&pending, &START, NOW), Some(repeat("k")))).await;
    let newest = commanded(bench, &key, &once, &Command::Cancel).await;
    let before = (bench.announced().await.len(), bench.entries().await.len());
    // Whatever version the repeat was made from.
    for base in [&pending, &once, &newest] {
        let again = commit(&key, Some(base), after(&pending, &START, NOW), Some(repeat("k")));
        let Committed::Repeated(record, present) = bench.store().commit(again).await.unwrap() else {
            panic!("it was not answered before")
        };
        let expected = IdempotencyRecord {
            key: repeat("k"),
            position: once.session.position,
            at: NOW,
            change: Bytes::from("{\"version\":2}"),
        };
        assert_eq!((record, &present.session), (expected, &newest.session));
    }
    assert_eq!((bench.announced().await.len(), bench.entries().await.len()), before);
    let record = bench.store().idempotency_record(&key, &repeat("k").key).await.unwrap().unwrap();
    assert_eq!(record.position.version, 2);
    for (other, text) in [(key, "other"), (self::key("b"), "k")] {
        assert_eq!(bench.store().idempotency_record(&other, &repeat(text).key).await.unwrap(), None);
    }
}

pub async fn an_idempotency_record_lasts_ten_minutes(bench: &impl Bench) {
    let key = key("a");
    let base = first(bench, &key).await;
    let base = stored(bench, commit(&key, Some(&base), after(&base, &START, NOW), Some(repeat("k")))).await;
    let pause = Command::Pause { reason: None, target: Target::Session, by_participant: false };
    let base = commanded(bench, &key, &base, &pause).await;
    let again = after(&base, &pause, NOW + IDEMPOTENCY_TTL_MS);
    stored(bench, commit(&key, Some(&base), again, Some(repeat("ten minutes later")))).await;
    assert!(bench.store().idempotency_record(&key, &repeat("k").key).await.unwrap().is_some());
}

pub async fn hundreds_of_idempotency_records_are_remembered(bench: &impl Bench) {
    let key = key("a");
    let base = first(bench, &key).await;
    let mut base = stored(bench, commit(&key, Some(&base), after(&base, &START, NOW), None)).await;
    let names: Vec<_> = (0..300).map(|number| format!("k-{number}")).collect();
    for name in &names {
        base = stored(bench, commit(&key, Some(&base), after(&base, &switch(), NOW), Some(repeat(name)))).await;
    }
    for name in &names {
        assert!(bench.store().idempotency_record(&key, &repeat(name).key).await.unwrap().is_some(), "{name}");
    }
    // One entry a write, and no write without its state.
    assert_eq!(bench.entries().await.len(), 302);
}

pub async fn a_ping_is_answered(bench: &impl Bench) {
    bench.store().ping().await.unwrap();
}
