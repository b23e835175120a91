//! Whether Redis may evict keys. It is checked repeatedly, because the policy can change while
//! Redis runs.
//!
//! An instance that finds this out stays ready: all instances find it out at once, and to stop
//! serving would lose everything now instead of something when Redis is full.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::redis::{Capacity, Redis};
use crate::telemetry::metrics;

/// How often Redis is asked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Runs until it is dropped. `may_evict` is whether the settings allow eviction.
pub(super) async fn watch(redis: Arc<Redis>, may_evict: bool) {
    let (mut ticks, mut known) = (interval(CHECK_INTERVAL), may_evict);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Without an answer the policy is as it was known.
        if let Ok(capacity) = redis.capacity().await {
            known = warn_if_changed(&capacity, known);
        }
    }
}

/// Returns whether it evicts, and logs a change.
fn warn_if_changed(capacity: &Capacity, known: bool) -> bool {
    let (policy, evicts) = (&capacity.policy, !capacity.keeps_all());
    metrics::set_store_evicts(evicts);
    match (known, evicts) {
        (false, true) => {
            tracing::error!(policy, "Redis may evict sessions when it is full: set its maxmemory-policy to noeviction");
        }
        (true, false) => tracing::info!(policy, "Redis evicts nothing"),
        _ => {}
    }
    evicts
}
