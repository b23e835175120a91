//! All that is watched in one instance.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::health::{Health, SourceHealth};
use super::subscription::Subscription;
use super::tasks::{housekeeping, refresh, wake, warnings};
use super::topic::Topic;
use super::work_queue::WorkQueue;
use super::{Settings, Source};
use crate::bus::{Bus, BusEvent};
use crate::clock::Clock;
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::shutdown::Shutdown;
use crate::telemetry::metrics;

/// So many messages are taken from the bus at a time.
const MAX_EVENTS_PER_TURN: usize = 64;

/// What the hub stands on.
#[derive(Clone)]
pub struct HubParts {
    /// Where writes are heard of.
    pub bus: Arc<dyn Bus>,
    /// Where the truth is read.
    pub source: Arc<dyn Source>,
    /// When warnings are due.
    pub clock: Arc<dyn Clock>,
}

/// What topics and subscriptions share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Topics whose source is to be read, or who are to be forgotten.
    pub(super) refreshes: WorkQueue,
    /// Topics whose many subscribers are to be woken.
    pub(super) wakes: WorkQueue,
    /// Topics whose warnings may have changed.
    pub(super) warnings: WorkQueue,
    /// From hearing of a write to handing it to a subscriber.
    pub(super) lag: ::metrics::Histogram,
    subscribers: AtomicUsize,
    /// Sessions whose next warning is planned.
    pub(super) planned_warnings: AtomicUsize,
    /// Topics there have ever been.
    topics: AtomicU64,
    no_subscribers: Notify,
}

/// All that is watched in one instance, by whom, and who watches over it.
pub struct Hub {
    pub(super) parts: HubParts,
    pub(super) settings: Settings,
    pub(super) shared: Arc<Shared>,
    pub(super) source_health: SourceHealth,
    topics: Mutex<HashMap<SessionKey, Arc<Topic>>>,
}

impl Shared {
    fn new() -> Self {
        Self {
            refreshes: WorkQueue::default(),
            wakes: WorkQueue::default(),
            warnings: WorkQueue::default(),
            lag: ::metrics::histogram!(metrics::FANOUT_LAG_SECONDS),
            subscribers: AtomicUsize::new(0),
            planned_warnings: AtomicUsize::new(0),
            topics: AtomicU64::new(0),
            no_subscribers: Notify::new(),
        }
    }

    /// One more topic: its number.
    pub(super) fn next_topic_number(&self) -> u64 {
        self.topics.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn subscriber_joined(&self) {
        self.subscribers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn subscriber_left(&self) {
        if self.subscribers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.no_subscribers.notify_one();
        }
    }
}

impl Hub {
    /// A hub and its tasks. They end once a stop was asked for and nobody is left.
    #[must_use]
    pub fn start(parts: HubParts, settings: Settings, shutdown: &Shutdown) -> Arc<Self> {
        let ear = parts.bus.events();
        let (lines, topics, pulse) = (Arc::new(Shared::new()), Mutex::default(), SourceHealth::new());
        let hub = Arc::new(Self { parts, settings, shared: lines, source_health: pulse, topics });
        let done = CancellationToken::new();
        hub.spawn(shutdown, "fanout waves", &done, |hub| async move { wake::run(&hub.shared.wakes).await });
        hub.spawn(shutdown, "fanout reads", &done, |hub| async move { refresh::run(&hub).await });
        hub.spawn(shutdown, "fanout checks", &done, |hub| async move { housekeeping::run(&hub).await });
        hub.spawn(shutdown, "fanout warnings", &done, |hub| async move { warnings::run(&hub).await });
        if let Some(ear) = ear {
            hub.spawn(shutdown, "fanout ear", &done, |hub| async move { hub.receive_events(ear).await });
        }
        let (stopping, last) = (shutdown.soft(), Arc::clone(&hub));
        shutdown.spawn("fanout", async move {
            stopping.cancelled().await;
            last.wait_no_subscribers().await;
            done.cancel();
        });
        hub
    }

    fn spawn<F>(
        self: &Arc<Self>,
        shutdown: &Shutdown,
        name: &'static str,
        done: &CancellationToken,
        task: impl FnOnce(Arc<Self>) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (task, done) = (task(Arc::clone(self)), done.clone());
        shutdown.spawn(name, async move { done.run_until_cancelled(task).await.unwrap_or(()) });
    }

    /// Watches a session from now on, or from `last` on if everything since is known.
    /// `transport` is what the metrics call the way it goes on from here.
    #[must_use]
    pub fn subscribe(&self, key: &SessionKey, last: Option<Position>, transport: &'static str) -> Subscription {
        let (topic, slot) = {
            let mut topics = self.topics();
            let topic = topics.get(key).cloned().unwrap_or_else(|| self.watch(key, &mut topics));
            let slot = topic.join();
            (topic, slot)
        };
        Subscription::new(topic, Arc::clone(&self.shared), slot, last, transport)
    }

    fn watch(&self, key: &SessionKey, topics: &mut HashMap<SessionKey, Arc<Topic>>) -> Arc<Topic> {
        let topic = Arc::new(Topic::new(key.clone(), Arc::clone(&self.shared)));
        topics.insert(key.clone(), Arc::clone(&topic));
        topic
    }

    /// Wakes everyone who watches, to look at something that is not told here.
    pub fn refresh_stale(&self) {
        self.all().iter().for_each(Topic::wake);
    }

    /// Whether what subscribers are shown is known to be the newest.
    #[must_use]
    pub fn health(&self) -> Health {
        self.source_health.health()
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.shared.subscribers.load(Ordering::Relaxed)
    }

    /// How many sessions are listened to, those nobody watches any more included.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.topics().len()
    }

    /// How many sessions have a warning that is planned.
    #[must_use]
    pub fn planned_warnings(&self) -> usize {
        self.shared.planned_warnings.load(Ordering::Relaxed)
    }

    /// Subscribers come and go under this lock, so that nobody joins what is being forgotten.
    pub(super) fn topics(&self) -> MutexGuard<'_, HashMap<SessionKey, Arc<Topic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In the order they came, the same in every run.
    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        let mut all: Vec<_> = self.topics().values().cloned().collect();
        all.sort_unstable_by_key(|topic| topic.number);
        all
    }

    async fn wait_no_subscribers(&self) {
        while self.subscribers() > 0 {
            self.shared.no_subscribers.notified().await;
        }
    }

    async fn receive_events(&self, mut ear: mpsc::Receiver<BusEvent>) {
        let mut heard = Vec::with_capacity(MAX_EVENTS_PER_TURN);
        while ear.recv_many(&mut heard, MAX_EVENTS_PER_TURN).await > 0 {
            heard.drain(..).for_each(|heard| self.receive(heard));
            // A busy bus must not keep its worker from the subscribers.
            tokio::task::yield_now().await;
        }
    }

    fn receive(&self, heard: BusEvent) {
        match heard {
            BusEvent::Message(message) => {
                let topic = self.topics().get(&message.key).cloned();
                if let Some(topic) = topic {
                    topic.receive(&message, &self.settings);
                }
            }
            BusEvent::Gap => {
                ::metrics::counter!(metrics::GAPS_TOTAL).increment(1);
                self.invalidate_all();
            }
        }
    }

    /// Reads again whatever is watched: what is known here may not be so any more.
    pub fn invalidate_all(&self) {
        self.all().iter().for_each(Topic::invalidate);
    }
}
