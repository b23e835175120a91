//! When something will happen to a session, by itself.

use super::Bench;
use super::fixtures::{NOW, START, after, commanded, commit, first, key, stored};
use crate::domain::session::command::{Adjustment, Command, Target};
use crate::domain::time::Timestamp;
use crate::store::partition::{Partition, Partitions};

pub async fn a_deadline_moves_with_its_session(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    let due = async || bench.store().due(Partitions::ALL, Timestamp::NEVER, 10).await.unwrap();
    assert_eq!(due().await, []);
    let held = commanded(bench, &key, &held, &START).await;
    assert_eq!(due().await, [(NOW + 60_000, key.clone())]);
    let target = Target::Session;
    let change = Adjustment::Add(5_000);
    let held = commanded(bench, &key, &held, &Command::Adjust { target, change }).await;
    assert_eq!(due().await, [(NOW + 65_000, key.clone())]);
    commanded(bench, &key, &held, &Command::Cancel).await;
    assert_eq!(due().await, []);
}

pub async fn what_is_due_comes_soonest_first_and_no_more_than_asked_for(bench: &impl Bench) {
    for number in (0..100).rev() {
        let key = key(&format!("s-{number}"));
        let held = first(bench, &key).await;
        let started = after(&held, &START, NOW + number);
        stored(bench, commit(&key, Some(&held), started, None)).await;
    }
    let due = async |until, limit| {
        let due = bench.store().due(Partitions::ALL, NOW + 60_000 + until, limit).await.unwrap();
        due.into_iter().map(|(at, _)| at.since(NOW + 60_000)).collect::<Vec<_>>()
    };
    assert_eq!(due(9, 1_000).await, (0..10).collect::<Vec<_>>());
    assert_eq!(due(1_000, 7).await, (0..7).collect::<Vec<_>>());
    assert_eq!(due(-1, 7).await, Vec::<i64>::new());
}

pub async fn what_is_due_is_told_of_the_partitions_asked_for(bench: &impl Bench) {
    let keys: Vec<_> = (0..20).map(|number| key(&format!("s-{number}"))).collect();
    for key in &keys {
        let held = first(bench, key).await;
        commanded(bench, key, &held, &START).await;
    }
    let due = async |partitions| bench.store().due(partitions, Timestamp::NEVER, 100).await.unwrap();
    for key in &keys {
        let partition = Partition::of(key);
        let told: Vec<_> = due(Partitions::NONE.with(partition)).await.into_iter().map(|(_, key)| key).collect();
        assert!(told.contains(key) && told.iter().all(|told| Partition::of(told) == partition), "{key}");
    }
    assert_eq!(due(Partitions::NONE).await, []);
    assert_eq!(due(Partitions::ALL).await.len(), 20);
}
