//! The outbox: heard of at once, let go of once, shed with care.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use tokio::time::Instant;

use super::{House, SOON};
use crate::redis_server::{Keeps, Server, Trio};
use crate::store::LedgerProgress as _;
use crate::store::contract::fixtures::{NOW, START, after, commit, created, key, repeat};
use crate::store::keys::Keys;
use crate::store::outbox::Outbox as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_consumer_hears_of_a_write_at_once() {
    let (server, trio) = (Server::start(Keeps::Nothing), Trio::start());
    for url in [server.url(), trio.url()] {
        let house = House::at(&url).await;
        // It looks everywhere first, and finds nothing.
        while !house.outbox.oldest(10, Duration::from_millis(300)).await.unwrap().is_empty() {}
        for number in 0..10 {
            let waiting = house.outbox.oldest(10, SOON);
            let writing = async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                house.first(&key(&format!("s{number}"))).await;
            };
            // Whoever is not woken looks only after all of its patience.
            let (waiting, ()) = tokio::time::timeout(SOON / 2, async { tokio::join!(waiting, writing) })
                .await
                .expect("the consumer is not woken");
            let waiting = waiting.unwrap();
            assert_eq!(waiting.len(), 1);
            house.outbox.acknowledge(&waiting).await.unwrap();
        }
        assert!(house.outbox.oldest(10, Duration::from_millis(50)).await.unwrap().is_empty());
        assert_eq!(house.outbox.backlog().await.unwrap().entries, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_share_what_waits_and_each_hears_of_its_own() {
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let lanes = house.outbox.consumers();
    for lane in &lanes {
        while !lane.oldest(10, Duration::from_millis(100)).await.unwrap().is_empty() {}
    }
    let listening = join_all(lanes.iter().map(|lane| lane.oldest(1_000, SOON)));
    let writing = async {
        for number in 0..100 {
            house.first(&key(&format!("s{number}"))).await;
        }
    };
    let (heard, ()) = tokio::join!(listening, writing);
    let mut all = BTreeSet::new();
    for (lane, heard) in lanes.iter().zip(heard) {
        let mut mine = heard.unwrap();
        assert!(!mine.is_empty());
        lane.acknowledge(&mine).await.unwrap();
        mine.extend(lane.oldest(1_000, Duration::ZERO).await.unwrap());
        assert!(mine.iter().all(|each| all.insert(each.entry.key.clone())), "each is in one lane, once");
        lane.acknowledge(&mine).await.unwrap();
    }
    assert_eq!((all.len(), house.outbox.backlog().await.unwrap().entries), (100, 0));
}

#[tokio::test]
async fn an_entry_comes_as_it_was_committed() {
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let key = key("a");
    let write = commit(&key, None, created(&key), Some(repeat("k")));
    house.stored(write.clone()).await;
    assert_eq!(house.outbox.oldest(1, SOON).await.unwrap()[0].entry, write.entry);
}

#[tokio::test]
async fn bodies_of_what_was_followed_are_shed_and_links_never() {
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let mut newest = Vec::new();
    for session in ["a", "b", "c"] {
        let (key, mut held) = house.running(session).await;
        for _ in 0..40 {
            held = house.switched(&key, &held).await;
        }
        newest.push((key, held));
    }
    assert_eq!(house.outbox.shed_past(u64::MAX).await.unwrap(), 0);
    let whole = house.outbox.backlog().await.unwrap();
    assert_eq!(whole.entries, 3 * 42);
    house.outbox.shed_past(whole.bytes / 2).await.unwrap();
    let half: Vec<_> = house.waiting().await.into_values().flatten().map(|entry| entry.body.is_some()).collect();
    assert!(half.iter().any(|is_whole| *is_whole) && half.iter().any(|is_whole| !*is_whole));
    let shed = house.outbox.shed_past(0).await.unwrap();
    assert!(shed > 0);
    let lines = house.waiting().await;
    for (key, held) in &newest {
        let bodies: Vec<_> = lines[key].iter().map(|entry| entry.body.is_some()).collect();
        assert_eq!(bodies.iter().filter(|is_whole| **is_whole).count(), 1);
        assert_eq!((bodies.last(), lines[key].last().unwrap().link.digest()), (Some(&true), held.head));
    }
    assert_eq!(house.outbox.shed_past(0).await.unwrap(), 0);
    // The newest is not the newest any more.
    let (key, held) = &newest[0];
    house.switched(key, held).await;
    assert_eq!(house.outbox.shed_past(0).await.unwrap(), 1);
}

#[tokio::test]
async fn what_had_no_room_beside_others_comes_next() {
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let mut keys: Vec<_> = ["a", "b"].into_iter().map(super::key).collect();
    keys.sort_by_key(crate::store::partition::Partition::of);
    let [large, small] = [&keys[0], &keys[1]];
    let partition = crate::store::partition::Partition::of;
    assert_ne!(partition(large), partition(small));
    for key in [large, small] {
        house.running(key.session.as_str()).await;
    }
    let bodies = Keys::default().bodies(partition(large));
    for ticket in server.say(&["HKEYS", &bodies]) {
        server.say(&["HSET", &bodies, &ticket, &"x".repeat(3_000_000)]);
    }
    let mut seen = Vec::new();
    while seen.len() < 4 {
        // Looking everywhere, as one with no patience does, would find it in any case.
        let some = house.outbox.oldest(1_000, Duration::from_millis(50)).await.unwrap();
        assert!(!some.is_empty(), "the rest is forgotten: {seen:?}");
        seen.extend(some.iter().map(|each| each.entry.key.clone()));
        house.outbox.acknowledge(&some).await.unwrap();
    }
    assert_eq!(seen, [large, large, small, small].map(Clone::clone));
}

#[tokio::test]
async fn of_many_long_bodies_no_more_are_touched_than_are_given() {
    const LONG: usize = 200_000;
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let (key, mut held) = house.running("a").await;
    for _ in 0..198 {
        held = house.switched(&key, &held).await;
    }
    let bodies = Keys::default().bodies(crate::store::partition::Partition::of(&key));
    for ticket in server.say(&["HKEYS", &bodies]) {
        server.say(&["HSET", &bodies, &ticket, &[&ticket, &*"x".repeat(LONG - ticket.len())].concat()]);
    }
    let peak = || {
        let memory = server.say(&["INFO", "memory"]).concat();
        let peak = memory.lines().find_map(|line| line.strip_prefix("used_memory_peak:")).unwrap();
        peak.trim().parse::<usize>().unwrap()
    };
    let before = peak();
    // A thousand of each partition, since something may wait in all.
    let some = house.outbox.oldest(64_000, SOON).await.unwrap();
    // Four megabytes, and the one with which they are full.
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
async fn what_may_be_let_go_stays_as_soon_as_it_is_written_to_again() {
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let pending = house.first(&key("a")).await;
    let waiting = house.outbox.oldest(10, SOON).await.unwrap();
    house.outbox.acknowledge(&waiting).await.unwrap();
    let left = || server.say(&["PTTL", &Keys::default().state(&key("a"))])[0].parse::<i64>().unwrap();
    assert!(left() > 0, "nothing will happen to it, and the ledger holds it");
    let started = after(&pending, &START, NOW);
    house.stored(commit(&key("a"), Some(&pending), started, None)).await;
    assert_eq!(left(), -1, "it runs, and would be gone before its end");
}

#[tokio::test]
async fn an_entry_of_a_newer_release_waits_for_it() {
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let (key, _) = house.running("a").await;
    let partition = crate::store::partition::Partition::of(&key);
    server.say(&["XADD", &Keys::default().outbox(partition), "*", "e", "2 acme/a what ever"]);
    let known = house.outbox.oldest(1_000, SOON).await.unwrap();
    assert_eq!(known.len(), 2);
    house.outbox.acknowledge(&known).await.unwrap();
    assert!(house.outbox.oldest(10, Duration::ZERO).await.unwrap().is_empty());
    assert_eq!(house.outbox.backlog().await.unwrap().entries, 1);
}

#[tokio::test]
async fn many_who_wait_for_the_ledger_ask_as_one() {
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let (_, held) = house.running("a").await;
    let ticket = held.entry_id.unwrap();
    server.say(&["CONFIG", "RESETSTAT"]);
    let began = Instant::now();
    let all = futures::future::join_all((0..1_000).map(|_| house.store.wait_recorded(ticket)));
    let recording = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let waiting = house.outbox.oldest(1_000, SOON).await.unwrap();
        house.outbox.acknowledge(&waiting).await.unwrap();
    };
    let (all, ()) = tokio::join!(all, recording);
    assert!(all.iter().all(Result::is_ok));
    assert!(house.store.wait_recorded(ticket).now_or_never().is_some(), "it was known already");
    let stats = server.say(&["INFO", "commandstats"]).concat();
    // Nobody else asks from the end.
    let asked = super::round_trips::calls(&stats, "xrevrange");
    // One every five milliseconds, where a thousand who ask for themselves are as many each.
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap();
    assert!((1..elapsed_ms / 5 + 20).contains(&asked), "{asked} scripts in {elapsed_ms} ms");
}
