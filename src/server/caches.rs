//! Tells how full each cache of an instance is.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::live::Live;
use crate::app::sessions::Sessions;
use crate::auth::Authenticator;
use crate::fanout::Hub;
use crate::telemetry::metrics;

/// Between two looks: counting costs the caches a lock each.
const EVERY: Duration = Duration::from_secs(5);

/// What remembers something.
pub(super) struct Caches {
    pub sessions: Arc<Sessions>,
    pub authenticator: Arc<Authenticator>,
    pub hub: Arc<Hub>,
    pub live: Arc<Live>,
}

impl Caches {
    /// Tells again and again, until it is dropped.
    pub async fn run(self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tell();
        }
    }

    /// Tells once.
    pub fn tell(&self) {
        for (cache, entries) in self.sessions.cached() {
            metrics::cached(cache, entries);
        }
        metrics::cached("tokens", self.authenticator.cached());
        metrics::cached("topics", self.hub.watched());
        metrics::cached("warnings", self.hub.planned_warnings());
        if let Some(held) = self.live.held() {
            metrics::cached("stored_sessions", held);
        }
    }
}
