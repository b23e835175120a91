//! Reports how full each cache of an instance is.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::backend::Backend;
use crate::app::sessions::Sessions;
use crate::auth::Authenticator;
use crate::fanout::Hub;
use crate::limits::{CallerLimits, TenantQuotas};
use crate::telemetry::metrics;

/// Counting takes a lock of each cache.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// The owners of the caches.
pub(super) struct CacheMetrics {
    pub sessions: Arc<Sessions>,
    pub authenticator: Arc<Authenticator>,
    pub hub: Arc<Hub>,
    pub backend: Arc<Backend>,
    pub limits: (Arc<CallerLimits>, Arc<TenantQuotas>),
}

impl CacheMetrics {
    /// Reports at each interval, until it is dropped.
    pub async fn run(self) {
        let mut ticks = interval(REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.report();
        }
    }

    /// Reports once.
    pub fn report(&self) {
        for (cache, entries) in self.sessions.cache_sizes() {
            metrics::set_cache_entries(cache, entries);
        }
        metrics::set_cache_entries("tokens", self.authenticator.cached());
        metrics::set_cache_entries("topics", self.hub.watched());
        metrics::set_cache_entries("warnings", self.hub.planned_warnings());
        let (callers, tenants) = &self.limits;
        callers.report();
        metrics::set_cache_entries("tenant_quotas", tenants.len());
        if let Some(sessions) = self.backend.stored_sessions() {
            metrics::set_cache_entries("stored_sessions", sessions);
        }
    }
}
