//! The source of the status feed: it asks the parts of this instance.

use std::sync::Arc;

use async_trait::async_trait;

use crate::app::readiness::Readiness;
use crate::clock::Clock;
use crate::fanout::Hub;
use crate::stream::status::StatusSource;
use crate::wire::status::InstanceStatus;

/// The parts of an instance that its status tells of.
pub struct InstanceParts {
    /// Its name among the instances.
    pub name: String,
    /// Whether store and ledger answer.
    pub readiness: Arc<Readiness>,
    /// Cluster time.
    pub clock: Arc<dyn Clock>,
    /// Its subscribers.
    pub hub: Arc<Hub>,
}

#[async_trait]
impl StatusSource for InstanceParts {
    async fn status(&self) -> InstanceStatus {
        let reachable = self.readiness.reachable().await;
        let subscribers = self.hub.subscribers_by_transport().into_iter();
        InstanceStatus {
            instance_id: self.name.clone(),
            store: reachable.store,
            ledger: reachable.ledger,
            uncertainty_ms: whole_ms(self.clock.uncertainty_ms()),
            subscribers: subscribers.map(|(transport, count)| (transport.label(), count)).collect(),
        }
    }
}

/// Rounded up, so that a small change is no news.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast keeps within the bounds of a u64")]
fn whole_ms(ms: f64) -> u64 {
    ms.ceil() as u64
}
