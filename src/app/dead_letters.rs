//! Looks after sessions whose newest versions the ledger refused.
//!
//! Nobody but the store and the dead letters holds those versions. So the session is taken
//! back into the store where that has lost it, and is let go of again, as any idle one is,
//! once an operator had the ledger take them.

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
use crate::members::Ownership;
use crate::store::partition::Partition;
use crate::store::{Store, StoredSession};
use crate::telemetry::metrics;
use crate::telemetry::outage::{Outage, OutageTracker};

/// So many sessions with dead letters are looked after; the rest once some of these are mended.
const MAX_SESSIONS: u32 = 10_000;

static OUTAGE: Outage =
    Outage::new("ledger", "dead letters are not looked after", "dead letters are looked after again");

/// Sessions with dead letters, and the newest letter of each.
type KnownLinks = BTreeMap<SessionKey, Link>;

/// Who looks after them.
pub struct DeadLetters {
    /// What takes sessions back.
    pub sessions: Arc<Sessions>,
    /// What must keep them.
    pub store: Arc<dyn Store>,
    /// Where the dead letters are.
    pub ledger: Arc<dyn Ledger>,
    /// What is looked after here.
    pub duties: Ownership,
    /// Between two looks.
    pub every: Duration,
}

impl DeadLetters {
    /// Looks at once, and again and again until it is dropped.
    pub async fn run(self) {
        let (mut known, mut asker) = (KnownLinks::new(), OutageTracker::of(&OUTAGE));
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            asker.record(self.check_all(&mut known).await.as_ref().err());
        }
    }

    async fn check_all(&self, known: &mut KnownLinks) -> Result<(), Error> {
        let dead = self.ledger.dead_sessions(MAX_SESSIONS).await?;
        let looked_after = self.check_sessions(dead.sessions.into_iter().collect(), known).await;
        metrics::set_dead_letters(dead.letters);
        looked_after
    }

    async fn check_sessions(&self, dead: BTreeSet<SessionKey>, known: &mut KnownLinks) -> Result<(), Error> {
        let gone: Vec<SessionKey> = known.keys().filter(|key| !dead.contains(*key)).cloned().collect();
        for key in gone {
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
        self.duties.roles().owner.contains(Partition::of(key))
    }

    /// Takes it back, where the store has lost it and its newest version was refused.
    async fn check(&self, key: SessionKey, known: &mut KnownLinks) -> Result<(), Error> {
        let is_held = !self.is_ours(&key) || self.find(&key).await?.is_some();
        if is_held && known.contains_key(&key) {
            return Ok(());
        }
        let Some(letter) = self.ledger.dead_letters_of(&key).await?.into_iter().next() else { return Ok(()) };
        let link = letter.entry.link;
        if !is_held && self.ledger.newest(&key).await?.map(|row| row.link.position) < Some(link.position) {
            self.restore(&key, !known.contains_key(&key)).await?;
        }
        known.insert(key, link);
        Ok(())
    }

    async fn find(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        Ok(self.store.read(key).await?.filter(|held| !held.needs_restore))
    }

    /// One that cannot be read must not stand in the way of the others; that is said once.
    async fn restore(&self, key: &SessionKey, is_news: bool) -> Result<(), Error> {
        match self.sessions.settle(key).await {
            Err(error @ Error::Unreadable(_)) if is_news => {
                tracing::error!(%error, session.id = %key.session, "a session with dead letters cannot be taken back");
                Ok(())
            }
            Ok(_) | Err(Error::Unreadable(_) | Error::SessionNotFound | Error::Restoring | Error::Busy) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The ledger took its letters, or they were dropped.
    async fn release_recovered(&self, key: &SessionKey, newest: &Link) -> Result<(), Error> {
        self.report_fork(key, newest).await?;
        let Some(held) = self.find(key).await? else { return Ok(()) };
        let may_go = held.session.status != Status::Running && held.session.due_at.is_none();
        let row = self.ledger.newest(key).await?;
        if may_go && row.is_some_and(|row| row.link.digest() == held.head) {
            self.store.release(key, held.session.position).await?;
        }
        Ok(())
    }

    /// What was recorded late may find that the session went on without it, and gave its
    /// version numbers once more.
    async fn report_fork(&self, key: &SessionKey, newest: &Link) -> Result<(), Error> {
        if dead_letters::is_superseded(&*self.ledger, key, newest).await? {
            metrics::count_fork();
            tracing::error!(
                tenant.id = %key.tenant, session.id = %key.session, version = %newest.position,
                "a session went on without versions that were dead, and gave their numbers once more"
            );
        }
        Ok(())
    }
}
