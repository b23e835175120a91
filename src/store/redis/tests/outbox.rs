//! The outbox: woken at once, acknowledged once, shed with care.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use tokio::time::Instant;

use super::{Setup, TEST_TIMEOUT};
use crate::store::LedgerProgress as _;
use crate::store::contract::fixtures::{NOW, START, after, commit, created, key, repeat};
use crate::store::keys::Keys;
use crate::store::outbox::Outbox as _;
use testkit::redis::{Keeps, Server, Trio};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_consumer_hears_of_a_write_at_once() {
    let (server, trio) = (Server::start(Keeps::Nothing), Trio::start());
    for url in [server.url(), trio.url()] {
        let setup = Setup::at(&url).await;
        // The first reads find nothing.
        while !setup.outbox.oldest(10, Duration::from_millis(300)).await.unwrap().is_empty() {}
        for number in 0..10 {
            let waiting = setup.outbox.oldest(10, TEST_TIMEOUT);
            let writing = async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                setup.first(&key(&format!("s{number}"))).await;
            };
            // A consumer that is not woken reads only after its timeout.
            let (waiting, ()) = tokio::time::timeout(TEST_TIMEOUT / 2, async { tokio::join!(waiting, writing) })
                .await
                .expect("the consumer is not woken");
            let waiting = waiting.unwrap();
            assert_eq!(waiting.len(), 1);
            setup.outbox.acknowledge(&waiting).await.unwrap();
        }
        assert!(setup.outbox.oldest(10, Duration::from_millis(50)).await.unwrap().is_empty());
        assert_eq!(setup.outbox.backlog().await.unwrap().entries, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_share_the_partitions_and_each_is_woken_for_its_own() {
    let (_server, setup) = Setup::start(Keeps::Nothing).await;
    let consumers = setup.outbox.consumers();
    for consumer in &consumers {
        while !consumer.oldest(10, Duration::from_millis(100)).await.unwrap().is_empty() {}
    }
    let reading = join_all(consumers.iter().map(|consumer| consumer.oldest(1_000, TEST_TIMEOUT)));
    let writing = async {
        for number in 0..100 {
            setup.first(&key(&format!("s{number}"))).await;
        }
    };
    let (read, ()) = tokio::join!(reading, writing);
    let mut all = BTreeSet::new();
    for (consumer, read) in consumers.iter().zip(read) {
        let mut mine = read.unwrap();
        assert!(!mine.is_empty());
        consumer.acknowledge(&mine).await.unwrap();
        mine.extend(consumer.oldest(1_000, Duration::ZERO).await.unwrap());
        assert!(mine.iter().all(|each| all.insert(each.entry.key.clone())), "each belongs to one consumer, once");
        consumer.acknowledge(&mine).await.unwrap();
    }
    assert_eq!((all.len(), setup.outbox.backlog().await.unwrap().entries), (100, 0));
}

#[tokio::test]
async fn an_entry_comes_as_it_was_committed() {
    let (_server, setup) = Setup::start(Keeps::Nothing).await;
    let key = key("a");
    let write = commit(&key, None, created(&key), Some(repeat("k")));
    setup.stored(write.clone()).await;
    assert_eq!(setup.outbox.oldest(1, TEST_TIMEOUT).await.unwrap()[0].entry, write.entry);
}

#[tokio::test]
async fn superseded_bodies_are_shed_and_links_never() {
    let (_server, setup) = Setup::start(Keeps::Nothing).await;
    let mut newest = Vec::new();
    for session in ["a", "b", "c"] {
        let (key, mut base) = setup.running(session).await;
        for _ in 0..40 {
            base = setup.switched(&key, &base).await;
        }
        newest.push((key, base));
    }
    assert_eq!(setup.outbox.shed_past(u64::MAX).await.unwrap(), 0);
    let whole = setup.outbox.backlog().await.unwrap();
    assert_eq!(whole.entries, 3 * 42);
    setup.outbox.shed_past(whole.bytes / 2).await.unwrap();
    let half: Vec<_> = setup.entries().await.into_values().flatten().map(|entry| entry.body.is_some()).collect();
    assert!(half.iter().any(|is_whole| *is_whole) && half.iter().any(|is_whole| !*is_whole));
    let shed = setup.outbox.shed_past(0).await.unwrap();
    assert!(shed > 0);
    let chains = setup.entries().await;
    for (key, base) in &newest {
        let bodies: Vec<_> = chains[key].iter().map(|entry| entry.body.is_some()).collect();
        assert_eq!(bodies.iter().filter(|is_whole| **is_whole).count(), 1);
        assert_eq!((bodies.last(), chains[key].last().unwrap().link.digest()), (Some(&true), base.head));
    }
    assert_eq!(setup.outbox.shed_past(0).await.unwrap(), 0);
    // The newest version is superseded.
    let (key, base) = &newest[0];
    setup.switched(key, base).await;
    assert_eq!(setup.outbox.shed_past(0).await.unwrap(), 1);
}

#[tokio::test]
async fn entries_without_room_in_a_reply_come_next() {
    let (server, setup) = Setup::start(Keeps::Nothing).await;
    let mut keys: Vec<_> = ["a", "b"].into_iter().map(super::key).collect();
    keys.sort_by_key(crate::store::partition::Partition::of);
    let [large, small] = [&keys[0], &keys[1]];
    let partition = crate::store::partition::Partition::of;
    assert_ne!(partition(large), partition(small));
    for key in [large, small] {
        setup.running(key.session.as_str()).await;
    }
    let bodies = Keys::default().bodies(partition(large));
    for entry_id in server.say(&["HKEYS", &bodies]) {
        server.say(&["HSET", &bodies, &entry_id, &"x".repeat(3_000_000)]);
    }
    let mut seen = Vec::new();
    while seen.len() < 4 {
        // A read with no timeout covers all partitions, and would find it in any case.
        let some = setup.outbox.oldest(1_000, Duration::from_millis(50)).await.unwrap();
        assert!(!some.is_empty(), "the rest is lost: {seen:?}");
        seen.extend(some.iter().map(|each| each.entry.key.clone()));
        setup.outbox.acknowledge(&some).await.unwrap();
    }
    assert_eq!(seen, [large, large, small, small].map(Clone::clone));
}

#[tokio::test]
async fn of_many_long_bodies_only_those_of_the_reply_are_read() {
    const LONG: usize = 200_000;
    let (server, setup) = Setup::start(Keeps::Nothing).await;
    let (key, mut base) = setup.running("a").await;
    for _ in 0..198 {
        base = setup.switched(&key, &base).await;
    }
    let bodies = Keys::default().bodies(crate::store::partition::Partition::of(&key));
    for entry_id in server.say(&["HKEYS", &bodies]) {
        server.say(&["HSET", &bodies, &entry_id, &[&entry_id, &*"x".repeat(LONG - entry_id.len())].concat()]);
    }
    let peak = || {
        let memory = server.say(&["INFO", "memory"]).concat();
        let peak = memory.lines().find_map(|line| line.strip_prefix("used_memory_peak:")).unwrap();
        peak.trim().parse::<usize>().unwrap()
    };
    let before = peak();
    // A thousand of each partition, as all are dirty.
    let some = setup.outbox.oldest(64_000, TEST_TIMEOUT).await.unwrap();
    // Four megabytes, and the one that exceeds them.
    assert_eq!(some.len(), 21);
    for (version, each) in (1..).zip(&some) {
        let (ms, count) = each.id.number;
        assert_eq!(each.entry.link.position.version, version);
        assert!(each.entry.body.as_ref().unwrap().starts_with(format!("{ms}-{count}x").as_bytes()));
    }
    let taken = peak() - before;
    assert!(taken < 100 * LONG, "{taken} bytes more, of {} in all", 200 * LONG);
}

#[tokio::test]
async fn a_session_that_may_expire_stays_once_it_is_written_to() {
    let (server, setup) = Setup::start(Keeps::Nothing).await;
    let pending = setup.first(&key("a")).await;
    let waiting = setup.outbox.oldest(10, TEST_TIMEOUT).await.unwrap();
    setup.outbox.acknowledge(&waiting).await.unwrap();
    let left = || server.say(&["PTTL", &Keys::default().state(&key("a"))])[0].parse::<i64>().unwrap();
    assert!(left() > 0, "nothing will happen to it, and the ledger holds it");
    let started = after(&pending, &START, NOW);
    setup.stored(commit(&key("a"), Some(&pending), started, None)).await;
    assert_eq!(left(), -1, "it runs, and would be gone before its end");
}

#[tokio::test]
async fn an_entry_of_a_newer_release_waits_for_it() {
    let (server, setup) = Setup::start(Keeps::Nothing).await;
    let (key, _) = setup.running("a").await;
    let partition = crate::store::partition::Partition::of(&key);
    server.say(&["XADD", &Keys::default().outbox(partition), "*", "e", "2 acme/a what ever"]);
    let known = setup.outbox.oldest(1_000, TEST_TIMEOUT).await.unwrap();
    assert_eq!(known.len(), 2);
    setup.outbox.acknowledge(&known).await.unwrap();
    assert!(setup.outbox.oldest(10, Duration::ZERO).await.unwrap().is_empty());
    assert_eq!(setup.outbox.backlog().await.unwrap().entries, 1);
}

#[tokio::test]
async fn many_callers_that_wait_for_the_ledger_share_one_poll() {
    let (server, setup) = Setup::start(Keeps::Nothing).await;
    let (_, base) = setup.running("a").await;
    let entry_id = base.entry_id.unwrap();
    server.say(&["CONFIG", "RESETSTAT"]);
    let began = Instant::now();
    let all = futures::future::join_all((0..1_000).map(|_| setup.store.wait_recorded(entry_id)));
    let recording = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let waiting = setup.outbox.oldest(1_000, TEST_TIMEOUT).await.unwrap();
        setup.outbox.acknowledge(&waiting).await.unwrap();
    };
    let (all, ()) = tokio::join!(all, recording);
    assert!(all.iter().all(Result::is_ok));
    assert!(setup.store.wait_recorded(entry_id).now_or_never().is_some(), "it is known already");
    let stats = server.say(&["INFO", "commandstats"]).concat();
    // Only the watermark reads from the end.
    let polls = super::round_trips::calls(&stats, "xrevrange");
    // One every five milliseconds, instead of a thousand.
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap();
    assert!((1..elapsed_ms / 5 + 20).contains(&polls), "{polls} scripts in {elapsed_ms} ms");
}
