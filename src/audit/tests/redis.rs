//! The same road with Redis at its beginning: workers die, connections are cut, and every
//! version arrives once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Odd, Writers, key, still};
use crate::audit::worker::Worker;
use crate::domain::position::Position;
use crate::domain::session::Session;
use crate::ledger::Ledger;
use crate::redis::{Address, Redis};
use crate::redis_server::{Keeps, Server};
use crate::store::contract::fixtures::created;
use crate::store::keys::Keys;
use crate::store::outbox::{Outbox, RedisOutbox};
use crate::store::partition::Partitions;
use crate::store::redis::RedisStore;
use crate::store::{Commit, Committed, SessionStore as _};

const IDLE: Duration = Duration::from_hours(1);
const SESSIONS: usize = 40;
const VERSIONS: usize = 100;

/// Each session's versions, one on the other; what is not known to be written is written again.
async fn write(store: &RedisStore, session: usize) {
    let key = key(session);
    let mut writers = Writers::default();
    let mut base = None;
    let seen: Arc<Session> = Arc::new(created(&key));
    for version in 1..=VERSIONS {
        let entry = writers.next(session);
        let position = Position { epoch: 1, version: u64::try_from(version).unwrap() };
        let state = Arc::new(Session { position, ..Session::clone(&seen) });
        let operation = position.version;
        let commit = Commit { operation, key: key.clone(), base, session: state, frames: "{}".into(), entry };
        while !matches!(store.commit(commit.clone()).await, Ok(Committed::Stored(_))) {}
        base = Some(position);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_dying_workers_and_cut_connections_every_version_arrives_once() {
    let server = Server::start(Keeps::Nothing);
    let redis = Redis::connect(&Address::new(&server.url(), None).unwrap()).await.unwrap();
    let store = RedisStore::new(redis.duplicate().await.unwrap(), Keys::default(), IDLE, still());
    let owned = watch::channel(Partitions::ALL).1;
    let outbox = Arc::new(Box::pin(RedisOutbox::new(&redis, Keys::default(), owned, IDLE, still())).await.unwrap());
    let ledger = Odd::new(0, &[], None).await;
    let hears = Arc::clone(&outbox);
    let hearing = tokio::spawn(async move { hears.run(u64::MAX).await });
    let soft = CancellationToken::new();
    let working = async {
        loop {
            let hard = CancellationToken::new();
            let (outbox, ledger) = (Arc::clone(&outbox) as Arc<dyn Outbox>, Arc::clone(&ledger) as Arc<dyn Ledger>);
            let worker = tokio::spawn(Worker::new(outbox, ledger, still()).run(soft.clone(), hard.clone()));
            tokio::time::sleep(Duration::from_millis(70)).await;
            if soft.is_cancelled() {
                return worker.await.unwrap();
            }
            server.say(&["CLIENT", "KILL", "TYPE", "normal"]);
            server.say(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            // Whatever it was about to do, it does not.
            hard.cancel();
            worker.await.unwrap();
        }
    };
    let writing = async {
        join_all((0..SESSIONS).map(|session| write(&store, session))).await;
        soft.cancel();
    };
    let (left, ()) = tokio::join!(working, writing);
    hearing.abort();
    assert_eq!(left.entries, 0);
    for session in 0..SESSIONS {
        assert_eq!(ledger.rows(&key(session)).await, VERSIONS);
    }
    assert!(ledger.buried.lock().unwrap().is_empty());
}
