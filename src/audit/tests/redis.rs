//! The same with an outbox in Redis: workers die, connections are cut, and each version is
//! recorded once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{FaultyLedger, Writers, fixed_clock, key};
use crate::audit::worker::Worker;
use crate::domain::position::Position;
use crate::domain::session::Session;
use crate::ledger::AuditSink;
use crate::redis::{Redis, RedisUrl};
use crate::store::contract::fixtures::created;
use crate::store::keys::Keys;
use crate::store::outbox::{Outbox, RedisOutbox};
use crate::store::partition::Partitions;
use crate::store::redis::RedisStore;
use crate::store::{Commit, Committed, SessionStore as _};
use testkit::redis::{Keeps, Server};

const IDLE: Duration = Duration::from_hours(1);
const SESSIONS: usize = 40;
const VERSIONS: usize = 100;

/// Writes linked versions of a session; retries a write whose outcome is unknown.
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
async fn dying_workers_and_cut_connections_lose_and_repeat_nothing() {
    let server = Server::start(Keeps::Nothing);
    let redis = Redis::connect(&RedisUrl::new(&server.url(), None).unwrap()).await.unwrap();
    let store = RedisStore::new(redis.duplicate().await.unwrap(), Keys::default(), IDLE, fixed_clock());
    let owned = watch::channel(Partitions::ALL).1;
    let outbox =
        Arc::new(Box::pin(RedisOutbox::new(&redis, Keys::default(), owned, IDLE, fixed_clock())).await.unwrap());
    let ledger = FaultyLedger::new(0, &[], None).await;
    let listener = Arc::clone(&outbox);
    let listening = tokio::spawn(async move { listener.run(u64::MAX).await });
    let soft = CancellationToken::new();
    let working = async {
        loop {
            let hard = CancellationToken::new();
            let (outbox, ledger) = (Arc::clone(&outbox) as Arc<dyn Outbox>, Arc::clone(&ledger) as Arc<dyn AuditSink>);
            let worker = tokio::spawn(Worker::new(outbox, ledger, fixed_clock()).run(soft.clone(), hard.clone()));
            tokio::time::sleep(Duration::from_millis(70)).await;
            if soft.is_cancelled() {
                return worker.await.unwrap();
            }
            server.say(&["CLIENT", "KILL", "TYPE", "normal"]);
            server.say(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            // In the middle of any operation.
            hard.cancel();
            worker.await.unwrap();
        }
    };
    let writing = async {
        join_all((0..SESSIONS).map(|session| write(&store, session))).await;
        soft.cancel();
    };
    let (left, ()) = tokio::join!(working, writing);
    listening.abort();
    assert_eq!(left.entries, 0);
    for session in 0..SESSIONS {
        assert_eq!(ledger.rows(&key(session)).await, VERSIONS);
    }
    assert!(ledger.dead.lock().unwrap().is_empty());
}
