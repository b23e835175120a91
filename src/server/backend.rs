//! Where live sessions are, and what goes with them: in this process, or in the Redis
//! that all instances share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::{connect, eviction_policy};
use crate::audit::worker::Worker;
use crate::breaker;
use crate::bus::memory::MemoryHub;
use crate::bus::redis::{RedisAudience, RedisBus};
use crate::bus::{Audience, Bus, Message};
use crate::clock::Clock;
use crate::config::{Config, Durable};
use crate::domain::session::stored::FORMAT;
use crate::domain::time::Timestamp;
use crate::ids::Ids;
use crate::jobs::RetryPolicy;
use crate::ledger::Ledger;
use crate::members::redis::RedisLeases;
use crate::members::{Formats, InstanceId, LeaseTimers, Member, Membership, Ownership, Work};
use crate::redis::Redis;
use crate::shutdown::Shutdown;
use crate::store::fence::Fence;
use crate::store::guarded::Guarded;
use crate::store::keys::Keys;
use crate::store::memory::MemoryStore;
use crate::store::outbox::{MemoryOutbox, Outbox, RedisOutbox};
use crate::store::redis::RedisStore;
use crate::store::{Now, Store};
use crate::telemetry::outage::chain;

/// While Redis is away it is tried again at least so often: everybody is to be right within
/// two seconds after it is there again.
const BREAKER_RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// The only version of the settings there is.
const SETTINGS_VERSION: u64 = 1;

/// From one journey of what waits in Redis to the next, where nobody waits for it.
const OUTBOX_GATHER_TIME: Duration = Duration::from_millis(50);

/// From the first partition that begins anew to the last: each is looked at within this time.
const GENERATION_GATHER_TIME: Duration = Duration::from_secs(2);

/// What the outbox may take up where neither a setting nor Redis has a limit.
const DEFAULT_OUTBOX_BYTES: u64 = 1 << 30;

/// How long who takes part in nothing any more may take to say so.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Live sessions, and what goes with them.
pub struct Backend {
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// What was committed and is not in the ledger yet.
    pub outbox: Arc<dyn Outbox>,
    /// The same in parts, each for a consumer of its own.
    consumers: Vec<Arc<dyn Outbox>>,
    /// How it is brought to the ledger.
    retry_policy: RetryPolicy,
    /// What is looked after here.
    pub duties: Ownership,
    /// When the store began, where it ends with this process.
    pub embedded_since: Option<Timestamp>,
    /// Counts what the store may have lost.
    pub generation_changes: watch::Receiver<u64>,
    /// Who watches, wherever.
    pub(super) audience: Arc<dyn Audience>,
    /// Closed while the ledger is another deployment's.
    pub(super) fence: Fence,
    mode: Mode,
    /// What must run until nothing is left for the ledger.
    tasks: Shutdown,
}

enum Mode {
    Embedded { store: Arc<MemoryStore>, hub: MemoryHub },
    Clustered { redis: Arc<Redis>, keys: Keys, membership: Arc<Membership>, renewing: Shutdown },
}

/// What waits in Redis outlives us, so it may wait until it is worth a journey: unless
/// answers wait for it.
fn retry_policy(config: &Config) -> RetryPolicy {
    match config.durable {
        Durable::Always => RetryPolicy::default(),
        Durable::Flush => RetryPolicy { gather: OUTBOX_GATHER_TIME, ..RetryPolicy::default() },
    }
}

/// A closure over a clock.
pub(super) fn now_from(clock: &Arc<dyn Clock>) -> Now {
    let clock = Arc::clone(clock);
    Arc::new(move || clock.now())
}

impl Backend {
    /// In this process, or where `redis` leads; an instance that does `work` takes part.
    pub async fn start(
        config: &Config,
        redis: Option<Redis>,
        clock: &Arc<dyn Clock>,
        work: Work,
    ) -> Result<Self, Error> {
        match redis {
            None => Ok(Self::embedded(config, clock)),
            Some(redis) => Self::clustered(config, redis, clock, work).await,
        }
    }

    fn embedded(config: &Config, clock: &Arc<dyn Clock>) -> Self {
        let bytes = usize::try_from(config.outbox_max_bytes.unwrap_or(DEFAULT_OUTBOX_BYTES)).unwrap_or(usize::MAX);
        let (outbox, hub) = (Arc::new(MemoryOutbox::new(bytes)), MemoryHub::default());
        let announced = hub.clone();
        let announce = move |key, position, frames| announced.announce(&Message { key, position, frames });
        let began = clock.now();
        let watching = hub.clone();
        let store = MemoryStore::new(Box::new(announce), Arc::clone(&outbox), began);
        let store = Arc::new(store.with_watchers(Box::new(move |key| watching.has_subscriber(key))));
        Self {
            store: Arc::clone(&store) as _,
            consumers: vec![Arc::clone(&outbox) as _],
            outbox,
            retry_policy: RetryPolicy::default(),
            duties: Ownership::All,
            embedded_since: Some(began),
            generation_changes: watch::channel(0).1,
            audience: Arc::new(hub.clone()),
            fence: Fence::default(),
            mode: Mode::Embedded { store, hub },
            tasks: Shutdown::new(),
        }
    }

    async fn clustered(config: &Config, redis: Redis, clock: &Arc<dyn Clock>, work: Work) -> Result<Self, Error> {
        let (idle, now) = (config.session_idle_ttl, now_from(clock));
        let keys = connect::keys(config);
        let store = Arc::new(RedisStore::new(redis.duplicate().await?, keys.clone(), idle, Arc::clone(&now)));
        let spans = LeaseTimers { lease: config.timers.lease, renew: config.timers.renew };
        let leases = Arc::new(RedisLeases::new(redis.duplicate().await?, keys.clone(), spans.lease));
        let membership = Arc::new(Membership::new(leases, member(clock, work), spans));
        let outbox = Arc::new(Box::pin(RedisOutbox::new(&redis, keys.clone(), membership.audited(), idle, now)).await?);
        let max_bytes = outbox_bytes(config, &redis).await?;
        let (running, renewing, fence) = (Shutdown::new(), Shutdown::new(), Fence::default());
        let settings = breaker::Settings { most: BREAKER_RETRY_INTERVAL, ..breaker::Settings::default() };
        let (hears, renews) = (Arc::clone(&outbox), Arc::clone(&membership));
        running.spawn_until_stopped("outbox", async move { hears.run(max_bytes).await });
        let redis = Arc::new(redis);
        running.spawn_until_stopped("eviction", eviction_policy::watch(Arc::clone(&redis), config.allow_eviction));
        running.spawn_until_stopped("store generations", log_generation_changes(store.generation_changes()));
        renewing.spawn_until_stopped("membership", async move { renews.run().await });
        Ok(Self {
            generation_changes: store.generation_changes(),
            store: Arc::new(Guarded::new(store, settings).behind(fence.clone())),
            fence,
            consumers: outbox.consumers(),
            outbox,
            retry_policy: retry_policy(config),
            duties: Ownership::Shared(Arc::clone(&membership)),
            audience: Arc::new(RedisAudience::new(redis.duplicate().await?, keys.clone())),
            embedded_since: None,
            mode: Mode::Clustered { redis, keys, membership, renewing },
            running,
        })
    }

    /// Where one more instance hears of writes.
    pub async fn bus(&self) -> Result<Arc<dyn Bus>, Error> {
        match &self.mode {
            Mode::Embedded { hub, .. } => Ok(Arc::new(hub.attach())),
            Mode::Clustered { redis, keys, .. } => {
                let bus = Arc::new(RedisBus::new(redis.duplicate().await?, keys.clone()));
                let hears = Arc::clone(&bus);
                self.running.spawn_until_stopped("bus", async move { hears.run().await });
                Ok(bus)
            }
        }
    }

    /// Lets go of what nothing has happened to since then; gives how many are left. In
    /// Redis that happens by itself.
    #[must_use]
    pub fn evict(&self, idle_since: Timestamp) -> Option<usize> {
        match &self.mode {
            Mode::Embedded { store, .. } => Some(store.evict(idle_since)),
            Mode::Clustered { .. } => None,
        }
    }

    /// How many sessions this process holds itself.
    #[must_use]
    pub fn held_sessions(&self) -> Option<usize> {
        match &self.mode {
            Mode::Embedded { store, .. } => Some(store.sessions()),
            Mode::Clustered { .. } => None,
        }
    }

    /// Who takes part, as this instance sees it.
    #[must_use]
    pub fn membership(&self) -> Option<&Arc<Membership>> {
        match &self.mode {
            Mode::Embedded { .. } => None,
            Mode::Clustered { membership, .. } => Some(membership),
        }
    }

    /// Looks after nothing any more, so that others do; who is the last is left with
    /// what waits for the ledger.
    pub(super) async fn leave(&self) {
        let Mode::Clustered { membership, renewing, .. } = &self.mode else { return };
        renewing.finish(LEAVE_TIMEOUT).await;
        if let Err(away) = membership.leave().await {
            tracing::info!(error = chain(&away), "the lease will end by itself");
        }
    }

    /// Brings what waits to `ledger`, within `tasks`: until `stop`, and then until nothing is left.
    pub(super) fn audit(
        &self,
        ledger: &Arc<dyn Ledger>,
        clock: &Arc<dyn Clock>,
        tasks: &Shutdown,
        stop: &CancellationToken,
    ) {
        for consumer in &self.consumers {
            let worker =
                Worker::new(Arc::clone(consumer), Arc::clone(ledger), now_from(clock)).with_retries(self.retry_policy);
            let worker = worker.with_store(Arc::clone(&self.store)).with_fence(self.fence.clone());
            let drained = worker.run(stop.clone(), CancellationToken::new());
            tasks.spawn("audit", async {
                drained.await;
            });
        }
    }

    /// Ends what ran until the last entry was recorded. Whether the ledger holds everything.
    pub(super) async fn finish(&self) -> bool {
        self.running.finish(LEAVE_TIMEOUT).await;
        let left = self.outbox.backlog().await.unwrap_or_default();
        if left.entries > 0 {
            tracing::error!(entries = left.entries, "stopped before the ledger held everything");
        }
        left.entries == 0
    }

    /// Every stop there is.
    pub(super) fn stops(&self) -> Vec<&Shutdown> {
        match &self.mode {
            Mode::Embedded { .. } => vec![&self.running],
            Mode::Clustered { renewing, .. } => vec![&self.running, renewing],
        }
    }
}

/// Says in the log that the store has gone back: once for all partitions that begin anew.
async fn log_generation_changes(mut lives: watch::Receiver<u64>) {
    let mut told = *lives.borrow_and_update();
    while lives.changed().await.is_ok() {
        sleep(GENERATION_GATHER_TIME).await;
        let ended = *lives.borrow_and_update();
        let partitions = ended - told;
        tracing::warn!(partitions, "the store generation changed: Redis was restarted, replaced, restored or emptied");
        told = ended;
    }
}

fn member(clock: &Arc<dyn Clock>, work: Work) -> Member {
    let format = u32::from(FORMAT);
    Member {
        instance: InstanceId::new(Ids::Random.nonce()),
        formats: Formats { oldest: 1, newest: format },
        settings_version: SETTINGS_VERSION,
        started_at: clock.now(),
        work,
    }
}

async fn outbox_bytes(config: &Config, redis: &Redis) -> Result<u64, Error> {
    match config.outbox_max_bytes {
        Some(bytes) => Ok(bytes),
        None => Ok(redis.capacity().await?.outbox_bytes().unwrap_or(DEFAULT_OUTBOX_BYTES)),
    }
}
