//! The due set: when something will happen to a session by itself.

use super::Bench;
use super::fixtures::{NOW, START, after, commanded, commit, first, key, stored};
use crate::domain::session::command::{Adjustment, Command, Target};
use crate::domain::time::Timestamp;
use crate::store::partition::{Partition, Partitions};

pub async fn a_deadline_moves_with_its_session(bench: &impl Bench) {
    let key = key("a");
    let base = first(bench, &key).await;
    let due = async || bench.store().due(Partitions::ALL, Timestamp::NEVER, 10).await.unwrap();
    assert_eq!(due().await, []);
    let base = commanded(bench, &key, &base, &START).await;
    assert_eq!(due().await, [(NOW + 60_000, key.clone())]);
    let target = Target::Session;
    let change = Adjustment::Add(5_000);
    let base = commanded(bench, &key, &base, &Command::Adjust { target, change }).await;
    assert_eq!(due().await, [(NOW + 65_000, key.clone())]);
    commanded(bench, &key, &base, &Command::Cancel).await;
    assert_eq!(due().await, []);
}

pub async fn due_sessions_come_soonest_first_up_to_the_limit(bench: &impl Bench) {
    for number in (0..100).rev() {
        let key = key(&format!("s-{number}"));
        let base = first(bench, &key).await;
        let started = after(&base, &START, NOW + number);
        stored(bench, commit(&key, Some(&base), started, None)).await;
    }
    let due = async |until, limit| {
        let due = bench.store().due(Partitions::ALL, NOW + 60_000 + until, limit).await.unwrap();
        due.into_iter().map(|(at, _)| at.since(NOW + 60_000)).collect::<Vec<_>>()
    };
    assert_eq!(due(9, 1_000).await, (0..10).collect::<Vec<_>>());
    assert_eq!(due(1_000, 7).await, (0..7).collect::<Vec<_>>());
    assert_eq!(due(-1, 7).await, Vec::<i64>::new());
}

pub async fn due_sessions_are_those_of_the_given_partitions(bench: &impl Bench) {
    let keys: Vec<_> = (0..20).map(|number| key(&format!("s-{number}"))).collect();
    for key in &keys {
        let base = first(bench, key).await;
        commanded(bench, key, &base, &START).await;
    }
    let due = async |partitions| bench.store().due(partitions, Timestamp::NEVER, 100).await.unwrap();
    for key in &keys {
        let partition = Partition::of(key);
        let found: Vec<_> = due(Partitions::NONE.with(partition)).await.into_iter().map(|(_, key)| key).collect();
        assert!(found.contains(key) && found.iter().all(|other| Partition::of(other) == partition), "{key}");
    }
    assert_eq!(due(Partitions::NONE).await, []);
    assert_eq!(due(Partitions::ALL).await.len(), 20);
}
