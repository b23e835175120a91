//! Cuts, floods and freezes: no write twice, none lost, no call without an end.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;

use super::{Setup, TEST_TIMEOUT, bounded, is_unavailable, switching};
use crate::domain::chain::Digest;
use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;
use crate::store::contract::fixtures::{commit, created};
use crate::store::keys::Keys;
use crate::store::outbox::Outbox as _;
use crate::store::partition::Partitions;
use crate::store::{Committed, Error, LedgerProgress as _, SessionStore as _};
use testkit::redis::Keeps;

#[tokio::test]
async fn a_write_that_is_sent_twice_happens_once() {
    let (_server, setup) = Setup::start(Keeps::Nothing).await;
    let (key, running) = setup.running("a").await;
    let once = switching(&key, &running);
    let first = setup.stored(once.clone()).await;
    let again = setup.stored(once.clone()).await;
    assert_eq!((again.head, again.entry_id, &again.session), (first.head, first.entry_id, &first.session));
    // Also after other writes, with the first result; but its entry is the newest one's.
    let mut base = first.clone();
    for _ in 0..15 {
        base = setup.switched(&key, &base).await;
    }
    let again = setup.stored(once.clone()).await;
    assert_eq!((again.head, again.entry_id), (first.head, base.entry_id));
    // An operation older than those remembered is answered as stale.
    setup.switched(&key, &base).await;
    let Committed::Stale(_) = setup.store.commit(once).await.unwrap() else { panic!("it is forgotten") };
    let creation = commit(&super::key("b"), None, created(&super::key("b")), None);
    let created = [setup.stored(creation.clone()).await, setup.stored(creation).await];
    assert_eq!(created[0].entry_id, created[1].entry_id);
    let chains = setup.entries().await;
    assert_eq!((chains[&key].len(), chains[&super::key("b")].len()), (19, 1));
}

/// A lone writer never loses a race. Returns the heads it was given.
async fn write_alone(setup: &Setup, session: usize, times: usize) -> (SessionKey, Vec<Digest>, usize) {
    let (key, mut base) = setup.running(&format!("s{session}")).await;
    let (mut heads, mut unknown) = (Vec::new(), 0);
    while heads.len() < times {
        match setup.store.commit(switching(&key, &base)).await {
            Ok(Committed::Stored(newest)) => {
                heads.push(newest.head);
                base = newest;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                unknown += usize::from(matches!(error, Error::Unknown(_)));
                setup.until_back().await;
                base = setup.read(&key).await.unwrap();
            }
        }
    }
    (key, heads, unknown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_neither_repeat_nor_lose_a_write() {
    let (server, setup) = Setup::start(Keeps::Nothing).await;
    let writing = join_all((0..32).map(|session| write_alone(&setup, session, 100)));
    let cutting = async {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(40)).await;
            server.say(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
    };
    let (written, ()) = tokio::join!(writing, cutting);
    // The last cut may have met the outbox's own connection.
    while setup.outbox.oldest(1, Duration::ZERO).await.is_err() {
        setup.until_back().await;
    }
    let chains = setup.entries().await;
    for (key, heads, _) in &written {
        let stored: BTreeSet<_> = chains[key].iter().map(|entry| entry.link.digest()).collect();
        assert!(heads.iter().all(|head| stored.contains(head)), "{key}: an acknowledged write is lost");
    }
    let unknown: usize = written.iter().map(|(_, _, unknown)| unknown).sum();
    println!("{unknown} of {} writes were answered as unknown", 32 * 100);
}

#[tokio::test]
async fn a_server_that_lost_the_scripts_gets_them_again() {
    let (server, setup) = Setup::start(Keeps::Nothing).await;
    let (key, mut base) = setup.running("a").await;
    for _ in 0..5 {
        server.say(&["SCRIPT", "FLUSH"]);
        base = setup.switched(&key, &base).await;
        server.say(&["SCRIPT", "FLUSH"]);
        assert_eq!(setup.read(&key).await.unwrap().head, base.head);
        server.say(&["SCRIPT", "FLUSH"]);
        assert_eq!(setup.entries().await[&key].len(), usize::try_from(base.session.position.version).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_a_frozen_server_end_in_time() {
    let (server, setup) = Setup::start(Keeps::Nothing).await;
    let (key, base) = setup.running("a").await;
    let before = setup.outbox.oldest(10, TEST_TIMEOUT).await.unwrap();
    server.freeze();
    let write = switching(&key, &base);
    assert!(matches!(bounded("a commit", setup.store.commit(write.clone())).await, Err(Error::Unknown(_))));
    assert!(is_unavailable(&bounded("a read", setup.store.read(&key)).await));
    assert!(is_unavailable(&bounded("the due set", setup.store.due(Partitions::ALL, Timestamp::NEVER, 9)).await));
    assert!(is_unavailable(&bounded("recorded", setup.store.wait_recorded(base.entry_id.unwrap())).await));
    assert!(is_unavailable(&bounded("a ping", setup.store.ping()).await));
    assert!(bounded("the outbox", setup.outbox.oldest(10, Duration::ZERO)).await.is_err());
    assert!(bounded("an acknowledgement", setup.outbox.acknowledge(&before)).await.is_err());
    let flood = join_all((0..500).map(|_| setup.store.commit(write.clone())));
    assert!(bounded("a flood", flood).await.iter().all(Result::is_err));
    server.thaw();
    setup.until_back().await;
    // The unanswered write happened once, or not at all.
    let newest = setup.stored(write).await;
    assert_eq!(newest.session.position.version, base.session.position.version + 1);
    assert_eq!(setup.entries().await[&key].len(), 3);
    setup.outbox.acknowledge(&before).await.unwrap();
}

#[tokio::test]
async fn without_a_server_writes_are_unavailable_and_not_unknown() {
    let (mut server, setup) = Setup::start(Keeps::All).await;
    let (key, base) = setup.running("a").await;
    server.kill();
    // The first may have been in flight.
    let _ = bounded("a commit", setup.store.commit(switching(&key, &base))).await;
    for _ in 0..3 {
        assert!(is_unavailable(&bounded("a commit", setup.store.commit(switching(&key, &base))).await));
    }
    server.start_again();
    setup.until_back().await;
    assert_eq!(setup.read(&key).await.unwrap().session.position, base.session.position);
}

#[tokio::test]
async fn a_full_server_rejects_writes_and_keeps_its_data() {
    let (server, setup) = Setup::start(Keeps::Nothing).await;
    let (key, base) = setup.running("a").await;
    let capacity = setup.redis.capacity().await.unwrap();
    assert_eq!((capacity.keeps_all(), capacity.outbox_bytes()), (true, None));
    server.say(&["CONFIG", "SET", "maxmemory", "100000"]);
    assert!(is_unavailable(&setup.store.commit(switching(&key, &base)).await));
    assert!(is_unavailable(&setup.store.commit(commit(&super::key("b"), None, created(&super::key("b")), None)).await));
    assert_eq!(setup.read(&key).await.unwrap().head, base.head);
    assert_eq!(setup.entries().await.len(), 1);
    assert_eq!(setup.redis.capacity().await.unwrap().outbox_bytes(), Some(25_000));
    server.say(&["CONFIG", "SET", "maxmemory", "0"]);
    server.say(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert!(!setup.redis.capacity().await.unwrap().keeps_all());
    setup.switched(&key, &base).await;
}

#[tokio::test]
async fn a_session_of_a_newer_release_is_left_alone() {
    let (server, setup) = Setup::start(Keeps::Nothing).await;
    let (key, base) = setup.running("a").await;
    let name = Keys::default().state(&key);
    for (header, body) in [("2 in another form", "what ever"), ("1 1 00 1 1-1 - .", "{\"format\":99}")] {
        server.say(&["HSET", &name, "h", header, "b", body]);
        let is_unreadable = |outcome: Result<(), Error>| matches!(outcome, Err(Error::Unreadable(_)));
        assert!(is_unreadable(setup.store.read(&key).await.map(drop)), "{header}");
        assert!(is_unreadable(setup.store.commit(switching(&key, &base)).await.map(drop)), "{header}");
        assert!(is_unreadable(setup.store.restore(&key, None, base.clone(), vec![]).await.map(drop)), "{header}");
        assert_eq!(server.say(&["HMGET", &name, "h", "b"]), [header, body]);
    }
}
