//! Heartbeats: after an outage the ledger knows when it began.
//!
//! A heartbeat states since when its instance and the store have been up. So an outage of the
//! store counts as an outage of the service, and an outage of the ledger does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::Now;
use crate::domain::time::Timestamp;
use crate::ledger::{AuditSink, Error};
use crate::store::SessionStore;
use crate::telemetry::outage::{OutageLog, OutageTracker};

/// The longest time from the last heartbeat of an instance to its end.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

const LEDGER_TIMEOUT: Duration = Duration::from_secs(5);

static OUTAGE: OutageLog = OutageLog::new("ledger", "failed to record a heartbeat", "heartbeats are recorded again");

/// Records heartbeats of this instance and its store.
pub struct Heartbeat {
    /// Where heartbeats are recorded.
    pub ledger: Arc<dyn AuditSink>,
    /// The store, which must answer.
    pub store: Arc<dyn SessionStore>,
    /// The clock.
    pub now: Now,
    /// Whether the ledger recorded the last heartbeat, the only write that is certain to come.
    pub ledger_accepts_writes: Arc<AtomicBool>,
}

impl Heartbeat {
    /// Records a heartbeat now, every second, and once more on `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = interval(HEARTBEAT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut since, mut outage) = (None, OutageTracker::of(&OUTAGE));
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let error = self.beat(&mut since).await.err();
            self.ledger_accepts_writes.store(error.is_none(), Ordering::Relaxed);
            outage.record(error.as_ref());
        }
        let _ = self.beat(&mut since).await;
    }

    /// Nothing is recorded while the store is down; `since` begins anew after that.
    async fn beat(&self, since: &mut Option<Timestamp>) -> Result<(), Error> {
        if self.store.ping().await.is_err() {
            *since = None;
            return Ok(());
        }
        let now = (self.now)();
        let since = *since.get_or_insert(now);
        let timed_out = |elapsed| Err(Error::Unavailable(Box::new(elapsed)));
        timeout(LEDGER_TIMEOUT, self.ledger.heartbeat(since, now)).await.unwrap_or_else(timed_out)
    }
}
