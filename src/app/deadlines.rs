//! Expiry is derived; this only sees to it that it is told in time.
//!
//! The due set is polled with a lookahead; who sets a deadline inside it says so.
//! What is scheduled here is a hint: when its time comes the session is read, and
//! its own state decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;

use super::error::Error;
use super::sessions::{Sessions, Soon};
use crate::clock::Clock;
use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;
use crate::ledger::{Due, Ledger};
use crate::store::Store;
use crate::store::partition::Partitions;
use crate::telemetry::metrics;

/// How far ahead the due set is read.
const LOOKAHEAD_MS: i64 = 1_000;

/// So many due sessions are read at a time; the rest is found by the next poll.
const BATCH: usize = 10_000;

/// So many settle at once.
const AT_ONCE: usize = 64;

/// So many hints wait here; the poll finds what is dropped.
pub const SOON_CAPACITY: usize = 4_096;

/// How often the ledger is asked for running sessions that nobody asks for.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// So many of them are taken back at a time.
const SWEEP_BATCH: u32 = 1_000;

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
    /// Between two looks at the due set.
    pub poll: Duration,
}

#[derive(Default)]
struct Schedule {
    due: BTreeSet<Soon>,
    /// At which instant each is in `due`.
    at: BTreeMap<SessionKey, Timestamp>,
}

impl Schedule {
    fn insert(&mut self, (at, key): Soon) {
        if let Some(before) = self.at.insert(key.clone(), at) {
            self.due.remove(&(before, key.clone()));
        }
        self.due.insert((at, key));
    }

    fn pop_due(&mut self, now: Timestamp) -> Option<Soon> {
        self.due.first().filter(|(at, _)| *at <= now)?;
        let first = self.due.pop_first()?;
        self.at.remove(&first.1);
        Some(first)
    }

    fn next_at(&self) -> Timestamp {
        self.due.first().map_or(Timestamp::NEVER, |(at, _)| *at)
    }
}

impl Deadlines {
    /// Runs until it is dropped.
    pub async fn run(self, mut soon: mpsc::Receiver<Soon>) {
        let mut schedule = Schedule::default();
        let mut settling = FuturesUnordered::new();
        let mut poll = tokio::time::interval(self.poll);
        loop {
            while settling.len() < AT_ONCE
                && let Some((at, key)) = schedule.pop_due(self.clock.now())
            {
                settling.push(self.tell(at, key).boxed());
            }
            let is_full = settling.len() >= AT_ONCE;
            tokio::select! {
                Some(()) = settling.next() => {}
                Some(hint) = soon.recv() => self.take(&mut schedule, hint),
                _ = poll.tick() => self.look_ahead(&mut schedule).await,
                () = self.clock.sleep_until(schedule.next_at()), if !is_full => {}
            }
        }
    }

    fn take(&self, schedule: &mut Schedule, hint: Soon) {
        if hint.0 <= self.clock.now() + LOOKAHEAD_MS {
            schedule.insert(hint);
        }
    }

    async fn look_ahead(&self, schedule: &mut Schedule) {
        match self.store.due(Partitions::ALL, self.clock.now() + LOOKAHEAD_MS, BATCH).await {
            Ok(due) => due.into_iter().for_each(|each| schedule.insert(each)),
            Err(error) => tracing::warn!(%error, "the due set cannot be read"),
        }
    }

    async fn tell(&self, at: Timestamp, key: SessionKey) {
        match self.sessions.settle(&key).await {
            Ok(true) => metrics::deadline_told((self.clock.now_us() - at.as_ms() * 1_000).max(0)),
            // It was moved, settled by a reader, or deleted meanwhile.
            Ok(false) | Err(Error::NoSession) => {}
            Err(error) => tracing::warn!(%error, session.id = %key.session, "a deadline is not told yet"),
        }
    }

    /// Takes back what is due and only the ledger knows; runs until it is dropped.
    pub async fn sweep(self: Arc<Self>) {
        let mut every = tokio::time::interval(SWEEP_EVERY);
        let mut swept = None;
        loop {
            every.tick().await;
            if let Err(error) = self.sweep_on(&mut swept).await {
                tracing::warn!(%error, "the ledger cannot be asked for sessions that are due");
            }
        }
    }

    /// What cannot be read must not stand in the way of the others.
    async fn take_back(&self, key: SessionKey) -> Result<(), Error> {
        match self.sessions.settle(&key).await {
            Err(error @ Error::Unreadable(_)) => {
                tracing::error!(%error, session.id = %key.session, "a session cannot be taken back");
                Ok(())
            }
            Ok(_) | Err(Error::NoSession) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes back what fell due since it was last asked. What was taken back is in
    /// the store, and the store tells of its deadlines itself.
    async fn sweep_on(&self, swept: &mut Option<Due>) -> Result<(), Error> {
        let now = self.clock.now();
        loop {
            let due = self.ledger.due(swept.as_ref(), now, SWEEP_BATCH).await?;
            let Some(last) = due.last().cloned() else { return Ok(()) };
            let mut settling = stream::iter(due).map(|(_, key)| self.take_back(key)).buffer_unordered(AT_ONCE);
            while let Some(taken) = settling.next().await {
                taken?;
            }
            drop(settling);
            *swept = Some(last);
        }
    }
}
