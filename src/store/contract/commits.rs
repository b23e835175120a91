//! What a write is: one step, on the version before, answered once.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::join_all;

use super::Bench;
use super::fixtures::{NOW, START, after, commanded, commit, created, first, key, repeat, stored, switch};
use crate::domain::chain::Digest;
use crate::domain::entry::{IDEMPOTENCY_TTL_MS, IdempotencyRecord};
use crate::domain::id::SessionKey;
use crate::domain::session::command::{Command, Target};
use crate::domain::time::Timestamp;
use crate::store::partition::Partitions;
use crate::store::{Committed, StoredSession};

pub async fn a_write_is_stored_announced_and_audited_in_one_step(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    let running = commanded(bench, &key, &held, &START).await;
    let read = bench.store().read(&key).await.unwrap().unwrap();
    assert_eq!((&read.session, read.head, read.entry_id), (&running.session, running.head, running.entry_id));
    let told: Vec<_> =
        bench.announced().await.into_iter().map(|(key, position, frames)| (key, position.version, frames)).collect();
    let frame = |held: &StoredSession| Bytes::from(format!("frame {}", held.session.position));
    assert_eq!(told, [(key.clone(), 1, frame(&held)), (key.clone(), 2, frame(&running))]);
    let waiting = bench.waiting().await;
    assert_eq!(waiting.iter().map(|entry| entry.link.digest()).collect::<Vec<_>>(), [held.head, running.head]);
    assert_eq!(bench.store().due(Partitions::ALL, NOW + 60_000, 10).await.unwrap(), [(NOW + 60_000, key)]);
}

pub async fn a_stale_write_is_told_the_newest_and_leaves_no_trace(bench: &impl Bench) {
    let key = key("a");
    let old = first(bench, &key).await;
    let newest = commanded(bench, &key, &old, &START).await;
    let before = (bench.announced().await.len(), bench.waiting().await.len());
    for base in [Some(&old), None] {
        let late = commit(&key, base, after(&old, &Command::Cancel, NOW), Some(repeat("late")));
        let Committed::Stale(held) = bench.store().commit(late).await.unwrap() else { panic!("it is stale") };
        assert_eq!(held.session, newest.session);
    }
    assert_eq!(bench.store().read(&key).await.unwrap().unwrap().session, newest.session);
    assert_eq!((bench.announced().await.len(), bench.waiting().await.len()), before);
    assert_eq!(bench.store().due(Partitions::ALL, NOW + 60_000, 10).await.unwrap().len(), 1);
    assert_eq!(bench.store().idempotency_record(&key, &repeat("late").key).await.unwrap(), None);
}

pub async fn a_write_to_what_is_not_held_leaves_no_trace(bench: &impl Bench) {
    let (held, elsewhere) = (first(bench, &key("a")).await, key("b"));
    let lost = commit(&elsewhere, Some(&held), after(&held, &START, NOW), None);
    assert!(matches!(bench.store().commit(lost).await.unwrap(), Committed::Missing));
    assert!(bench.store().read(&elsewhere).await.unwrap().is_none());
    assert_eq!((bench.announced().await.len(), bench.waiting().await.len()), (1, 1));
    assert!(bench.store().due(Partitions::ALL, Timestamp::NEVER, 10).await.unwrap().is_empty());
}

pub async fn of_many_first_writes_one_is_stored(bench: &impl Bench) {
    let key = key("a");
    bench.listen(&key).await;
    let racing = (0..50).map(|_| bench.store().commit(commit(&key, None, created(&key), None)));
    let outcomes = join_all(racing).await;
    let won = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Committed::Stored(_)))).count();
    let stale = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Committed::Stale(_)))).count();
    assert_eq!((won, stale, bench.announced().await.len(), bench.waiting().await.len()), (1, 49, 1, 1));
}

/// Each writes until it has won `times`.
async fn race(bench: &impl Bench, key: &SessionKey, writers: usize, times: usize) {
    let write = async || {
        let mut held = bench.store().read(key).await.unwrap().unwrap();
        for _ in 0..times {
            loop {
                let next = after(&held, &switch(), NOW);
                match bench.store().commit(commit(key, Some(&held), next, None)).await.unwrap() {
                    Committed::Stored(newest) => break held = newest,
                    Committed::Stale(newest) => held = newest,
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
    let held = first(bench, &key).await;
    commanded(bench, &key, &held, &START).await;
    race(bench, &key, 20, 20).await;
    let newest = bench.store().read(&key).await.unwrap().unwrap();
    assert_eq!(newest.session.position.version, 402);
    let mut previous = Digest::NONE;
    for entry in bench.waiting().await {
        assert_eq!(entry.link.previous, previous, "{:?}", entry.link);
        previous = entry.link.digest();
    }
    assert_eq!(previous, newest.head);
}

pub async fn announcements_and_entries_come_in_the_order_of_the_versions(bench: &impl Bench) {
    let keys = ["a", "b", "c"].map(key);
    for key in &keys {
        let held = first(bench, key).await;
        commanded(bench, key, &held, &START).await;
    }
    join_all(keys.iter().map(|key| race(bench, key, 4, 25))).await;
    let (mut told, mut audited) = (BTreeMap::new(), BTreeMap::new());
    for (key, position, _) in bench.announced().await {
        told.entry(key).or_insert_with(Vec::new).push(position.version);
    }
    for entry in bench.waiting().await {
        audited.entry(entry.key.clone()).or_insert_with(Vec::new).push(entry.link.position.version);
    }
    for key in &keys {
        let all: Vec<_> = (1..=102).collect();
        assert_eq!((&told[key], &audited[key]), (&all, &all), "{key}");
    }
}

pub async fn a_repeated_key_is_answered_as_the_first_time(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    let once = stored(bench, commit(&key, Some(&held), after(&held, &START, NOW), Some(repeat("k")))).await;
    let newest = commanded(bench, &key, &once, &Command::Cancel).await;
    let before = (bench.announced().await.len(), bench.waiting().await.len());
    // On whatever version the repeat believes to write.
    for base in [&held, &once, &newest] {
        let again = commit(&key, Some(base), after(&held, &START, NOW), Some(repeat("k")));
        let Committed::Repeated(answered, present) = bench.store().commit(again).await.unwrap() else {
            panic!("it was answered before")
        };
        let expected = IdempotencyRecord {
            repeat: repeat("k"),
            position: once.session.position,
            at: NOW,
            change: Bytes::from("{\"version\":2}"),
        };
        assert_eq!((answered, &present.session), (expected, &newest.session));
    }
    assert_eq!((bench.announced().await.len(), bench.waiting().await.len()), before);
    let answered = bench.store().idempotency_record(&key, &repeat("k").key).await.unwrap().unwrap();
    assert_eq!(answered.position.version, 2);
    for (other, text) in [(key, "other"), (self::key("b"), "k")] {
        assert_eq!(bench.store().idempotency_record(&other, &repeat(text).key).await.unwrap(), None);
    }
}

pub async fn an_answer_is_remembered_for_ten_minutes(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    let held = stored(bench, commit(&key, Some(&held), after(&held, &START, NOW), Some(repeat("k")))).await;
    let pause = Command::Pause { reason: None, target: Target::Session, by_participant: false };
    let held = commanded(bench, &key, &held, &pause).await;
    let again = after(&held, &pause, NOW + IDEMPOTENCY_TTL_MS);
    stored(bench, commit(&key, Some(&held), again, Some(repeat("ten minutes later")))).await;
    assert!(bench.store().idempotency_record(&key, &repeat("k").key).await.unwrap().is_some());
}

pub async fn hundreds_of_answers_are_remembered(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    let mut held = stored(bench, commit(&key, Some(&held), after(&held, &START, NOW), None)).await;
    let names: Vec<_> = (0..300).map(|number| format!("k-{number}")).collect();
    for name in &names {
        held = stored(bench, commit(&key, Some(&held), after(&held, &switch(), NOW), Some(repeat(name)))).await;
    }
    for name in &names {
        assert!(bench.store().idempotency_record(&key, &repeat(name).key).await.unwrap().is_some(), "{name}");
    }
    // One entry a write, and no write without its state.
    assert_eq!(bench.waiting().await.len(), 302);
}

pub async fn it_answers(bench: &impl Bench) {
    bench.store().ping().await.unwrap();
}
