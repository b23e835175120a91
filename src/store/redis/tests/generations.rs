//! A store that went back is noticed before anything is written to it.

use std::sync::Arc;

use super::{Setup, switching};
use crate::domain::time::Timestamp;
use crate::store::contract::fixtures::key;
use crate::store::outbox::Outbox as _;
use crate::store::partition::Partitions;
use crate::store::{Committed, Error, LedgerProgress as _, SessionStore as _, StoredSession};
use testkit::redis::{Keeps, Server};

/// As the ledger had it, in a new epoch.
fn restored(base: &StoredSession) -> StoredSession {
    let session = base.session.restored(None, Timestamp::from_ms(base.session.position.epoch + 7_000));
    StoredSession { session: Arc::new(session), head: base.head, entry_id: None, needs_restore: false }
}

#[tokio::test]
async fn a_session_from_before_a_restart_needs_a_restore() {
    let (mut server, setup) = Setup::start(Keeps::All).await;
    let (key, base) = setup.running("a").await;
    let mut generations = setup.store.generation_changes();
    generations.mark_unchanged();
    server.kill();
    server.start_again();
    setup.until_back().await;
    // The instance believes in the old generation, and still nothing is written.
    let Committed::Stale(stale) = setup.store.commit(switching(&key, &base)).await.unwrap() else { panic!() };
    assert!(stale.needs_restore && generations.has_changed().unwrap());
    assert_eq!((&stale.session, stale.head), (&base.session, base.head));
    assert!(setup.read(&key).await.unwrap().needs_restore);
    assert_eq!(setup.entries().await[&key].len(), 2);
    assert!(matches!(setup.store.wait_recorded(base.entry_id.unwrap()).await, Err(Error::Unknown(_))));
    // It replaces only the version that was read.
    let other = crate::domain::position::Position { version: 1, ..base.session.position };
    for over in [None, Some(other)] {
        assert!(setup.store.restore(&key, over, restored(&base), vec![]).await.unwrap().needs_restore);
    }
    let over = Some(base.session.position);
    let stored = setup.store.restore(&key, over, restored(&base), vec![]).await.unwrap();
    assert_eq!((stored.needs_restore, stored.session.position.epoch > base.session.position.epoch), (false, true));
    let again = setup.store.restore(&key, over, restored(&base), vec![]).await.unwrap();
    assert_eq!(again.session, stored.session);
    let next = setup.switched(&key, &stored).await;
    assert!(!setup.read(&key).await.unwrap().needs_restore);
    assert_eq!(setup.entries().await[&key].last().unwrap().link.digest(), next.head);
}

#[tokio::test]
async fn a_write_from_before_a_restart_is_recognised_after_it() {
    let (mut server, setup) = Setup::start(Keeps::All).await;
    let (key, base) = setup.running("a").await;
    let write = switching(&key, &base);
    let stored = setup.stored(write.clone()).await;
    server.kill();
    server.start_again();
    setup.until_back().await;
    assert_eq!(setup.stored(write).await.head, stored.head);
}

/// Checks that the store is empty, and that no write builds on lost data.
async fn check_is_empty(setup: &Setup, base: &StoredSession) {
    let key = key("a");
    assert!(matches!(setup.store.commit(switching(&key, base)).await.unwrap(), Committed::Missing));
    assert!(setup.read(&key).await.is_none());
    assert_eq!(setup.store.due(Partitions::ALL, Timestamp::NEVER, 9).await.unwrap(), []);
    assert!(matches!(setup.store.wait_recorded(base.entry_id.unwrap()).await, Err(Error::Unknown(_))));
    assert!(setup.entries().await.is_empty());
    let stored = setup.store.restore(&key, None, restored(base), vec![]).await.unwrap();
    setup.switched(&key, &stored).await;
}

#[tokio::test]
async fn a_server_that_restarts_empty_is_a_new_generation() {
    let (mut server, setup) = Setup::start(Keeps::Nothing).await;
    let (_, base) = setup.running("a").await;
    let generations = setup.store.generation_changes();
    server.kill();
    server.start_again();
    setup.until_back().await;
    check_is_empty(&setup, &base).await;
    assert_eq!(*generations.borrow(), 1);
}

#[tokio::test]
async fn a_server_that_was_emptied_is_a_new_generation() {
    let (server, setup) = Setup::start(Keeps::Nothing).await;
    let (_, base) = setup.running("a").await;
    server.say(&["FLUSHALL"]);
    check_is_empty(&setup, &base).await;
    assert_eq!(*setup.store.generation_changes().borrow(), 1);
}

#[tokio::test]
async fn acknowledging_entries_of_an_earlier_generation_removes_none() {
    let (mut server, setup) = Setup::start(Keeps::All).await;
    let (key, base) = setup.running("a").await;
    let before = setup.outbox.oldest(10, super::TEST_TIMEOUT).await.unwrap();
    server.kill();
    server.start_again();
    setup.until_back().await;
    setup.outbox.acknowledge(&before).await.unwrap();
    assert_eq!(setup.entries().await[&key].len(), 2);
    // They come again, with their ids in this generation. Each partition has its share of the limit.
    let again = setup.outbox.oldest(1_000, super::TEST_TIMEOUT).await.unwrap();
    assert_eq!(again.len(), 2);
    setup.outbox.acknowledge(&again).await.unwrap();
    assert!(setup.entries().await.is_empty());
    assert_eq!(setup.read(&key).await.unwrap().head, base.head);
}

#[tokio::test]
async fn generation_numbers_rise_even_if_the_clock_goes_back() {
    let mut server = Server::start(Keeps::All);
    let generation = crate::store::keys::Keys::default().generation(crate::store::partition::Partition::of(&key("a")));
    server.say(&["SET", &generation, "9000000000000000-another"]);
    let setup = Setup::at(&server.url()).await;
    setup.running("a").await;
    assert!(server.say(&["GET", &generation])[0].starts_with("9000000000000001-"));
    server.kill();
    server.start_again();
    setup.until_back().await;
    assert!(setup.read(&key("a")).await.unwrap().needs_restore);
    assert!(server.say(&["GET", &generation])[0].starts_with("9000000000000002-"));
}

#[tokio::test]
async fn a_new_generation_is_noticed_without_traffic() {
    let (mut server, setup) = Setup::start(Keeps::Nothing).await;
    assert_eq!(setup.store.due(Partitions::ALL, Timestamp::NEVER, 9).await.unwrap(), []);
    let generations = setup.store.generation_changes();
    server.kill();
    server.start_again();
    setup.until_back().await;
    assert_eq!(setup.store.due(Partitions::ALL, Timestamp::NEVER, 9).await.unwrap(), []);
    assert_eq!(*generations.borrow(), 64);
}
