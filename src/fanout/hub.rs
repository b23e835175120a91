//! All watched sessions of one instance.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;

use super::Settings;
use super::health::Health;
use super::shared::{HubParts, Shared};
use super::subscription::Subscription;
use super::tasks::{events, housekeeping, refresh, wake, warnings};
use super::topic::Effects;
use super::transport::Transport;
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::shutdown::Shutdown;

/// All watched sessions of one instance, and the tasks that serve them.
pub struct Hub {
    pub(super) shared: Arc<Shared>,
}

impl Hub {
    /// A hub and its tasks. They end once a stop has begun and the last subscriber has left.
    pub fn start(parts: HubParts, settings: Settings, shutdown: &Shutdown) -> Arc<Self> {
        let received = parts.bus.events();
        let shared = Arc::new(Shared::new(parts, settings));
        let (hub, done) = (Arc::new(Self { shared: Arc::clone(&shared) }), CancellationToken::new());
        spawn(shutdown, "fanout wake", &done, wake::run(Arc::clone(&shared)));
        spawn(shutdown, "fanout refresh", &done, refresh::run(Arc::clone(&shared)));
        spawn(shutdown, "fanout housekeeping", &done, housekeeping::run(Arc::clone(&shared)));
        spawn(shutdown, "fanout warnings", &done, warnings::run(Arc::clone(&shared)));
        if let Some(received) = received {
            spawn(shutdown, "fanout events", &done, events::run(Arc::clone(&shared), received));
        }
        let stopping = shutdown.soft();
        shutdown.spawn("fanout", async move {
            stopping.cancelled().await;
            shared.wait_no_subscribers().await;
            done.cancel();
        });
        hub
    }

    /// Watches a session from now on, or from `last` on if every later write is known here.
    pub fn subscribe(&self, key: &SessionKey, last: Option<Position>, transport: Transport) -> Subscription {
        Subscription::new(Arc::clone(&self.shared), key, last, transport)
    }

    /// Wakes every subscriber to look at something other than its session.
    pub fn wake_all(&self) {
        self.shared.all().iter().for_each(|topic| self.shared.apply(topic, Effects::WAKE));
    }

    /// Reads every watched session again: its state here may be outdated.
    pub fn invalidate_all(&self) {
        self.shared.invalidate_all();
    }

    /// Whether subscribers are known to see the newest state.
    pub fn health(&self) -> Health {
        self.shared.source_health.health()
    }

    /// How many subscriptions there are.
    pub fn subscribers(&self) -> usize {
        self.shared.subscribers()
    }

    /// How many subscriptions each transport has.
    pub fn subscribers_by_transport(&self) -> impl IntoIterator<Item = (Transport, usize)> + use<> {
        self.shared.subscriber_counts.all()
    }

    /// How many sessions this instance listens to, including those that linger without a subscriber.
    pub fn watched(&self) -> usize {
        self.shared.topics().len()
    }

    /// How many sessions have a planned warning.
    pub fn planned_warnings(&self) -> usize {
        self.shared.planned_warnings.load(Ordering::Relaxed)
    }
}

fn spawn(
    shutdown: &Shutdown,
    name: &'static str,
    done: &CancellationToken,
    task: impl Future<Output = ()> + Send + 'static,
) {
    let done = done.clone();
    shutdown.spawn(name, async move { done.run_until_cancelled(task).await.unwrap_or(()) });
}
