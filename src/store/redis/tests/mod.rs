//! Tests of the store that only Redis can be put through.

mod deployments;
mod faults;
mod generations;
mod outbox;
mod round_trips;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use testkit::redis::{Keeps, Server};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::RedisStore;
use crate::domain::chain::Digest;
use crate::domain::entry::Entry;
use crate::domain::id::SessionKey;
use crate::redis::{Redis, RedisUrl};
use crate::store::contract::fixtures::{START, after, commit, created, key, still, switch};
use crate::store::keys::Keys;
use crate::store::outbox::{Outbox as _, RedisOutbox};
use crate::store::partition::Partitions;
use crate::store::{Commit, Committed, Error, SessionStore as _, StoredSession};

/// For anything that must happen at last.
const TEST_TIMEOUT: Duration = Duration::from_secs(10);

/// For an answer or a failure.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

const IDLE: Duration = Duration::from_hours(1);

/// A store, and its outbox, which runs.
struct Setup {
    redis: Redis,
    store: RedisStore,
    outbox: Arc<RedisOutbox>,
    running: JoinHandle<()>,
}

impl Setup {
    async fn start(keeps: Keeps) -> (Server, Self) {
        let server = Server::start(keeps);
        let setup = Self::at(&server.url()).await;
        (server, setup)
    }

    async fn at(url: &str) -> Self {
        Box::pin(Self::over(&RedisUrl::new(url, None).unwrap())).await
    }

    async fn over(address: &RedisUrl) -> Self {
        let redis = Redis::connect(address).await.unwrap();
        let owned = watch::channel(Partitions::ALL).1;
        let outbox = Arc::new(Box::pin(RedisOutbox::new(&redis, Keys::default(), owned, IDLE, still())).await.unwrap());
        let runs = Arc::clone(&outbox);
        let running = tokio::spawn(async move { runs.run(u64::MAX).await });
        let store = RedisStore::new(redis.duplicate().await.unwrap(), Keys::default(), IDLE, still());
        Self { redis, store, outbox, running }
    }

    async fn stored(&self, commit: Commit) -> StoredSession {
        match self.store.commit(commit).await.unwrap() {
            Committed::Stored(stored) => stored,
            other => panic!("{other:?}"),
        }
    }

    async fn first(&self, key: &SessionKey) -> StoredSession {
        self.stored(commit(key, None, created(key), None)).await
    }

    /// A running session.
    async fn running(&self, session: &str) -> (SessionKey, StoredSession) {
        let key = key(session);
        let pending = self.first(&key).await;
        let started = after(&pending, &START, pending.session.updated_at);
        let running = self.stored(commit(&key, Some(&pending), started, None)).await;
        (key, running)
    }

    async fn switched(&self, key: &SessionKey, base: &StoredSession) -> StoredSession {
        self.stored(switching(key, base)).await
    }

    async fn read(&self, key: &SessionKey) -> Option<StoredSession> {
        self.store.read(key).await.unwrap()
    }

    /// The outbox by session, checked to be linked without a gap or a repeat.
    async fn entries(&self) -> BTreeMap<SessionKey, Vec<Arc<Entry>>> {
        let all = self.outbox.oldest(1_000_000, Duration::ZERO).await.unwrap();
        let mut chains = BTreeMap::<_, Vec<Arc<Entry>>>::new();
        for each in all {
            let chain = chains.entry(each.entry.key.clone()).or_default();
            let before = chain.last().map_or(Digest::NONE, |entry| entry.link.digest());
            assert_eq!(each.entry.link.previous, before, "{:?}", each.entry.link);
            chain.push(each.entry);
        }
        chains
    }

    /// Pings until the store answers again.
    async fn until_back(&self) {
        let answers = async { while self.store.ping().await.is_err() {} };
        timeout(TEST_TIMEOUT, answers).await.expect("the store does not answer again");
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn switching(key: &SessionKey, base: &StoredSession) -> Commit {
    commit(key, Some(base), after(base, &switch(), base.session.updated_at), None)
}

async fn bounded<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(ANSWER_TIMEOUT, work).await.unwrap_or_else(|_| panic!("{what} takes longer than {ANSWER_TIMEOUT:?}"))
}

fn is_unavailable<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Unavailable(_)))
}
