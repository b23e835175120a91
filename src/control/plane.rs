//! Keeps what is in force up to date: read from the ledger, told of by leases.
//!
//! Whoever is told a newer revision reads the ledger on from its own. Every few seconds it reads
//! anyway, as a publication may be lost. After a lease has ended, all is read again before
//! anything counts as known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::copy::RedisCopy;
use super::current::Current;
use super::marker::Marker;
use crate::auth::{UNKNOWN, Validity};
use crate::domain::principal::Principal;
use crate::domain::time::Timestamp;
use crate::ledger;
use crate::ledger::Ledger;
use crate::ledger::control::ControlChanges;
use crate::membership::ControlNews;
use crate::store::Now;
use crate::telemetry::metrics;
use crate::telemetry::outage::{OutageLog, OutageTracker, chain};

/// Between two reads of the ledger, though nothing is told.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// The same without a lease, which would tell of changes.
const UNLEASED_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Between two attempts to read while nothing is known.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

static OUTAGE: OutageLog =
    OutageLog::new("control", "settings and revocations cannot be read", "settings and revocations are read again");

/// What instances share beside the ledger.
pub struct SharedControl {
    /// The copy in Redis.
    pub copy: RedisCopy,
    /// What the newest renewal of the lease told.
    pub news: watch::Receiver<ControlNews>,
    /// Tells a Redis that lost the copy from a new one.
    pub marker: Marker,
}

/// Settings and revocations in force on this instance.
pub struct ControlPlane {
    current: Current,
    ledger: Arc<dyn Ledger>,
    shared: Option<SharedControl>,
    now: Now,
    /// Counts sets of what may end streams, from 1: revocations and lists of addresses.
    revocations: AtomicU64,
    /// The same while it is known, else [`UNKNOWN`]: streams read it on each wake-up.
    generation: AtomicU64,
    changes: watch::Sender<u64>,
    /// Whether what is in force was read, and not only taken for nothing in a new deployment.
    is_read: AtomicBool,
    /// Held by whoever reads and applies.
    refreshing: Mutex<()>,
}

impl ControlPlane {
    /// Knows nothing until it [runs](Self::run). Without `shared`, no other process changes anything.
    pub fn new(ledger: Arc<dyn Ledger>, shared: Option<SharedControl>, now: Now) -> Self {
        Self {
            current: Current::default(),
            ledger,
            shared,
            now,
            revocations: AtomicU64::new(UNKNOWN),
            generation: AtomicU64::new(UNKNOWN),
            changes: watch::channel(UNKNOWN).0,
            is_read: AtomicBool::new(false),
            refreshing: Mutex::default(),
        }
    }

    /// What is in force.
    pub fn current(&self) -> &Current {
        &self.current
    }

    /// Keeps it up to date, until it is dropped.
    pub async fn run(&self) {
        let mut outage = OutageTracker::of(&OUTAGE);
        let mut news = self.shared.as_ref().map(|shared| shared.news.clone());
        let mut lease = None;
        loop {
            let told = news.as_mut().map(|news| *news.borrow_and_update());
            let is_new_lease = told.map(|told| told.lease) != lease;
            if is_new_lease && told.is_some() {
                self.set_known(false);
            }
            lease = told.map(|told| told.lease);
            let outcome = self.follow(told).await;
            outage.record(outcome.as_ref().err());
            let pause = match told {
                _ if self.generation() == UNKNOWN => RETRY_INTERVAL,
                Some(told) if !told.is_valid() || !self.is_read.load(Ordering::Acquire) => UNLEASED_POLL_INTERVAL,
                _ => POLL_INTERVAL,
            };
            match &mut news {
                // It ends early where there are news.
                Some(news) => drop(timeout(pause, self.newer(news, told.unwrap_or_default())).await),
                None => tokio::time::sleep(pause).await,
            }
        }
    }

    /// Returns once there is more than `known` that calls for a read: another lease, or another
    /// revision than that in force.
    async fn newer(&self, news: &mut watch::Receiver<ControlNews>, known: ControlNews) {
        let is_other =
            |told: &ControlNews| told.revision != known.revision && told.revision != Some(self.current.revision());
        let is_news = |told: &ControlNews| told.lease != known.lease || is_other(told);
        // Its sender lives as long as the membership.
        if news.wait_for(is_news).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads what is new, and publishes what Redis lacks.
    async fn follow(&self, told: Option<ControlNews>) -> Result<(), ledger::Error> {
        self.refresh().await?;
        if !self.is_read.load(Ordering::Acquire) {
            return Ok(());
        }
        let (Some(told), Some(shared)) = (told.filter(ControlNews::is_valid), &self.shared) else { return Ok(()) };
        let state = self.current.load();
        let published = match told.revision {
            Some(revision) if revision == state.revision => Ok(()),
            // It was read from the ledger after that was told: the copy is of another ledger.
            Some(revision) if revision > state.revision => shared.copy.replace(&state).await,
            _ => {
                shared
                    .copy
                    .publish(state.revision, &ControlChanges { is_whole: true, ..ControlChanges::default() }, &state)
                    .await
            }
        };
        if let Err(error) = published {
            tracing::debug!(
                error = chain(&error),
                "failed to publish settings and revocations: the next lease tries again"
            );
        }
        Ok(())
    }

    /// Reads what has changed in the ledger, so that what the caller has written is in force here.
    /// While the ledger is away, the copy in Redis stands in for it.
    pub async fn refresh(&self) -> Result<(), ledger::Error> {
        let _refreshing = self.refreshing.lock().await;
        let since = if self.generation() == UNKNOWN { 0 } else { self.current.revision() };
        match self.ledger.control_changes(since, (self.now)()).await {
            Ok(changes) => {
                self.apply(&changes);
                self.remember_read().await;
                self.publish(since, &changes).await;
                Ok(())
            }
            Err(away) => self.load_copy(away).await,
        }
    }

    /// Others are told by it; whoever does not hear reads the ledger some time.
    async fn publish(&self, since: u64, changes: &ControlChanges) {
        let Some(shared) = &self.shared else { return };
        let is_told = if changes.is_whole {
            shared.news.borrow().revision == Some(changes.revision)
        } else {
            changes.revision == since
        };
        if is_told {
            return;
        }
        if let Err(error) = shared.copy.publish(since, changes, &self.current.load()).await {
            tracing::debug!(error = chain(&error), "failed to publish a change: instances read it from the ledger");
        }
    }

    /// A copy that is older than what was known here is of no use: Redis went back.
    async fn load_copy(&self, away: ledger::Error) -> Result<(), ledger::Error> {
        let Some(shared) = &self.shared else { return Err(away) };
        let is_known = self.generation() != UNKNOWN;
        let told = *shared.news.borrow();
        match shared.copy.load().await {
            Ok(Some(copy)) if copy.revision >= self.current.revision() => {
                if !is_known || copy.revision > self.current.revision() {
                    self.apply(&copy);
                }
                self.remember_read().await;
                Ok(())
            }
            Ok(None) if self.is_new_deployment(&shared.marker).await => {
                if !is_known {
                    self.apply(&ControlChanges { is_whole: true, ..ControlChanges::default() });
                }
                Ok(())
            }
            // The lease tells that nothing has changed.
            _ if is_known && told.is_valid() && told.revision == Some(self.current.revision()) => Ok(()),
            _ => {
                self.set_known(self.is_alone());
                Err(away)
            }
        }
    }

    async fn remember_read(&self) {
        if !self.is_read.swap(true, Ordering::AcqRel)
            && let Some(shared) = &self.shared
        {
            shared.marker.set().await;
        }
    }

    /// Whether no instance with this data folder has ever read anything: then Redis has no copy
    /// because nothing was ever changed.
    async fn is_new_deployment(&self, marker: &Marker) -> bool {
        !self.is_read.load(Ordering::Acquire) && !marker.is_set().await
    }

    /// Whether no other process changes anything: what was known once is known on.
    fn is_alone(&self) -> bool {
        self.shared.is_none() && self.generation() != UNKNOWN
    }

    fn apply(&self, changes: &ControlChanges) {
        let applied = self.current.with(|state| state.apply(changes, (self.now)()));
        let count = applied.state.revocations();
        self.current.store(applied.state);
        metrics::set_cache_entries("revocations", count);
        if applied.may_end_streams || self.revocations.load(Ordering::Acquire) == UNKNOWN {
            self.revocations.fetch_add(1, Ordering::AcqRel);
        }
        self.set_known(true);
    }

    fn set_known(&self, is_known: bool) {
        let generation = if is_known { self.revocations.load(Ordering::Acquire) } else { UNKNOWN };
        self.generation.store(generation, Ordering::Release);
        metrics::set_control_revision(is_known.then(|| self.current.revision()));
        self.changes.send_if_modified(|known| std::mem::replace(known, generation) != generation);
    }
}

impl Validity for ControlPlane {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn is_revoked(&self, principal: &Principal, now: Timestamp) -> bool {
        self.current
            .with(|state| state.tenant(&principal.tenant).is_some_and(|tenant| tenant.is_revoked(principal, now)))
    }
}
