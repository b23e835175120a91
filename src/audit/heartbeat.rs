//! Proof of life: after an outage of everything, the ledger knows since when.
//!
//! Who beats says since when it has been there, and the store with it: an outage of the
//! store is one of everything, and one of the ledger is none.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Now;
use crate::domain::time::Timestamp;
use crate::ledger::{Error, Ledger};
use crate::store::Store;

/// How far the last proof of life may be behind the end of an instance.
pub const BEAT: Duration = Duration::from_secs(1);

/// A ledger that takes longer than this does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What lives, and who is told.
pub struct Heartbeat {
    /// Who is told.
    pub ledger: Arc<dyn Ledger>,
    /// What must answer.
    pub store: Arc<dyn Store>,
    /// Where now comes from.
    pub now: Now,
}

impl Heartbeat {
    /// Beats now, every second, and once more when told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut since, mut was_missed) = (None, false);
        while stop.run_until_cancelled(beats.tick()).await.is_some() {
            let missed = self.beat(&mut since).await.err();
            // Once per outage: the worker that waits for the same ledger says so as well.
            if let Some(missed) = missed.as_ref().filter(|_| !was_missed) {
                warn!(error = missed as &dyn std::error::Error, "failed to leave proof of life");
            }
            was_missed = missed.is_some();
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
        timeout(PATIENCE, self.ledger.beat(since, now)).await.unwrap_or_else(unanswered)
    }
}
