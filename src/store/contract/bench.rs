//! The backends, each with its bus and its outbox.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fred::interfaces::{ClientLike as _, KeysInterface as _, PubsubInterface as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Bench;
use super::fixtures::{NOW, still};
use crate::domain::entry::Entry;
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::redis::{PubSub, PubSubEvent, Redis, RedisUrl};
use crate::store::keys;
use crate::store::keys::Keys;
use crate::store::memory::MemoryStore;
use crate::store::outbox::{MemoryOutbox, Outbox as _, RedisOutbox};
use crate::store::partition::Partitions;
use crate::store::redis::RedisStore;
use crate::store::{SessionStore as _, Store};
use testkit::redis::{Keeps, Named, Server, Trio, named};

type Announced = Arc<Mutex<Vec<(SessionKey, Position, Bytes)>>>;

/// In this process.
pub struct Memory {
    store: MemoryStore,
    outbox: Arc<MemoryOutbox>,
    announced: Announced,
}

impl Memory {
    pub fn new() -> Self {
        let (outbox, announced) = (Arc::new(MemoryOutbox::new(usize::MAX)), Announced::default());
        let record = Arc::clone(&announced);
        let announce = move |key, position, frames| record.lock().unwrap().push((key, position, frames));
        Self { store: MemoryStore::new(Box::new(announce), Arc::clone(&outbox), NOW), outbox, announced }
    }
}

#[async_trait]
impl Bench for Memory {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn subscribe(&self, _key: &SessionKey) {}

    async fn announced(&self) -> Vec<(SessionKey, Position, Bytes)> {
        self.announced.lock().unwrap().clone()
    }

    async fn entries(&self) -> Vec<Arc<Entry>> {
        let entries = self.outbox.oldest(usize::MAX, Duration::ZERO).await.unwrap();
        entries.into_iter().map(|each| each.entry).collect()
    }

    async fn record_all(&self) {
        let entries = self.outbox.oldest(usize::MAX, Duration::ZERO).await.unwrap();
        self.outbox.acknowledge(&entries).await.unwrap();
    }

    async fn evict(&self, idle_since: Timestamp) {
        let _ = self.store.evict(idle_since);
    }

    fn outlives_processes(&self) -> bool {
        false
    }
}

/// In Redis.
pub struct InRedis {
    store: RedisStore,
    outbox: RedisOutbox,
    pubsub: Arc<PubSub>,
    subscribed: Mutex<BTreeSet<SessionKey>>,
    announced: Announced,
    /// Changes with every message.
    received: watch::Receiver<usize>,
    receiving: JoinHandle<()>,
    redis: Redis,
    _home: Home,
}

/// Kept alive for as long as the store is used.
pub enum Home {
    Named(#[expect(dead_code, reason = "it holds a lock")] Named),
    Plain(#[expect(dead_code, reason = "it holds a process")] Server),
    Cluster(#[expect(dead_code, reason = "it holds processes")] Trio),
}

impl InRedis {
    /// One server: its own, or the one the environment names.
    pub async fn plain() -> Self {
        if let Some(named) = named() {
            return Box::pin(Self::at(&named.url.clone(), Home::Named(named))).await;
        }
        let server = Server::start(Keeps::Nothing);
        Box::pin(Self::at(&server.url(), Home::Plain(server))).await
    }

    /// Three masters.
    pub async fn cluster() -> Self {
        let trio = Trio::start();
        Box::pin(Self::at(&trio.url(), Home::Cluster(trio))).await
    }

    async fn at(url: &str, home: Home) -> Self {
        let redis = Redis::connect(&RedisUrl::new(url, None).unwrap()).await.unwrap();
        empty(&redis).await;
        let idle = Duration::from_hours(1);
        let owned = watch::channel(Partitions::ALL).1;
        let pubsub = Arc::new(PubSub::new(redis.duplicate().await.unwrap()));
        let (announced, (count, received)) = (Announced::default(), watch::channel(0));
        let receiving = tokio::spawn(record_announcements(Arc::clone(&pubsub), Arc::clone(&announced), count));
        Self {
            store: RedisStore::new(redis.duplicate().await.unwrap(), Keys::default(), idle, still()),
            outbox: RedisOutbox::new(&redis, Keys::default(), owned, idle, still()).await.unwrap(),
            pubsub,
            subscribed: Mutex::default(),
            announced,
            received,
            receiving,
            redis,
            _home: home,
        }
    }

    /// Publishes a mark on every subscribed channel, and waits until it arrives: then every
    /// earlier message has arrived as well.
    async fn catch_up(&self) {
        let keys: Vec<_> = self.subscribed.lock().unwrap().iter().cloned().collect();
        let commands = self.redis.commands().await.unwrap();
        for key in &keys {
            let (channel, mark) = (Keys::default().frames(key), keys::announcement(&MARK.to_string(), b"").concat());
            if self.redis.is_cluster() {
                commands.spublish::<i64, _, _>(channel, mark).await.unwrap();
            } else {
                commands.publish::<i64, _, _>(channel, mark).await.unwrap();
            }
        }
        let marks = |_: &usize| {
            let announced = self.announced.lock().unwrap();
            keys.iter().all(|key| announced.iter().any(|(marked, at, _)| marked == key && *at == MARK))
        };
        let mut received = self.received.clone();
        tokio::time::timeout(Duration::from_secs(10), received.wait_for(marks)).await.unwrap().unwrap();
        self.announced.lock().unwrap().retain(|(_, at, _)| *at != MARK);
    }
}

/// No write makes that position.
const MARK: Position = Position { epoch: 0, version: 0 };

async fn empty(redis: &Redis) {
    let commands = redis.commands().await.unwrap();
    if redis.is_cluster() {
        commands.flushall_cluster().await.unwrap();
    } else {
        commands.flushall::<()>(false).await.unwrap();
    }
}

async fn record_announcements(pubsub: Arc<PubSub>, announced: Announced, count: watch::Sender<usize>) {
    let receive = |event| {
        if let PubSubEvent::Message(channel, payload) = event {
            let (position, frames) = keys::announced(&payload).unwrap();
            announced.lock().unwrap().push((keys::session_of_frames(&channel).unwrap(), position, frames));
            count.send_modify(|count| *count += 1);
        }
    };
    pubsub.run(receive).await;
}

impl Drop for InRedis {
    fn drop(&mut self) {
        self.receiving.abort();
    }
}

#[async_trait]
impl Bench for InRedis {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn subscribe(&self, key: &SessionKey) {
        if self.subscribed.lock().unwrap().insert(key.clone()) {
            self.pubsub.subscribe(Keys::default().frames(key)).await.unwrap();
        }
    }

    async fn announced(&self) -> Vec<(SessionKey, Position, Bytes)> {
        self.catch_up().await;
        self.announced.lock().unwrap().clone()
    }

    async fn entries(&self) -> Vec<Arc<Entry>> {
        let entries = self.outbox.oldest(1_000_000, Duration::ZERO).await.unwrap();
        entries.into_iter().map(|each| each.entry).collect()
    }

    async fn record_all(&self) {
        let entries = self.outbox.oldest(1_000_000, Duration::ZERO).await.unwrap();
        self.outbox.acknowledge(&entries).await.unwrap();
    }

    /// Redis evicts by itself; this stands for the passage of a TTL.
    async fn evict(&self, idle_since: Timestamp) {
        let keys: Vec<_> = self.subscribed.lock().unwrap().iter().cloned().collect();
        let commands = self.redis.commands().await.unwrap();
        for key in keys {
            let stored = self.store.read(&key).await.unwrap();
            let left: i64 = commands.pttl(Keys::default().state(&key)).await.unwrap();
            if stored.is_some_and(|stored| stored.session.updated_at < idle_since) && left > 0 {
                assert!(left > 3_590_000, "an hour was asked for, and {left} ms are left");
                commands.del::<i64, _>(Keys::default().state(&key)).await.unwrap();
            }
        }
    }

    fn outlives_processes(&self) -> bool {
        true
    }
}
