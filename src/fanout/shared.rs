//! What the hub, its tasks and its subscriptions share.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use super::health::SourceHealth;
use super::lock::lock;
use super::topic::{Effects, Topic};
use super::transport::{SubscriberCounts, Transport};
use super::update::Update;
use super::work_queue::WorkQueue;
use super::{Settings, Source};
use crate::bus::Bus;
use crate::clock::Clock;
use crate::domain::id::SessionKey;
use crate::seal::{KeyScope, Sealing};
use crate::telemetry::metrics;

/// What the hub stands on.
#[derive(Clone)]
pub struct HubParts {
    /// Brings the writes of all instances.
    pub bus: Arc<dyn Bus>,
    /// Knows the newest state.
    pub source: Arc<dyn Source>,
    /// Says when warnings are due.
    pub clock: Arc<dyn Clock>,
    /// Seals what this instance says by itself.
    pub sealing: Sealing,
}

impl fmt::Debug for HubParts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HubParts").finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) parts: HubParts,
    pub(super) settings: Settings,
    pub(super) source_health: SourceHealth,
    /// Topics whose source must be read.
    pub(super) refreshes: WorkQueue<Arc<Topic>>,
    /// Topics with more subscribers to wake.
    pub(super) wakes: WorkQueue<Arc<Topic>>,
    /// Topics whose warnings must be planned anew.
    pub(super) replans: WorkQueue<Arc<Topic>>,
    /// From receiving a write to handing it to a subscriber.
    pub(super) lag: ::metrics::Histogram,
    /// Sessions with a planned warning.
    pub(super) planned_warnings: AtomicUsize,
    topics: Mutex<HashMap<SessionKey, Arc<Topic>>>,
    topics_created: AtomicU64,
    subscribers: AtomicUsize,
    pub(super) subscriber_counts: SubscriberCounts,
    no_subscribers: Notify,
}

impl Shared {
    pub(super) fn new(parts: HubParts, settings: Settings) -> Self {
        Self {
            parts,
            settings,
            source_health: SourceHealth::new(),
            refreshes: WorkQueue::new(),
            wakes: WorkQueue::new(),
            replans: WorkQueue::new(),
            lag: ::metrics::histogram!(metrics::FANOUT_LAG_SECONDS),
            planned_warnings: AtomicUsize::new(0),
            topics: Mutex::default(),
            topics_created: AtomicU64::new(0),
            subscribers: AtomicUsize::new(0),
            subscriber_counts: SubscriberCounts::default(),
            no_subscribers: Notify::new(),
        }
    }

    /// Subscribers join and topics are forgotten under this lock, so none joins a forgotten topic.
    pub(super) fn topics(&self) -> MutexGuard<'_, HashMap<SessionKey, Arc<Topic>>> {
        lock(&self.topics)
    }

    /// All topics in the order they were created, the same in every run.
    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        let mut all: Vec<_> = self.topics().values().cloned().collect();
        all.sort_unstable_by_key(|topic| topic.number);
        all
    }

    /// Adds a subscriber to the session's topic: the topic, and the subscriber's slot in its wake list.
    pub(super) fn join(&self, key: &SessionKey, transport: Transport) -> (Arc<Topic>, u32) {
        self.subscribers.fetch_add(1, Ordering::Relaxed);
        self.subscriber_counts.add(transport);
        let (topic, (wake_slot, effects)) = {
            let mut topics = self.topics();
            let topic = topics.get(key).cloned().unwrap_or_else(|| self.create(key, &mut topics));
            let joined = topic.join();
            (topic, joined)
        };
        self.apply(&topic, effects);
        (topic, wake_slot)
    }

    fn create(&self, key: &SessionKey, topics: &mut HashMap<SessionKey, Arc<Topic>>) -> Arc<Topic> {
        let topic = Arc::new(Topic::new(key.clone(), self.topics_created.fetch_add(1, Ordering::Relaxed)));
        topics.insert(key.clone(), Arc::clone(&topic));
        topic
    }

    pub(super) fn leave(&self, topic: &Topic, wake_slot: u32, transport: Transport) {
        topic.leave(wake_slot);
        self.subscriber_counts.remove(transport);
        if self.subscribers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.no_subscribers.notify_one();
        }
    }

    pub(super) fn subscribers(&self) -> usize {
        self.subscribers.load(Ordering::Relaxed)
    }

    pub(super) async fn wait_no_subscribers(&self) {
        while self.subscribers() > 0 {
            self.no_subscribers.notified().await;
        }
    }

    pub(super) fn apply(&self, topic: &Arc<Topic>, effects: Effects) {
        if effects.refresh {
            self.refreshes.push(Arc::clone(topic));
        }
        if effects.wake && topic.wake_list.wake() {
            self.wakes.push(Arc::clone(topic));
        }
        if effects.replan {
            self.replans.push(Arc::clone(topic));
        }
    }

    /// An update with its seal, if the tenant wants one and it has none yet: it was made here, or
    /// before sealing was turned on.
    pub(super) fn resealed(&self, topic: &Topic, update: &Update) -> Option<Update> {
        let (sealing, key) = (&self.parts.sealing, &topic.key);
        if !sealing.has_secret() || update.is_sealed() || !sealing.is_on(&key.tenant) {
            return None;
        }
        let epoch = update.position.or_else(|| topic.newest()).map(|position| position.epoch);
        let scope = epoch.map_or(KeyScope::Tenant(&key.tenant), |epoch| KeyScope::Session(key, epoch));
        sealing.reseal(scope, &update.frames).map(|frames| update.with_frames(frames))
    }

    /// Reads every watched session again.
    pub(super) fn invalidate_all(&self) {
        self.all().iter().for_each(|topic| self.apply(topic, topic.invalidate()));
    }
}
