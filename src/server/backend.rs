//! The store of live sessions, with its bus and outbox: in this process, or in the Redis
//! that all instances share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::{connect, eviction_policy, limits};
use crate::audit::worker::Worker;
use crate::auth::Tickets;
use crate::breaker;
use crate::bus::memory::MemoryHub;
use crate::bus::redis::{RedisAudience, RedisBus};
use crate::bus::{Audience, Bus, Message};
use crate::clock::Clock;
use crate::config::{Config, Durable};
use crate::control::{Marker, MemoryTickets, RedisCopy, RedisTickets, SharedControl};
use crate::domain::session::stored::FORMAT;
use crate::domain::time::Timestamp;
use crate::ids::Ids;
use crate::jobs::RetryPolicy;
use crate::ledger::Ledger;
use crate::limits::{MemoryPool, Pool, RedisPool, StreamQuota};
use crate::membership::redis::RedisLeases;
use crate::membership::{Formats, InstanceId, LeaseTimers, Member, Membership, Ownership, Work};
use crate::redis::Redis;
use crate::shutdown::Shutdown;
use crate::store::instrumented::InstrumentedStore;
use crate::store::keys::Keys;
use crate::store::ledger_fence::Fence;
use crate::store::memory::MemoryStore;
use crate::store::outbox::{MemoryOutbox, Outbox, RedisOutbox};
use crate::store::redis::RedisStore;
use crate::store::{Now, Store};
use crate::telemetry::outage::chain;

/// The longest pause between two attempts to reach Redis: clients are to be up to date within
/// two seconds of its return.
const BREAKER_RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// The only version of the settings there is.
const SETTINGS_VERSION: u64 = 1;

/// How long outbox entries in Redis gather into a batch, where no caller waits for them.
const OUTBOX_GATHER_TIME: Duration = Duration::from_millis(50);

/// All partitions notice a new generation within this time, so one log line covers them.
const GENERATION_GATHER_TIME: Duration = Duration::from_secs(2);

/// What the outbox may take up where neither a setting nor Redis has a limit.
const DEFAULT_OUTBOX_BYTES: u64 = 1 << 30;

/// How long an instance may take to give up its lease.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Live sessions and their outbox.
pub struct Backend {
    /// The live sessions.
    pub store: Arc<dyn Store>,
    /// Committed entries that the ledger does not hold yet.
    pub outbox: Arc<dyn Outbox>,
    /// The same in parts, each drained by a worker of its own.
    consumers: Vec<Arc<dyn Outbox>>,
    /// How a worker batches and retries them.
    retry_policy: RetryPolicy,
    /// The partitions that this instance owns.
    pub ownership: Ownership,
    /// When the store began, if it ends with this process.
    pub embedded_since: Option<Timestamp>,
    /// Counts partitions whose store generation changed.
    pub generation_changes: watch::Receiver<u64>,
    /// What tenants' quotas are drawn from.
    pub(super) quota_pool: Arc<dyn Pool>,
    /// The streams of all instances.
    pub(super) stream_quota: Arc<StreamQuota>,
    /// The subscribers of all instances.
    pub(super) audience: Arc<dyn Audience>,
    /// What instances share of the control plane.
    pub(super) control: Option<SharedControl>,
    /// Tickets in place of tokens.
    pub(super) tickets: Arc<dyn Tickets>,
    /// Closed while the ledger is another deployment's.
    pub(super) fence: Fence,
    mode: Mode,
    /// Tasks that run until the outbox is drained.
    tasks: Shutdown,
}

enum Mode {
    Embedded { store: Arc<MemoryStore>, hub: MemoryHub },
    Clustered { redis: Arc<Redis>, keys: Keys, membership: Arc<Membership>, renewing: Shutdown },
}

/// Entries in Redis outlive this process, so they may gather into batches, unless answers
/// wait for them.
fn retry_policy(config: &Config) -> RetryPolicy {
    match config.durable {
        Durable::Always => RetryPolicy::default(),
        Durable::Flush => RetryPolicy { gather_time: OUTBOX_GATHER_TIME, ..RetryPolicy::default() },
    }
}

/// The time of `clock` as a function.
pub(super) fn now_from(clock: &Arc<dyn Clock>) -> Now {
    let clock = Arc::clone(clock);
    Arc::new(move || clock.now())
}

impl Backend {
    /// Embedded without `redis`; else clustered, as an instance that does `work`.
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
        let bus = hub.clone();
        let announce = move |key, position, frames| bus.announce(&Message { key, position, frames });
        let started = clock.now();
        let subscribers = hub.clone();
        let store = MemoryStore::new(Box::new(announce), Arc::clone(&outbox), started);
        let store = Arc::new(store.with_watchers(Box::new(move |key| subscribers.has_subscriber(key))));
        Self {
            store: Arc::new(InstrumentedStore::new(Arc::clone(&store) as _, "memory")),
            consumers: vec![Arc::clone(&outbox) as _],
            outbox,
            retry_policy: RetryPolicy::default(),
            ownership: Ownership::All,
            embedded_since: Some(started),
            generation_changes: watch::channel(0).1,
            quota_pool: Arc::new(MemoryPool::new(limits::now_from(clock))),
            stream_quota: StreamQuota::of_one_process(),
            audience: Arc::new(hub.clone()),
            control: None,
            tickets: Arc::new(MemoryTickets::default()),
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
        let membership = Arc::new(Membership::new(Arc::clone(&leases) as _, member(clock, work), spans));
        let stream_quota = StreamQuota::new(leases, Arc::clone(&membership));
        let outbox = Arc::new(Box::pin(RedisOutbox::new(&redis, keys.clone(), membership.audited(), idle, now)).await?);
        let max_bytes = outbox_bytes(config, &redis).await?;
        let (tasks, renewing, fence) = (Shutdown::new(), Shutdown::new(), Fence::default());
        let settings = breaker::Settings { most: BREAKER_RETRY_INTERVAL, ..breaker::Settings::default() };
        let (receiver, renewer) = (Arc::clone(&outbox), Arc::clone(&membership));
        tasks.spawn_until_stopped("outbox", async move { receiver.run(max_bytes).await });
        let redis = Arc::new(redis);
        tasks.spawn_until_stopped("eviction", eviction_policy::watch(Arc::clone(&redis), config.allow_eviction));
        tasks.spawn_until_stopped("store generations", log_generation_changes(store.generation_changes()));
        renewing.spawn_until_stopped("membership", async move { renewer.run().await });
        Ok(Self {
            generation_changes: store.generation_changes(),
            store: Arc::new(InstrumentedStore::new(store, "redis").with_breaker(settings).with_fence(fence.clone())),
            fence,
            consumers: outbox.consumers(),
            outbox,
            retry_policy: retry_policy(config),
            ownership: Ownership::Shared(Arc::clone(&membership)),
            stream_quota,
            quota_pool: Arc::new(RedisPool::new(redis.duplicate().await?, keys.clone())),
            audience: Arc::new(RedisAudience::new(redis.duplicate().await?, keys.clone())),
            control: Some(SharedControl {
                copy: RedisCopy::new(Arc::clone(&redis), keys.clone()),
                news: membership.control_news(),
                marker: Marker::new(&config.data_dir),
            }),
            tickets: Arc::new(RedisTickets::new(Arc::clone(&redis), keys.clone())),
            embedded_since: None,
            mode: Mode::Clustered { redis, keys, membership, renewing },
            tasks,
        })
    }

    /// The bus for one more instance.
    pub async fn bus(&self) -> Result<Arc<dyn Bus>, Error> {
        match &self.mode {
            Mode::Embedded { hub, .. } => Ok(Arc::new(hub.attach())),
            Mode::Clustered { redis, keys, .. } => {
                let bus = Arc::new(RedisBus::new(redis.duplicate().await?, keys.clone()));
                let receiver = Arc::clone(&bus);
                self.tasks.spawn_until_stopped("bus", async move { receiver.run().await });
                Ok(bus)
            }
        }
    }

    /// Evicts sessions that have been idle since then; returns how many are left. Redis expires
    /// them by itself.
    pub fn evict(&self, idle_since: Timestamp) -> Option<usize> {
        match &self.mode {
            Mode::Embedded { store, .. } => Some(store.evict(idle_since)),
            Mode::Clustered { .. } => None,
        }
    }

    /// How many sessions this process stores itself.
    pub fn stored_sessions(&self) -> Option<usize> {
        match &self.mode {
            Mode::Embedded { store, .. } => Some(store.sessions()),
            Mode::Clustered { .. } => None,
        }
    }

    /// The live instances, as this one sees them.
    pub fn membership(&self) -> Option<&Arc<Membership>> {
        match &self.mode {
            Mode::Embedded { .. } => None,
            Mode::Clustered { membership, .. } => Some(membership),
        }
    }

    /// Gives up its partitions, so that other instances take them. The last instance is left
    /// with the entries that wait for the ledger.
    pub(super) async fn leave(&self) {
        let Mode::Clustered { membership, renewing, .. } = &self.mode else { return };
        renewing.finish(LEAVE_TIMEOUT).await;
        if let Err(away) = membership.leave().await {
            tracing::info!(error = chain(&away), "failed to give up the lease: it will expire");
        }
    }

    /// Drains the outbox to `ledger`, within `audit`: until `stop`, and then until it is empty.
    pub(super) fn audit(
        &self,
        ledger: &Arc<dyn Ledger>,
        clock: &Arc<dyn Clock>,
        audit: &Shutdown,
        stop: &CancellationToken,
    ) {
        for consumer in &self.consumers {
            let worker = Worker::new(Arc::clone(consumer), Arc::clone(ledger) as _, now_from(clock))
                .with_retries(self.retry_policy);
            let worker = worker.with_store(Arc::clone(&self.store) as _).with_fence(self.fence.clone());
            let drained = worker.run(stop.clone(), CancellationToken::new());
            audit.spawn("audit", async {
                drained.await;
            });
        }
    }

    /// Ends the tasks of the outbox. Returns whether the ledger holds everything.
    pub(super) async fn finish(&self) -> bool {
        self.tasks.finish(LEAVE_TIMEOUT).await;
        let left = self.outbox.backlog().await.unwrap_or_default();
        if left.entries > 0 {
            tracing::error!(entries = left.entries, "stopped before the ledger held everything");
        }
        left.entries == 0
    }

    /// The stop of each group of tasks.
    pub(super) fn stops(&self) -> Vec<&Shutdown> {
        match &self.mode {
            Mode::Embedded { .. } => vec![&self.tasks],
            Mode::Clustered { renewing, .. } => vec![&self.tasks, renewing],
        }
    }
}

/// Logs a change of store generation: once for all partitions.
async fn log_generation_changes(mut changes: watch::Receiver<u64>) {
    let mut logged = *changes.borrow_and_update();
    while changes.changed().await.is_ok() {
        sleep(GENERATION_GATHER_TIME).await;
        let count = *changes.borrow_and_update();
        let partitions = count - logged;
        tracing::warn!(partitions, "the store generation changed: Redis was restarted, replaced, restored or emptied");
        logged = count;
    }
}

fn member(clock: &Arc<dyn Clock>, work: Work) -> Member {
    Member {
        instance: InstanceId::new(Ids::Random.nonce()),
        formats: Formats { oldest: 1, newest: FORMAT },
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
