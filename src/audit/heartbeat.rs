//! Proof of life: after an outage of everything, the ledger knows since when.
//!
//! Who beats says since when it has been there, and the store with it: an outage of the
//! store is one of everything, and one of the ledger is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::Now;
use crate::domain::time::Timestamp;
use crate::ledger::{Error, Ledger};
use crate::store::SessionStore;
use crate::telemetry::outage::{Outage, OutageTracker};

/// How far the last proof of life may be behind the end of an instance.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// A ledger that takes longer than this does not answer.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(5);

static OUTAGE: Outage = Outage::new("ledger", "failed to leave proof of life", "proof of life is left again");

/// What lives, and who is told.
pub struct Heartbeat {
    /// Who is told.
    pub ledger: Arc<dyn Ledger>,
    /// What must answer.
    pub store: Arc<dyn SessionStore>,
    /// Where now comes from.
    pub now: Now,
    /// Whether the ledger took the last proof of life: it is the only write that is sure to come.
    pub ledger_accepts_writes: Arc<AtomicBool>,
}

impl Heartbeat {
    /// Beats now, every second, and once more when told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut beats = interval(HEARTBEAT_INTERVAL);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut since, mut asker) = (None, OutageTracker::of(&OUTAGE));
        while stop.run_until_cancelled(beats.tick()).await.is_some() {
            let missed = self.beat(&mut since).await.err();
            self.ledger_accepts_writes.store(missed.is_none(), Ordering::Relaxed);
            asker.record(missed.as_ref());
        }
        let _ = self.beat(&mut since).await;
    }

    /// While the store is away nobody lives; who finds it again begins anew.
    async fn beat(&self, since: &mut Option<Timestamp>) -> Result<(), Error> {
        if self.store.ping().await.is_err() {
            *since = None;
            return Ok(());
        }
        let now = (self.now)();
        let since = *since.get_or_insert(now);
        let unanswered = |elapsed| Err(Error::Unavailable(Box::new(elapsed)));
        timeout(LEDGER_TIMEOUT, self.ledger.heartbeat(since, now)).await.unwrap_or_else(unanswered)
    }
}
