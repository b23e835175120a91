//! Restores due sessions that only the ledger has, so that their deadlines fire too.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use tokio::sync::watch;
use tokio::sync::watch::error::RecvError;
use tokio::time::sleep;

use super::deadlines::Deadlines;
use super::error::Error;
use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;
use crate::ledger::Due;
use crate::membership::Roles;
use crate::store::partition::Partition;
use crate::telemetry::outage::{OutageLog, OutageTracker};

/// How often the ledger is searched for due sessions that no caller reads.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// The same, after a search that failed.
const SWEEP_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The most of them that are restored at once, so that callers of others need not wait.
const MAX_CONCURRENT_RESTORES: usize = 16;

/// The most of them that one query gives.
const SWEEP_PAGE: u32 = 1_000;

/// The ledger lags behind. A deadline that passed less long ago is left to the store, which
/// nearly always has the session.
const SWEEP_LAG_MS: i64 = 2_000;

static SWEEP_OUTAGE: OutageLog =
    OutageLog::new("ledger", "due sessions cannot be restored", "due sessions are restored again");

impl Deadlines {
    /// Restores due sessions that only the ledger has; runs until it is dropped.
    ///
    /// A store that may have lost data gets back every session with a deadline, the soonest
    /// first, so that each fires in time though no caller reads it.
    pub async fn sweep(mut self) {
        let mut roles_changes = self.ownership.changes();
        // The store of a single process is empty at first.
        let mut until = if roles_changes.is_none() { Timestamp::NEVER } else { self.clock.now() };
        let mut tracker = OutageTracker::of(&SWEEP_OUTAGE);
        loop {
            // A restored session is settled as well, which needs a clock that is certain enough.
            while !self.clock.is_within(self.max_uncertainty) {
                sleep(SWEEP_RETRY_INTERVAL).await;
            }
            let outcome = self.sweep_until(until).await;
            let pause = if outcome.is_ok() { SWEEP_INTERVAL } else { SWEEP_RETRY_INTERVAL };
            tracker.record(outcome.as_ref().err());
            tokio::select! {
                biased;
                Ok(()) = self.generation_changes.changed() => until = Timestamp::NEVER,
                Ok(()) = changed(&mut roles_changes) => until = until.max(self.clock.now()),
                () = sleep(pause) => {
                    if outcome.is_ok() {
                        until = self.clock.now() - SWEEP_LAG_MS;
                    }
                }
            }
        }
    }

    /// Restores one. A session that cannot be read must not block the others.
    async fn restore_due(&self, key: SessionKey) -> Result<(), Error> {
        match self.sessions.settle(&key).await {
            Err(error @ Error::Unreadable(_)) => {
                tracing::error!(%error, session.id = %key.session, "a session cannot be restored");
                Ok(())
            }
            Ok(_) | Err(Error::SessionNotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Restores what is due by then in the partitions of this instance. A poll then finds the
    /// later deadlines of the restored sessions in the store.
    async fn sweep_until(&self, until: Timestamp) -> Result<(), Error> {
        let (mut swept, mut outcome): (Option<Due>, _) = (None, Ok(()));
        loop {
            let due = self.ledger.due(swept.as_ref(), until, SWEEP_PAGE).await?;
            let Some(last) = due.last().cloned() else { return outcome };
            let owned = self.ownership.roles().owner;
            let owned_due = due.into_iter().filter(|(_, key)| owned.contains(Partition::of(key)));
            let mut settling =
                stream::iter(owned_due).map(|(_, key)| self.restore_due(key)).buffer_unordered(MAX_CONCURRENT_RESTORES);
            while let Some(restored) = settling.next().await {
                match restored {
                    // One partition or tenant must wait; the others need not.
                    Err(Error::Restoring | Error::Busy) => outcome = restored,
                    restored => restored?,
                }
            }
            drop(settling);
            swept = Some(last);
        }
    }
}

/// Returns when the partitions of this instance have changed; never, where they cannot.
async fn changed(roles_changes: &mut Option<watch::Receiver<Roles>>) -> Result<(), RecvError> {
    match roles_changes {
        Some(roles_changes) => roles_changes.changed().await,
        None => std::future::pending().await,
    }
}
