//! What only a store in Redis can be put through.

mod deployments;
mod faults;
mod generations;
mod outbox;
mod round_trips;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::RedisStore;
use crate::domain::chain::Digest;
use crate::domain::entry::Entry;
use crate::domain::id::SessionKey;
use crate::redis::{Address, Redis};
use crate::store::contract::fixtures::{START, after, commit, created, key, still, switch};
use crate::store::keys::Keys;
use crate::store::outbox::{Outbox as _, RedisOutbox};
use crate::store::partition::Partitions;
use crate::store::{Commit, Committed, Error, SessionStore as _, StoredSession};

/// Nothing takes longer.
const SOON: Duration = Duration::from_secs(10);

/// No answer, and no failure either, takes longer.
const BOUND: Duration = Duration::from_secs(4);

const IDLE: Duration = Duration::from_hours(1);

/// A store, and the outbox that belongs to it, which hears.
struct House {
    redis: Redis,
    store: RedisStore,
    outbox: Arc<RedisOutbox>,
    running: JoinHandle<()>,
}

impl House {
    async fn at(url: &str) -> Self {
        Box::pin(Self::over(&Address::new(url, None).unwrap())).await
    }

    async fn over(address: &Address) -> Self {
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
            Committed::Stored(held) => held,
            other => panic!("{other:?}"),
        }
    }

    async fn first(&self, key: &SessionKey) -> StoredSession {
        self.stored(commit(key, None, created(key), None)).await
    }

    /// A session that runs.
    async fn running(&self, session: &str) -> (SessionKey, StoredSession) {
        let key = key(session);
        let held = self.first(&key).await;
        let held = self.stored(commit(&key, Some(&held), after(&held, &START, held.session.updated_at), None)).await;
        (key, held)
    }

    async fn switched(&self, key: &SessionKey, held: &StoredSession) -> StoredSession {
        self.stored(switching(key, held)).await
    }

    async fn read(&self, key: &SessionKey) -> Option<StoredSession> {
        self.store.read(key).await.unwrap()
    }

    /// What waits, each session's entries checked to be linked without a gap or a repeat.
    async fn waiting(&self) -> BTreeMap<SessionKey, Vec<Arc<Entry>>> {
        let waiting = self.outbox.oldest(1_000_000, Duration::ZERO).await.unwrap();
        let mut lines = BTreeMap::<_, Vec<Arc<Entry>>>::new();
        for each in waiting {
            let line = lines.entry(each.entry.key.clone()).or_default();
            let before = line.last().map_or(Digest::NONE, |entry| entry.link.digest());
            assert_eq!(each.entry.link.previous, before, "{:?}", each.entry.link);
            line.push(each.entry);
        }
        lines
    }

    /// Asks until the store answers again.
    async fn back(&self) {
        let answers = async { while self.store.ping().await.is_err() {} };
        timeout(SOON, answers).await.expect("the store does not come back");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn switching(key: &SessionKey, held: &StoredSession) -> Commit {
    commit(key, Some(held), after(held, &switch(), held.session.updated_at), None)
}

async fn bounded<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(BOUND, work).await.unwrap_or_else(|_| panic!("{what} takes longer than {BOUND:?}"))
}

fn is_unavailable<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Unavailable(_)))
}
