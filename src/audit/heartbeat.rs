//! Proof of life: after an outage of everything, the ledger knows since when.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Now;
use crate::ledger::{Error, Ledger};

/// How far the last proof of life may be behind the end of an instance.
pub const BEAT: Duration = Duration::from_secs(1);

/// A ledger that takes longer than this does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Beats now, every second, and once more when told to stop.
///
/// Whoever wants to know of an outage reads the last beat before this is started.
pub async fn run(ledger: Arc<dyn Ledger>, now: Now, stop: CancellationToken) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_missed = false;
    while stop.run_until_cancelled(beats.tick()).await.is_some() {
        let missed = beat(&*ledger, &now).await.err();
        // Once per outage: the worker that waits for the same ledger says so as well.
        if let Some(missed) = missed.as_ref().filter(|_| !was_missed) {
            warn!(error = missed as &dyn std::error::Error, "failed to leave proof of life");
        }
        was_missed = missed.is_some();
    }
    let _ = beat(&*ledger, &now).await;
}

async fn beat(ledger: &dyn Ledger, now: &Now) -> Result<(), Error> {
    let unanswered = |elapsed| Err(Error::Unavailable(Box::new(elapsed)));
    timeout(PATIENCE, ledger.beat(now())).await.unwrap_or_else(unanswered)
}
