//! Where live sessions are, and what goes with them: in this process, or in the Redis
//! that all instances share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::reach::OUTBOX_BYTES;
use super::{Error, eviction, reach};
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
use crate::jobs::Pace;
use crate::ledger::Ledger;
use crate::members::redis::RedisLeases;
use crate::members::{Duties, Formats, InstanceId, Member, Membership, Spans, Work};
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
const PROBED_AGAIN: Duration = Duration::from_millis(500);

/// The only version of the settings there is.
const SETTINGS_VERSION: u64 = 1;

/// From one journey of what waits in Redis to the next, where nobody waits for it.
const GATHER: Duration = Duration::from_millis(50);

/// From the first partition that begins anew to the last: each is looked at within this time.
const LIVES_GATHER: Duration = Duration::from_secs(2);

/// How long who takes part in nothing any more may take to say so.
const GOODBYE: Duration = Duration::from_secs(1);

/// Live sessions, and what goes with them.
pub struct Live {
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// What was committed and is not in the ledger yet.
    pub outbox: Arc<dyn Outbox>,
    /// The same in parts, each for a consumer of its own.
    lanes: Vec<Arc<dyn Outbox>>,
    /// How it is brought to the ledger.
    pace: Pace,
    /// What is looked after here.
    pub duties: Duties,
    /// When the store began, where it ends with this process.
    pub embedded_since: Option<Timestamp>,
    /// Counts what the store may have lost.
    pub new_lives: watch::Receiver<u64>,
    /// Who watches, wherever.
    pub(super) audience: Arc<dyn Audience>,
    /// Closed while the ledger is another deployment's.
    pub(super) fence: Fence,
    place: Place,
    /// What must run until nothing is left for the ledger.
    running: Shutdown,
}

enum Place {
    Here { store: Arc<MemoryStore>, hub: MemoryHub },
    Shared { redis: Arc<Redis>, keys: Keys, membership: Arc<Membership>, renewing: Shutdown },
}

/// What waits in Redis outlives us, so it may wait until it is worth a journey: unless
/// answers wait for it.
fn pace(config: &Config) -> Pace {
    match config.durable {
        Durable::Always => Pace::default(),
        Durable::Flush => Pace { gather: GATHER, ..Pace::default() },
    }
}

/// A closure over a clock.
pub(super) fn now_of(clock: &Arc<dyn Clock>) -> Now {
    let clock = Arc::clone(clock);
    Arc::new(move || clock.now())
}

impl Live {
    /// In this process, or where `redis` leads; an instance that does `work` takes part.
    pub async fn start(
        config: &Config,
        redis: Option<Redis>,
        clock: &Arc<dyn Clock>,
        work: Work,
    ) -> Result<Self, Error> {
        match redis {
            None => Ok(Self::here(config, clock)),
            Some(redis) => Self::shared(config, redis, clock, work).await,
        }
    }

    fn here(config: &Config, clock: &Arc<dyn Clock>) -> Self {
        let bytes = usize::try_from(config.outbox_max_bytes.unwrap_or(OUTBOX_BYTES)).unwrap_or(usize::MAX);
        let (outbox, hub) = (Arc::new(MemoryOutbox::new(bytes)), MemoryHub::default());
        let announced = hub.clone();
        let announce = move |key, position, frames| announced.announce(&Message { key, position, frames });
        let began = clock.now();
        let watching = hub.clone();
        let store = MemoryStore::new(Box::new(announce), Arc::clone(&outbox), began);
        let store = Arc::new(store.with_watchers(Box::new(move |key| watching.has_listeners(key))));
        Self {
            store: Arc::clone(&store) as _,
            lanes: vec![Arc::clone(&outbox) as _],
            outbox,
            pace: Pace::default(),
            duties: Duties::All,
            embedded_since: Some(began),
            new_lives: watch::channel(0).1,
            audience: Arc::new(hub.clone()),
            fence: Fence::default(),
            place: Place::Here { store, hub },
            running: Shutdown::new(),
        }
    }

    async fn shared(config: &Config, redis: Redis, clock: &Arc<dyn Clock>, work: Work) -> Result<Self, Error> {
        let (idle, now) = (config.session_idle_ttl, now_of(clock));
        let keys = reach::keys(config);
        let store = Arc::new(RedisStore::new(redis.another().await?, keys.clone(), idle, Arc::clone(&now)));
        let spans = Spans { lease: config.spans.lease, renew: config.spans.renew };
        let leases = Arc::new(RedisLeases::new(redis.another().await?, keys.clone(), spans.lease));
        let membership = Arc::new(Membership::new(leases, member(clock, work), spans));
        let outbox = Arc::new(Box::pin(RedisOutbox::new(&redis, keys.clone(), membership.audited(), idle, now)).await?);
        let max_bytes = outbox_bytes(config, &redis).await?;
        let (running, renewing, fence) = (Shutdown::new(), Shutdown::new(), Fence::default());
        let settings = breaker::Settings { most: PROBED_AGAIN, ..breaker::Settings::default() };
        let (hears, renews) = (Arc::clone(&outbox), Arc::clone(&membership));
        until_stopped(&running, "outbox", async move { hears.run(max_bytes).await });
        let redis = Arc::new(redis);
        until_stopped(&running, "eviction", eviction::watch(Arc::clone(&redis), config.allow_eviction));
        until_stopped(&running, "store lives", tell_lives(store.new_lives()));
        until_stopped(&renewing, "membership", async move { renews.run().await });
        Ok(Self {
            new_lives: store.new_lives(),
            store: Arc::new(Guarded::new(store, settings).behind(fence.clone())),
            fence,
            lanes: outbox.lanes(),
            outbox,
            pace: pace(config),
            duties: Duties::Shared(Arc::clone(&membership)),
            audience: Arc::new(RedisAudience::new(redis.another().await?, keys.clone())),
            embedded_since: None,
            place: Place::Shared { redis, keys, membership, renewing },
            running,
        })
    }

    /// Where one more instance hears of writes.
    pub async fn ear(&self) -> Result<Arc<dyn Bus>, Error> {
        match &self.place {
            Place::Here { hub, .. } => Ok(Arc::new(hub.attach())),
            Place::Shared { redis, keys, .. } => {
                let bus = Arc::new(RedisBus::new(redis.another().await?, keys.clone()));
                let hears = Arc::clone(&bus);
                until_stopped(&self.running, "bus", async move { hears.run().await });
                Ok(bus)
            }
        }
    }

    /// Lets go of what nothing has happened to since then; gives how many are left. In
    /// Redis that happens by itself.
    #[must_use]
    pub fn evict(&self, idle_since: Timestamp) -> Option<usize> {
        match &self.place {
            Place::Here { store, .. } => Some(store.evict(idle_since)),
            Place::Shared { .. } => None,
        }
    }

    /// How many sessions this process holds itself.
    #[must_use]
    pub fn held(&self) -> Option<usize> {
        match &self.place {
            Place::Here { store, .. } => Some(store.sessions()),
            Place::Shared { .. } => None,
        }
    }

    /// Who takes part, as this instance sees it.
    #[must_use]
    pub fn membership(&self) -> Option<&Arc<Membership>> {
        match &self.place {
            Place::Here { .. } => None,
            Place::Shared { membership, .. } => Some(membership),
        }
    }

    /// Looks after nothing any more, so that others do; who is the last is left with
    /// what waits for the ledger.
    pub(super) async fn leave(&self) {
        let Place::Shared { membership, renewing, .. } = &self.place else { return };
        renewing.finish(GOODBYE).await;
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
        for lane in &self.lanes {
            let worker = Worker::new(Arc::clone(lane), Arc::clone(ledger), now_of(clock)).at_pace(self.pace);
            let worker = worker.keeping_in(Arc::clone(&self.store)).behind(self.fence.clone());
            let drained = worker.run(stop.clone(), CancellationToken::new());
            tasks.spawn("audit", async {
                drained.await;
            });
        }
    }

    /// Ends what ran until the last entry was recorded. Whether the ledger holds everything.
    pub(super) async fn finish(&self) -> bool {
        self.running.finish(GOODBYE).await;
        let left = self.outbox.backlog().await.unwrap_or_default();
        if left.entries > 0 {
            tracing::error!(entries = left.entries, "stopped before the ledger held everything");
        }
        left.entries == 0
    }

    /// Every stop there is.
    pub(super) fn stops(&self) -> Vec<&Shutdown> {
        match &self.place {
            Place::Here { .. } => vec![&self.running],
            Place::Shared { renewing, .. } => vec![&self.running, renewing],
        }
    }
}

/// Runs `task` until the stop begins.
pub(super) fn until_stopped(stop: &Shutdown, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    let soft = stop.soft();
    stop.spawn(name, async move {
        soft.run_until_cancelled(task).await;
    });
}

/// Says in the log that the store has gone back: once for all partitions that begin anew.
async fn tell_lives(mut lives: watch::Receiver<u64>) {
    let mut told = *lives.borrow_and_update();
    while lives.changed().await.is_ok() {
        sleep(LIVES_GATHER).await;
        let ended = *lives.borrow_and_update();
        let partitions = ended - told;
        tracing::warn!(partitions, "store lives have ended: Redis was restarted, replaced, restored or emptied");
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
        None => Ok(redis.capacity().await?.outbox_bytes().unwrap_or(OUTBOX_BYTES)),
    }
}
