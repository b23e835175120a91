//! Whether Redis may throw away what it was given: asked at the start, and again and again,
//! as it can be told otherwise while it runs.
//!
//! An instance that finds this out stays ready: all of them find it out at once, and to stop
//! serving would lose everything now instead of something when Redis is full.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::redis::{Capacity, Redis};
use crate::telemetry::metrics;

/// How often it is asked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Asks again and again; runs until it is dropped. `may_evict` is whether that is wanted.
pub(super) async fn watch(redis: Arc<Redis>, may_evict: bool) {
    let (mut every, mut known) = (interval(CHECK_INTERVAL), may_evict);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        // One that does not answer says nothing of what it does when it is full.
        if let Ok(capacity) = redis.capacity().await {
            known = warn_if_changed(&capacity, known);
        }
    }
}

/// Whether it evicts; the log hears of a change.
fn warn_if_changed(capacity: &Capacity, known: bool) -> bool {
    let (policy, evicts) = (&capacity.policy, !capacity.keeps_all());
    metrics::set_store_evicts(evicts);
    match (known, evicts) {
        (false, true) => tracing::error!(
            policy,
            "Redis may throw sessions away when it is full: set its maxmemory-policy to noeviction"
        ),
        (true, false) => tracing::info!(policy, "Redis keeps all it is given"),
        _ => {}
    }
    evicts
}
