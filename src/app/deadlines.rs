//! Expiry is derived; this only sees to it that it is told in time.
//!
//! The due set is polled with a lookahead; who sets a deadline inside it says so.
//! What is scheduled here is a hint: shortly before its time comes the session is read,
//! and its own state decides. Where many instances share the sessions, the owner of a
//! partition looks ahead in it, and another looks a little later for what the owner
//! has left undone; the store sees to it that one of them writes.
//!
//! Nobody tells before the instant has come for certain, and whose clock is too
//! uncertain tells nothing.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Fuse, FusedFuture as _};
use futures::stream;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::watch::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, sleep};

use super::error::Error;
use super::sessions::{DueHint, Sessions};
use crate::clock::Clock;
use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;
use crate::ledger::{Due, Ledger};
use crate::members::{Ownership, Roles};
use crate::store;
use crate::store::Store;
use crate::store::partition::{Partition, Partitions};
use crate::telemetry::metrics;
use crate::telemetry::outage::{LogThrottle, Outage, OutageTracker, chain};

/// How far ahead the due set is read.
const LOOKAHEAD_MS: i64 = 1_000;

/// The owner of a partition has so long before another does its work.
const SECOND_OWNER_DELAY_MS: i64 = 300;

/// A session is read so long before its instant: then only the write is left to do.
const READ_AHEAD_MS: i64 = 20;

/// So many due sessions are read at a time; the rest is found by the next poll.
const MAX_DUE: usize = 10_000;

/// So many settle at once.
const MAX_CONCURRENT_WRITES: usize = 64;

/// So many hints wait here; the poll finds what is dropped.
pub const HINT_CAPACITY: usize = 4_096;

/// How often the ledger is asked for running sessions that nobody asks for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// The same, when it was asked in vain.
const SWEEP_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// So many of them are taken back at once, so that whoever asks for one is not kept waiting.
const MAX_CONCURRENT_RESTORES: usize = 16;

/// So many of them are looked for at a time.
const SWEEP_PAGE: u32 = 1_000;

/// The ledger hears of everything a little later. What fell due less long ago is left
/// to the store, which nearly always has it.
const SWEEP_LAG_MS: i64 = 2_000;

static FIRE_FAILURES: LogThrottle = LogThrottle::new();
static DUE_SET_OUTAGE: Outage = Outage::new("store", "the due set cannot be read", "the due set is read again");
static SWEEP_OUTAGE: Outage =
    Outage::new("ledger", "not all that is due was taken back", "all that is due was taken back");

/// Tells what happens by itself.
pub struct Deadlines {
    /// What settles.
    pub sessions: Arc<Sessions>,
    /// Where the due set is.
    pub store: Arc<dyn Store>,
    /// Where sessions are that the store lost.
    pub ledger: Arc<dyn Ledger>,
    /// Where now comes from.
    pub clock: Arc<dyn Clock>,
    /// What is looked after here.
    pub duties: Ownership,
    /// Counts what the store may have lost.
    pub generation_changes: watch::Receiver<u64>,
    /// Whose clock knows the time no better than that tells nothing.
    pub max_uncertainty: Duration,
    /// Between two looks at the due set.
    pub poll: Duration,
}

/// What is due before long; nothing, where the time is not known well enough.
type DueAhead = Result<Option<Vec<DueHint>>, store::Error>;

#[derive(Default)]
struct Schedule {
    due: BTreeSet<DueHint>,
    /// At which instant each is in `due`.
    at: BTreeMap<SessionKey, Timestamp>,
    /// What is being told. A poll finds it again as long as it is not written.
    firing: BTreeSet<DueHint>,
}

impl Schedule {
    fn insert(&mut self, soon: DueHint) {
        if self.firing.contains(&soon) {
            return;
        }
        let (at, key) = soon;
        if let Some(before) = self.at.insert(key.clone(), at) {
            self.due.remove(&(before, key.clone()));
        }
        self.due.insert((at, key));
    }

    fn pop_due(&mut self, now: Timestamp) -> Option<DueHint> {
        self.due.first().filter(|(at, _)| *at <= now)?;
        let first = self.due.pop_first()?;
        self.at.remove(&first.1);
        self.firing.insert(first.clone());
        Some(first)
    }

    fn finish(&mut self, soon: &DueHint) {
        self.firing.remove(soon);
    }

    /// Forgets what is to be told; what is being told is under way.
    fn clear(&mut self) {
        self.due.clear();
        self.at.clear();
    }

    fn next_at(&self) -> Timestamp {
        self.due.first().map_or(Timestamp::NEVER, |(at, _)| *at)
    }
}

impl Deadlines {
    /// Runs until it is dropped.
    pub async fn run(self, mut soon: mpsc::Receiver<DueHint>) {
        let mut schedule = Schedule::default();
        let mut settling = FuturesUnordered::new();
        let (mut poll, mut asker) = (tokio::time::interval(self.poll), OutageTracker::of(&DUE_SET_OUTAGE));
        // What is told meanwhile does not wait for it.
        let mut looking: Fuse<BoxFuture<'_, DueAhead>> = Fuse::terminated();
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while settling.len() < MAX_CONCURRENT_WRITES
                && let Some(soon) = schedule.pop_due(self.certainly_past() + READ_AHEAD_MS)
            {
                settling.push(self.fire(soon).boxed());
            }
            let is_full = settling.len() >= MAX_CONCURRENT_WRITES;
            tokio::select! {
                // In this order always, so that a run can be repeated: the rarest first.
                biased;
                _ = poll.tick(), if looking.is_terminated() => looking = self.look_ahead().boxed().fuse(),
                found = &mut looking, if !looking.is_terminated() => merge(&mut schedule, found, &mut asker),
                Some(told) = settling.next() => schedule.finish(&told),
                Some(hint) = soon.recv() => self.add_hint(&mut schedule, hint),
                () = self.until_past(schedule.next_at() - READ_AHEAD_MS), if !is_full => {}
            }
        }
    }

    fn add_hint(&self, schedule: &mut Schedule, hint: DueHint) {
        if hint.0 <= self.clock.now() + LOOKAHEAD_MS {
            schedule.insert(hint);
        }
    }

    /// So far the present may be from what the clock says.
    #[expect(clippy::cast_possible_truncation, reason = "an uncertainty of centuries fires nothing anyway")]
    fn margin_ms(&self) -> i64 {
        self.clock.uncertainty_ms().ceil() as i64
    }

    /// Everything before this has happened everywhere.
    fn certainly_past(&self) -> Timestamp {
        self.clock.now() - self.margin_ms()
    }

    /// Returns once that instant has come for certain; the margin may grow meanwhile.
    async fn until_past(&self, at: Timestamp) {
        while self.certainly_past() < at {
            self.clock.sleep_until(at + self.margin_ms()).await;
        }
    }

    async fn look_ahead(&self) -> DueAhead {
        if !self.clock.is_within(self.max_uncertainty) {
            return Ok(None);
        }
        let (roles, now) = (self.duties.roles(), self.clock.now());
        let ahead = self.due(roles.owner, now + LOOKAHEAD_MS);
        let left_undone = self.due(roles.second, now - SECOND_OWNER_DELAY_MS);
        let (ahead, left_undone) = futures::try_join!(ahead, left_undone)?;
        Ok(Some([ahead, left_undone].concat()))
    }

    async fn due(&self, partitions: Partitions, until: Timestamp) -> Result<Vec<DueHint>, store::Error> {
        if partitions.is_empty() { Ok(Vec::new()) } else { self.store.due(partitions, until, MAX_DUE).await }
    }

    async fn fire(&self, (at, key): DueHint) -> DueHint {
        match self.sessions.settle_at(&key, at, self.until_past(at)).await {
            Ok(true) => metrics::record_deadline_lateness((self.clock.now_us() - at.as_ms() * 1_000).max(0)),
            // It was moved, settled by a reader, or deleted meanwhile.
            Ok(false) | Err(Error::SessionNotFound) => {}
            // A breaker has said so already, once for all.
            Err(error) if error.retry_after().is_some() => {}
            Err(error) => {
                if let Some(deadlines) = FIRE_FAILURES.next() {
                    tracing::warn!(error = chain(&error), session.id = %key.session, deadlines, "a deadline is not told yet");
                }
            }
        }
        (at, key)
    }

    /// Takes back what is due and only the ledger knows; runs until it is dropped.
    ///
    /// A store that may have lost something is given back whatever will happen by itself,
    /// the soonest first, so that it is told in time though nobody asks.
    pub async fn sweep(mut self) {
        let mut shares = self.duties.changes();
        // A store of this process alone has just begun.
        let mut until = if shares.is_none() { Timestamp::NEVER } else { self.clock.now() };
        let mut asker = OutageTracker::of(&SWEEP_OUTAGE);
        loop {
            // What is taken back is settled as well, so the same holds as for telling.
            while !self.clock.is_within(self.max_uncertainty) {
                sleep(SWEEP_RETRY_INTERVAL).await;
            }
            let outcome = self.sweep_until(until).await;
            let pause = if outcome.is_ok() { SWEEP_INTERVAL } else { SWEEP_RETRY_INTERVAL };
            asker.record(outcome.as_ref().err());
            tokio::select! {
                biased;
                Ok(()) = self.generation_changes.changed() => until = Timestamp::NEVER,
                Ok(()) = changed(&mut shares) => until = until.max(self.clock.now()),
                () = sleep(pause) => {
                    if outcome.is_ok() {
                        until = self.clock.now() - SWEEP_LAG_MS;
                    }
                }
            }
        }
    }

    /// What cannot be read must not stand in the way of the others.
    async fn restore_due(&self, key: SessionKey) -> Result<(), Error> {
        match self.sessions.settle(&key).await {
            Err(error @ Error::Unreadable(_)) => {
                tracing::error!(%error, session.id = %key.session, "a session cannot be taken back");
                Ok(())
            }
            Ok(_) | Err(Error::SessionNotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes back what is due by then, of what is looked after here. What was taken back
    /// is in the store, and the store tells of its deadlines itself.
    async fn sweep_until(&self, until: Timestamp) -> Result<(), Error> {
        let (mut swept, mut outcome): (Option<Due>, _) = (None, Ok(()));
        loop {
            let due = self.ledger.due(swept.as_ref(), until, SWEEP_PAGE).await?;
            let Some(last) = due.last().cloned() else { return outcome };
            let owned = self.duties.roles().owner;
            let ours = due.into_iter().filter(|(_, key)| owned.contains(Partition::of(key)));
            let mut settling =
                stream::iter(ours).map(|(_, key)| self.restore_due(key)).buffer_unordered(MAX_CONCURRENT_RESTORES);
            while let Some(taken) = settling.next().await {
                match taken {
                    // One partition's or tenant's turn is to come; the others need not wait for it.
                    Err(Error::Restoring | Error::Busy) => outcome = taken,
                    taken => taken?,
                }
            }
            drop(settling);
            swept = Some(last);
        }
    }
}

/// What was found is scheduled; whose clock is too uncertain tells nothing.
fn merge(schedule: &mut Schedule, found: DueAhead, asker: &mut OutageTracker<'_>) {
    asker.record(found.as_ref().err());
    match found {
        Ok(Some(due)) => due.into_iter().for_each(|each| schedule.insert(each)),
        Ok(None) => schedule.clear(),
        Err(_) => {}
    }
}

/// Returns when the share has become another one; never, where there are no shares.
async fn changed(shares: &mut Option<watch::Receiver<Roles>>) -> Result<(), RecvError> {
    match shares {
        Some(shares) => shares.changed().await,
        None => std::future::pending().await,
    }
}
