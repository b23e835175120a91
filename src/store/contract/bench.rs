//! The backends, each with what stands around it.

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
use crate::redis::{Address, PubSub, PubSubEvent, Redis};
use crate::redis_server::{Keeps, Named, Server, Trio, named};
use crate::store::keys;
use crate::store::keys::Keys;
use crate::store::memory::MemoryStore;
use crate::store::outbox::{MemoryOutbox, Outbox as _, RedisOutbox};
use crate::store::partition::Partitions;
use crate::store::redis::RedisStore;
use crate::store::{SessionStore as _, Store};

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
        let teller = Arc::clone(&announced);
        let announce = move |key, position, frames| teller.lock().unwrap().push((key, position, frames));
        Self { store: MemoryStore::new(Box::new(announce), Arc::clone(&outbox), NOW), outbox, announced }
    }
}

#[async_trait]
impl Bench for Memory {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn listen(&self, _key: &SessionKey) {}

    async fn announced(&self) -> Vec<(SessionKey, Position, Bytes)> {
        self.announced.lock().unwrap().clone()
    }

    async fn waiting(&self) -> Vec<Arc<Entry>> {
        let waiting = self.outbox.oldest(usize::MAX, Duration::ZERO).await.unwrap();
        waiting.into_iter().map(|waiting| waiting.entry).collect()
    }

    async fn record_all(&self) {
        let waiting = self.outbox.oldest(usize::MAX, Duration::ZERO).await.unwrap();
        self.outbox.acknowledge(&waiting).await.unwrap();
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
    ears: Arc<PubSub>,
    listened: Mutex<BTreeSet<SessionKey>>,
    announced: Announced,
    /// Changes with every message.
    heard: watch::Receiver<usize>,
    hearing: JoinHandle<()>,
    redis: Redis,
    _home: Home,
}

/// What must be there as long as it is used.
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
        let redis = Redis::connect(&Address::new(url, None).unwrap()).await.unwrap();
        empty(&redis).await;
        let idle = Duration::from_hours(1);
        let owned = watch::channel(Partitions::ALL).1;
        let ears = Arc::new(PubSub::new(redis.duplicate().await.unwrap()));
        let (announced, (count, heard)) = (Announced::default(), watch::channel(0));
        let hearing = tokio::spawn(hear(Arc::clone(&ears), Arc::clone(&announced), count));
        Self {
            store: RedisStore::new(redis.duplicate().await.unwrap(), Keys::default(), idle, still()),
            outbox: RedisOutbox::new(&redis, Keys::default(), owned, idle, still()).await.unwrap(),
            ears,
            listened: Mutex::default(),
            announced,
            heard,
            hearing,
            redis,
            _home: home,
        }
    }

    /// Says something on every channel that is listened to, and waits until it was heard:
    /// then everything that was said before was heard as well.
    async fn catch_up(&self) {
        let keys: Vec<_> = self.listened.lock().unwrap().iter().cloned().collect();
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
            keys.iter().all(|key| announced.iter().any(|(told, at, _)| told == key && *at == MARK))
        };
        let mut heard = self.heard.clone();
        tokio::time::timeout(Duration::from_secs(10), heard.wait_for(marks)).await.unwrap().unwrap();
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

async fn hear(ears: Arc<PubSub>, announced: Announced, count: watch::Sender<usize>) {
    let told = |told| {
        if let PubSubEvent::Message(channel, payload) = told {
            let (position, frames) = keys::announced(&payload).unwrap();
            announced.lock().unwrap().push((keys::session_of_frames(&channel).unwrap(), position, frames));
            count.send_modify(|count| *count += 1);
        }
    };
    ears.run(told).await;
}

impl Drop for InRedis {
    fn drop(&mut self) {
        self.hearing.abort();
    }
}

#[async_trait]
impl Bench for InRedis {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn listen(&self, key: &SessionKey) {
        if self.listened.lock().unwrap().insert(key.clone()) {
            self.ears.subscribe(Keys::default().frames(key)).await.unwrap();
        }
    }

    async fn announced(&self) -> Vec<(SessionKey, Position, Bytes)> {
        self.catch_up().await;
        self.announced.lock().unwrap().clone()
    }

    async fn waiting(&self) -> Vec<Arc<Entry>> {
        let waiting = self.outbox.oldest(1_000_000, Duration::ZERO).await.unwrap();
        waiting.into_iter().map(|waiting| waiting.entry).collect()
    }

    async fn record_all(&self) {
        let waiting = self.outbox.oldest(1_000_000, Duration::ZERO).await.unwrap();
        self.outbox.acknowledge(&waiting).await.unwrap();
    }

    /// Redis does it by itself; here time passes for what it was told to let go.
    async fn evict(&self, idle_since: Timestamp) {
        let keys: Vec<_> = self.listened.lock().unwrap().iter().cloned().collect();
        let commands = self.redis.commands().await.unwrap();
        for key in keys {
            let held = self.store.read(&key).await.unwrap();
            let left: i64 = commands.pttl(Keys::default().state(&key)).await.unwrap();
            if held.is_some_and(|held| held.session.updated_at < idle_since) && left > 0 {
                assert!(left > 3_590_000, "an hour was asked for, and {left} ms are left");
                commands.del::<i64, _>(Keys::default().state(&key)).await.unwrap();
            }
        }
    }

    fn outlives_processes(&self) -> bool {
        true
    }
}
