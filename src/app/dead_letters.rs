//! Keeps sessions in the store whose newest versions the ledger refused.
//!
//! Only the store and the dead letters have those versions. So the session is restored where
//! the store has lost it. It is released again, as any idle session, once an operator has made
//! the ledger take them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::error::Error;
use super::sessions::Sessions;
use crate::audit::dead_letters;
use crate::domain::chain::Link;
use crate::domain::id::SessionKey;
use crate::domain::session::Status;
use crate::ledger::Ledger;
use crate::membership::Ownership;
use crate::store::partition::Partition;
use crate::store::{Store, StoredSession};
use crate::telemetry::metrics;
use crate::telemetry::outage::{OutageLog, OutageTracker};

/// The most sessions with dead letters that are checked; the rest follow once some are resolved.
const MAX_SESSIONS: u32 = 10_000;

static OUTAGE: OutageLog = OutageLog::new("ledger", "dead letters cannot be checked", "dead letters are checked again");

/// Sessions with dead letters, and the newest letter of each.
type KnownLinks = BTreeMap<SessionKey, Link>;

/// Checks sessions with dead letters.
pub struct DeadLetters {
    /// Restores sessions.
    pub sessions: Arc<Sessions>,
    /// Must keep them.
    pub store: Arc<dyn Store>,
    /// Has the dead letters.
    pub ledger: Arc<dyn Ledger>,
    /// The partitions of this instance.
    pub ownership: Ownership,
    /// Between two checks.
    pub check_interval: Duration,
}

impl DeadLetters {
    /// Checks at once, and repeatedly until it is dropped.
    pub async fn run(self) {
        let (mut known, mut tracker) = (KnownLinks::new(), OutageTracker::of(&OUTAGE));
        let mut ticks = interval(self.check_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            tracker.record(self.check_all(&mut known).await.as_ref().err());
        }
    }

    async fn check_all(&self, known: &mut KnownLinks) -> Result<(), Error> {
        let dead = self.ledger.dead_letter_summary(MAX_SESSIONS).await?;
        let outcome = self.check_sessions(dead.sessions.into_iter().collect(), known).await;
        metrics::set_dead_letters(dead.letters);
        outcome
    }

    async fn check_sessions(&self, dead: BTreeSet<SessionKey>, known: &mut KnownLinks) -> Result<(), Error> {
        let resolved: Vec<SessionKey> = known.keys().filter(|key| !dead.contains(*key)).cloned().collect();
        for key in resolved {
            if let Some(link) = known.get(&key).filter(|_| self.is_ours(&key)) {
                self.release_recovered(&key, link).await?;
            }
            known.remove(&key);
        }
        for key in dead {
            self.check(key, known).await?;
        }
        Ok(())
    }

    fn is_ours(&self, key: &SessionKey) -> bool {
        self.ownership.roles().owner.contains(Partition::of(key))
    }

    /// Restores a session that the store has lost and whose newest version was refused.
    async fn check(&self, key: SessionKey, known: &mut KnownLinks) -> Result<(), Error> {
        let is_stored = !self.is_ours(&key) || self.find(&key).await?.is_some();
        if is_stored && known.contains_key(&key) {
            return Ok(());
        }
        let Some(letter) = self.ledger.dead_letters_of(&key).await?.into_iter().next() else { return Ok(()) };
        let link = letter.entry.link;
        if !is_stored && self.ledger.newest(&key).await?.map(|row| row.link.position) < Some(link.position) {
            self.restore(&key, !known.contains_key(&key)).await?;
        }
        known.insert(key, link);
        Ok(())
    }

    async fn find(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        Ok(self.store.read(key).await?.filter(|stored| !stored.needs_restore))
    }

    /// Restores one. A session that cannot be read is logged once, and must not block the others.
    async fn restore(&self, key: &SessionKey, is_first_attempt: bool) -> Result<(), Error> {
        match self.sessions.settle(key).await {
            Err(error @ Error::Unreadable(_)) if is_first_attempt => {
                tracing::error!(%error, session.id = %key.session, "a session with dead letters cannot be restored");
                Ok(())
            }
            Ok(_) | Err(Error::Unreadable(_) | Error::SessionNotFound | Error::Restoring | Error::Busy) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Releases a session whose letters the ledger took, or an operator dropped.
    async fn release_recovered(&self, key: &SessionKey, newest: &Link) -> Result<(), Error> {
        self.report_fork(key, newest).await?;
        let Some(stored) = self.find(key).await? else { return Ok(()) };
        let is_idle = stored.session.status != Status::Running && stored.session.due_at.is_none();
        let row = self.ledger.newest(key).await?;
        if is_idle && row.is_some_and(|row| row.link.digest() == stored.head) {
            self.store.release(key, stored.session.position).await?;
        }
        Ok(())
    }

    /// Reports a version that was recorded late, after the session went on without it and reused
    /// its number.
    async fn report_fork(&self, key: &SessionKey, newest: &Link) -> Result<(), Error> {
        if dead_letters::is_superseded(&*self.ledger, key, newest).await? {
            metrics::count_fork();
            tracing::error!(
                tenant.id = %key.tenant, session.id = %key.session, version = %newest.position,
                "fork: a session reused the numbers of dead-lettered versions"
            );
        }
        Ok(())
    }
}
