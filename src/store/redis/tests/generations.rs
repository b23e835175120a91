//! Promise 10: a store that went back is noticed before anything is written.

use std::sync::Arc;

use super::{House, switching};
use crate::domain::time::Timestamp;
use crate::redis_server::{Keeps, Server};
use crate::store::contract::fixtures::key;
use crate::store::outbox::Outbox as _;
use crate::store::partition::Partitions;
use crate::store::{Committed, Error, LedgerProgress as _, SessionStore as _, StoredSession};

/// As the ledger had it, in a new epoch.
fn restored(held: &StoredSession) -> StoredSession {
    let session = held.session.restored(None, Timestamp::from_ms(held.session.position.epoch + 7_000));
    StoredSession { session: Arc::new(session), head: held.head, entry_id: None, needs_restore: false }
}

#[tokio::test]
async fn what_outlived_a_restart_is_doubtful_until_it_is_restored() {
    let mut server = Server::start(Keeps::All);
    let house = House::at(&server.url()).await;
    let (key, held) = house.running("a").await;
    let mut lives = house.store.generation_changes();
    lives.mark_unchanged();
    server.kill();
    server.start_again();
    house.back().await;
    // It believes in the old life, and nothing is written all the same.
    let Committed::Stale(doubtful) = house.store.commit(switching(&key, &held)).await.unwrap() else { panic!() };
    assert!(doubtful.needs_restore && lives.has_changed().unwrap());
    assert_eq!((&doubtful.session, doubtful.head), (&held.session, held.head));
    assert!(house.read(&key).await.unwrap().needs_restore);
    assert_eq!(house.waiting().await[&key].len(), 2);
    assert!(matches!(house.store.wait_recorded(held.entry_id.unwrap()).await, Err(Error::Unknown(_))));
    // Only in place of what was read.
    let other = crate::domain::position::Position { version: 1, ..held.session.position };
    for over in [None, Some(other)] {
        assert!(house.store.restore(&key, over, restored(&held), vec![]).await.unwrap().needs_restore);
    }
    let over = Some(held.session.position);
    let taken = house.store.restore(&key, over, restored(&held), vec![]).await.unwrap();
    assert_eq!((taken.needs_restore, taken.session.position.epoch > held.session.position.epoch), (false, true));
    let again = house.store.restore(&key, over, restored(&held), vec![]).await.unwrap();
    assert_eq!(again.session, taken.session);
    let next = house.switched(&key, &taken).await;
    assert!(!house.read(&key).await.unwrap().needs_restore);
    assert_eq!(house.waiting().await[&key].last().unwrap().link.digest(), next.head);
}

#[tokio::test]
async fn a_write_that_was_answered_before_a_restart_is_known_after_it() {
    let mut server = Server::start(Keeps::All);
    let house = House::at(&server.url()).await;
    let (key, held) = house.running("a").await;
    let write = switching(&key, &held);
    let stored = house.stored(write.clone()).await;
    server.kill();
    server.start_again();
    house.back().await;
    assert_eq!(house.stored(write).await.head, stored.head);
}

/// Nothing is there, and nothing is written on what was.
async fn is_new(house: &House, held: &StoredSession) {
    let key = key("a");
    assert!(matches!(house.store.commit(switching(&key, held)).await.unwrap(), Committed::Missing));
    assert!(house.read(&key).await.is_none());
    assert_eq!(house.store.due(Partitions::ALL, Timestamp::NEVER, 9).await.unwrap(), []);
    assert!(matches!(house.store.wait_recorded(held.entry_id.unwrap()).await, Err(Error::Unknown(_))));
    assert!(house.waiting().await.is_empty());
    let taken = house.store.restore(&key, None, restored(held), vec![]).await.unwrap();
    house.switched(&key, &taken).await;
}

#[tokio::test]
async fn a_server_that_came_back_empty_is_another_life() {
    let mut server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let (_, held) = house.running("a").await;
    let lives = house.store.generation_changes();
    server.kill();
    server.start_again();
    house.back().await;
    is_new(&house, &held).await;
    assert_eq!(*lives.borrow(), 1);
}

#[tokio::test]
async fn a_server_that_was_emptied_is_another_life() {
    let server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    let (_, held) = house.running("a").await;
    server.say(&["FLUSHALL"]);
    is_new(&house, &held).await;
    assert_eq!(*house.store.generation_changes().borrow(), 1);
}

#[tokio::test]
async fn what_is_acknowledged_of_an_earlier_life_lets_nothing_go() {
    let mut server = Server::start(Keeps::All);
    let house = House::at(&server.url()).await;
    let (key, held) = house.running("a").await;
    let before = house.outbox.oldest(10, super::SOON).await.unwrap();
    server.kill();
    server.start_again();
    house.back().await;
    house.outbox.acknowledge(&before).await.unwrap();
    assert_eq!(house.waiting().await[&key].len(), 2);
    // They come again, under their names in this life. Each partition has its share of what is asked for.
    let again = house.outbox.oldest(1_000, super::SOON).await.unwrap();
    assert_eq!(again.len(), 2);
    house.outbox.acknowledge(&again).await.unwrap();
    assert!(house.waiting().await.is_empty());
    assert_eq!(house.read(&key).await.unwrap().head, held.head);
}

#[tokio::test]
async fn lives_are_numbered_upwards_even_by_a_clock_that_went_back() {
    let mut server = Server::start(Keeps::All);
    let life = crate::store::keys::Keys::default().life(crate::store::partition::Partition::of(&key("a")));
    server.say(&["SET", &life, "9000000000000000-another"]);
    let house = House::at(&server.url()).await;
    house.running("a").await;
    assert!(server.say(&["GET", &life])[0].starts_with("9000000000000001-"));
    server.kill();
    server.start_again();
    house.back().await;
    assert!(house.read(&key("a")).await.unwrap().needs_restore);
    assert!(server.say(&["GET", &life])[0].starts_with("9000000000000002-"));
}

#[tokio::test]
async fn a_new_life_is_noticed_though_nothing_happens() {
    let mut server = Server::start(Keeps::Nothing);
    let house = House::at(&server.url()).await;
    assert_eq!(house.store.due(Partitions::ALL, Timestamp::NEVER, 9).await.unwrap(), []);
    let lives = house.store.generation_changes();
    server.kill();
    server.start_again();
    house.back().await;
    assert_eq!(house.store.due(Partitions::ALL, Timestamp::NEVER, 9).await.unwrap(), []);
    assert_eq!(*lives.borrow(), 64);
}
