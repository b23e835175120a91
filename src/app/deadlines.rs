//! Fires deadlines: settles and announces each expiry in time, though no caller reads it.
//!
//! The due set is polled with a lookahead; a writer announces a deadline inside it. A scheduled
//! deadline is a hint: shortly before its instant the session is read, and its own state
//! decides. Where many instances share the sessions, the owner of a partition reads ahead in
//! it. A second instance reads a little later for what the owner has left over. The store
//! lets only one of them write.
//!
//! No instance fires before the instant has certainly come, and none fires while its clock is
//! too uncertain.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Fuse, FusedFuture as _};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::error::Error;
use super::sessions::{DueHint, Sessions};
use crate::clock::Clock;
use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;
use crate::ledger::Ledger;
use crate::membership::Ownership;
use crate::store;
use crate::store::SessionStore;
use crate::store::partition::Partitions;
use crate::telemetry::metrics;
use crate::telemetry::outage::{LogThrottle, OutageLog, OutageTracker, chain};

/// How far ahead the due set is read.
const LOOKAHEAD_MS: i64 = 1_000;

/// How long after a deadline the second instance of a partition fires it.
const SECOND_OWNER_DELAY_MS: i64 = 300;

/// How long before its instant a session is read, so that only the write is left to do.
const READ_AHEAD_MS: i64 = 20;

/// The most due sessions that a poll reads; the next poll finds the rest.
const MAX_DUE: usize = 10_000;

/// The most sessions that settle at once.
const MAX_CONCURRENT_WRITES: usize = 64;

/// The most hints that wait here; the poll finds those that are dropped.
pub const HINT_CAPACITY: usize = 4_096;

static FIRE_FAILURES: LogThrottle = LogThrottle::new();
static DUE_SET_OUTAGE: OutageLog = OutageLog::new("store", "the due set cannot be read", "the due set is read again");
/// Fires deadlines.
pub struct Deadlines {
    /// Settles sessions.
    pub sessions: Arc<Sessions>,
    /// Has the due set.
    pub store: Arc<dyn SessionStore>,
    /// Has the sessions that the store lost.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The partitions of this instance.
    pub ownership: Ownership,
    /// Counts the generations of the store, each of which may have lost data.
    pub generation_changes: watch::Receiver<u64>,
    /// No deadline fires while the clock is less certain than that.
    pub max_uncertainty: Duration,
    /// Between two reads of the due set.
    pub poll_interval: Duration,
}

/// The deadlines within the lookahead; `None` while the clock is too uncertain.
type DueAhead = Result<Option<Vec<DueHint>>, store::Error>;

#[derive(Default)]
struct Schedule {
    due: BTreeSet<DueHint>,
    /// The instant of each in `due`.
    at: BTreeMap<SessionKey, Timestamp>,
    /// Deadlines that fire now. A poll finds each again until it is written.
    firing: BTreeSet<DueHint>,
}

impl Schedule {
    fn insert(&mut self, hint: DueHint) {
        if self.firing.contains(&hint) {
            return;
        }
        let (at, key) = hint;
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

    fn finish(&mut self, hint: &DueHint) {
        self.firing.remove(hint);
    }

    /// Forgets the deadlines that do not fire yet.
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
    pub async fn run(self, mut hints: mpsc::Receiver<DueHint>) {
        let mut schedule = Schedule::default();
        let mut settling = FuturesUnordered::new();
        let (mut poll, mut tracker) = (tokio::time::interval(self.poll_interval), OutageTracker::of(&DUE_SET_OUTAGE));
        // Deadlines fire while it is under way.
        let mut lookup: Fuse<BoxFuture<'_, DueAhead>> = Fuse::terminated();
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while settling.len() < MAX_CONCURRENT_WRITES
                && let Some(hint) = schedule.pop_due(self.certainly_past() + READ_AHEAD_MS)
            {
                settling.push(self.fire(hint).boxed());
            }
            let is_full = settling.len() >= MAX_CONCURRENT_WRITES;
            tokio::select! {
                // Always in this order, so that a run can be repeated: the rarest first.
                biased;
                _ = poll.tick(), if lookup.is_terminated() => lookup = self.look_ahead().boxed().fuse(),
                due = &mut lookup, if !lookup.is_terminated() => merge(&mut schedule, due, &mut tracker),
                Some(fired) = settling.next() => schedule.finish(&fired),
                Some(hint) = hints.recv() => self.add_hint(&mut schedule, hint),
                () = self.until_past(schedule.next_at() - READ_AHEAD_MS), if !is_full => {}
            }
        }
    }

    fn add_hint(&self, schedule: &mut Schedule, hint: DueHint) {
        if hint.0 <= self.clock.now() + LOOKAHEAD_MS {
            schedule.insert(hint);
        }
    }

    /// How far the clock may be wrong.
    #[expect(clippy::cast_possible_truncation, reason = "an uncertainty of centuries fires nothing anyway")]
    fn margin_ms(&self) -> i64 {
        self.clock.uncertainty_ms().ceil() as i64
    }

    /// The latest instant that has certainly passed everywhere.
    fn certainly_past(&self) -> Timestamp {
        self.clock.now() - self.margin_ms()
    }

    /// Returns once that instant has certainly come; the margin may grow while this waits.
    async fn until_past(&self, at: Timestamp) {
        while self.certainly_past() < at {
            self.clock.sleep_until(at + self.margin_ms()).await;
        }
    }

    async fn look_ahead(&self) -> DueAhead {
        if !self.clock.is_within(self.max_uncertainty) {
            return Ok(None);
        }
        let (roles, now) = (self.ownership.roles(), self.clock.now());
        let ahead = self.due(roles.owner, now + LOOKAHEAD_MS);
        let left_over = self.due(roles.second, now - SECOND_OWNER_DELAY_MS);
        let (ahead, left_over) = futures::try_join!(ahead, left_over)?;
        Ok(Some([ahead, left_over].concat()))
    }

    async fn due(&self, partitions: Partitions, until: Timestamp) -> Result<Vec<DueHint>, store::Error> {
        if partitions.is_empty() { Ok(Vec::new()) } else { self.store.due(partitions, until, MAX_DUE).await }
    }

    async fn fire(&self, (at, key): DueHint) -> DueHint {
        match self.sessions.settle_at(&key, at, self.until_past(at)).await {
            Ok(true) => metrics::record_deadline_lateness((self.clock.now_us() - at.as_ms() * 1_000).max(0)),
            // The deadline was moved, settled by a reader, or its session deleted.
            Ok(false) | Err(Error::SessionNotFound) => {}
            // The breaker has logged it already, once for all.
            Err(error) if error.retry_after().is_some() => {}
            Err(error) => {
                if let Some(deadlines) = FIRE_FAILURES.next() {
                    tracing::warn!(error = chain(&error), session.id = %key.session, deadlines, "a deadline could not be fired yet");
                }
            }
        }
        (at, key)
    }
}

/// Schedules what a poll found; clears the schedule while the clock is too uncertain.
fn merge(schedule: &mut Schedule, due: DueAhead, tracker: &mut OutageTracker<'_>) {
    tracker.record(due.as_ref().err());
    match due {
        Ok(Some(due)) => due.into_iter().for_each(|each| schedule.insert(each)),
        Ok(None) => schedule.clear(),
        Err(_) => {}
    }
}
