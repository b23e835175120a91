//! Cuts, floods, freezes: nothing twice, nothing lost, nothing for ever.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;

use super::{House, SOON, bounded, is_unavailable, switching};
use crate::domain::chain::Digest;
use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;
use crate::redis_server::{Keeps, Server};
use crate::store::contract::fixtures::{commit, created};
use crate::store::keys::Keys;
use crate::store::outbox::Outbox as _;
use crate::store::partition::Partitions;
use crate::store::{Committed, Error, LedgerProgress as _, SessionStore as _};

#[tokio::test]
async fn a_write_that_comes_twice_happens_once() {
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let (key, running) = house.running("a").await;
    let once = switching(&key, &running);
    let first = house.stored(once.clone()).await;
    let again = house.stored(once.clone()).await;
    assert_eq!((again.head, again.entry_id, &again.session), (first.head, first.entry_id, &first.session));
    // Also after others, and still as the first time; but it waits for the ledger as the newest does.
    let mut held = first.clone();
    for _ in 0..15 {
        held = house.switched(&key, &held).await;
    }
    let again = house.stored(once.clone()).await;
    assert_eq!((again.head, again.entry_id), (first.head, held.entry_id));
    // What is older than so many is answered as what it would be now: late.
    house.switched(&key, &held).await;
    let Committed::Stale(_) = house.store.commit(once).await.unwrap() else { panic!("it is forgotten") };
    let creation = commit(&super::key("b"), None, created(&super::key("b")), None);
    let created = [house.stored(creation.clone()).await, house.stored(creation).await];
    assert_eq!(created[0].entry_id, created[1].entry_id);
    let lines = house.waiting().await;
    assert_eq!((lines[&key].len(), lines[&super::key("b")].len()), (19, 1));
}

/// One who writes alone is never told that somebody else did, and gives the heads it was told.
async fn write_alone(house: &House, session: usize, times: usize) -> (SessionKey, Vec<Digest>, usize) {
    let (key, mut held) = house.running(&format!("s{session}")).await;
    let (mut heads, mut unknown) = (Vec::new(), 0);
    while heads.len() < times {
        match house.store.commit(switching(&key, &held)).await {
            Ok(Committed::Stored(newest)) => {
                heads.push(newest.head);
                held = newest;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                unknown += usize::from(matches!(error, Error::Unknown(_)));
                house.back().await;
                held = house.read(&key).await.unwrap();
            }
        }
    }
    (key, heads, unknown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_neither_repeat_nor_lose_a_write() {
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let writing = join_all((0..32).map(|session| write_alone(&house, session, 100)));
    let cutting = async {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(40)).await;
            server.say(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
    };
    let (written, ()) = tokio::join!(writing, cutting);
    let lines = house.waiting().await;
    for (key, heads, _) in &written {
        let stored: BTreeSet<_> = lines[key].iter().map(|entry| entry.link.digest()).collect();
        assert!(heads.iter().all(|head| stored.contains(head)), "{key}: an acknowledged write is lost");
    }
    let unknown: usize = written.iter().map(|(_, _, unknown)| unknown).sum();
    println!("{unknown} of {} writes were answered as unknown", 32 * 100);
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_told_them_again() {
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let (key, mut held) = house.running("a").await;
    for _ in 0..5 {
        server.say(&["SCRIPT", "FLUSH"]);
        held = house.switched(&key, &held).await;
        server.say(&["SCRIPT", "FLUSH"]);
        assert_eq!(house.read(&key).await.unwrap().head, held.head);
        server.say(&["SCRIPT", "FLUSH"]);
        assert_eq!(house.waiting().await[&key].len(), usize::try_from(held.session.position.version).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_a_frozen_server_is_not_kept_waiting() {
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let (key, held) = house.running("a").await;
    let before = house.outbox.oldest(10, SOON).await.unwrap();
    server.freeze();
    let write = switching(&key, &held);
    assert!(matches!(bounded("a commit", house.store.commit(write.clone())).await, Err(Error::Unknown(_))));
    assert!(is_unavailable(&bounded("a read", house.store.read(&key)).await));
    assert!(is_unavailable(&bounded("the due set", house.store.due(Partitions::ALL, Timestamp::NEVER, 9)).await));
    assert!(is_unavailable(&bounded("recorded", house.store.wait_recorded(held.entry_id.unwrap())).await));
    assert!(is_unavailable(&bounded("a ping", house.store.ping()).await));
    assert!(bounded("the outbox", house.outbox.oldest(10, Duration::ZERO)).await.is_err());
    assert!(bounded("an acknowledgement", house.outbox.acknowledge(&before)).await.is_err());
    let flood = join_all((0..500).map(|_| house.store.commit(write.clone())));
    assert!(bounded("a flood", flood).await.iter().all(Result::is_err));
    server.thaw();
    house.back().await;
    // What nobody was told of happened once, or not at all.
    let newest = house.stored(write).await;
    assert_eq!(newest.session.position.version, held.session.position.version + 1);
    assert_eq!(house.waiting().await[&key].len(), 3);
    house.outbox.acknowledge(&before).await.unwrap();
}

#[tokio::test]
async fn without_a_server_nothing_was_written_and_that_is_said() {
    let mut server = Server::start(Keeps::All);
    let house = House::at(&server.url()).await;
    let (key, held) = house.running("a").await;
    server.kill();
    // The first may have been under way.
    let _ = bounded("a commit", house.store.commit(switching(&key, &held))).await;
    for _ in 0..3 {
        assert!(is_unavailable(&bounded("a commit", house.store.commit(switching(&key, &held))).await));
    }
    server.start_again();
    house.back().await;
    assert_eq!(house.read(&key).await.unwrap().session.position, held.session.position);
}

#[tokio::test]
async fn a_full_server_takes_nothing_and_keeps_what_it_has() {
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let (key, held) = house.running("a").await;
    let capacity = house.redis.capacity().await.unwrap();
    assert_eq!((capacity.keeps_all(), capacity.outbox_bytes()), (true, None));
    server.say(&["CONFIG", "SET", "maxmemory", "100000"]);
    assert!(is_unavailable(&house.store.commit(switching(&key, &held)).await));
    assert!(is_unavailable(&house.store.commit(commit(&super::key("b"), None, created(&super::key("b")), None)).await));
    assert_eq!(house.read(&key).await.unwrap().head, held.head);
    assert_eq!(house.waiting().await.len(), 1);
    assert_eq!(house.redis.capacity().await.unwrap().outbox_bytes(), Some(25_000));
    server.say(&["CONFIG", "SET", "maxmemory", "0"]);
    server.say(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert!(!house.redis.capacity().await.unwrap().keeps_all());
    house.switched(&key, &held).await;
}

#[tokio::test]
async fn what_a_newer_release_stored_is_left_alone() {
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let (key, held) = house.running("a").await;
    let name = Keys::default().state(&key);
    for (header, body) in [("2 in another form", "what ever"), ("1 1 00 1 1-1 - .", "{\"format\":99}")] {
        server.say(&["HSET", &name, "h", header, "b", body]);
        let is_unreadable = |outcome: Result<(), Error>| matches!(outcome, Err(Error::Unreadable(_)));
        assert!(is_unreadable(house.store.read(&key).await.map(drop)), "{header}");
        assert!(is_unreadable(house.store.commit(switching(&key, &held)).await.map(drop)), "{header}");
        assert!(is_unreadable(house.store.restore(&key, None, held.clone(), vec![]).await.map(drop)), "{header}");
        assert_eq!(server.say(&["HMGET", &name, "h", "b"]), [header, body]);
    }
}
