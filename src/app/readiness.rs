//! Whether the store and the ledger answer: one check serves every caller.
//!
//! Callers need no token. So a call costs next to nothing, however many there are, and a check
//! uses connections of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use crate::ledger::LedgerHealth;
use crate::store::SessionStore;

/// A check that began no longer ago is fresh.
const MAX_CHECK_AGE: Duration = Duration::from_millis(500);

/// How long a caller waits for a check, before it gets the last answer.
const CHECK_TIMEOUT: Duration = Duration::from_millis(500);

/// The same where no answer counts yet. Where the ledger does not decide, no caller waits longer
/// for it: probes give up after a second.
const FIRST_CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// An older answer does not count.
const MAX_ANSWER_AGE: Duration = Duration::from_secs(5);

/// What answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reachable {
    /// The store does.
    pub store: bool,
    /// The ledger does.
    pub ledger: bool,
}

#[derive(Debug, Clone, Copy)]
struct Check {
    began: Instant,
    is_answered: bool,
}

/// Checks the store and the ledger. Neither waits for the other: a silent ledger says nothing
/// about the store.
pub struct Readiness {
    store: Arc<dyn SessionStore>,
    ledger: Arc<dyn LedgerHealth>,
    store_probe: Probe,
    ledger_probe: Probe,
    /// No command is answered before the ledger has it.
    pub needs_ledger: bool,
    /// Whether the ledger took the last write: a full disk answers too.
    accepts_writes: Arc<AtomicBool>,
}

impl Readiness {
    /// Knows nothing yet.
    pub fn new(store: Arc<dyn SessionStore>, ledger: Arc<dyn LedgerHealth>, needs_ledger: bool) -> Self {
        Self {
            store,
            ledger,
            store_probe: Probe::new(FIRST_CHECK_TIMEOUT),
            ledger_probe: Probe::new(if needs_ledger { FIRST_CHECK_TIMEOUT } else { CHECK_TIMEOUT }),
            needs_ledger,
            accepts_writes: Arc::new(AtomicBool::new(true)),
        }
    }

    /// For the worker to set: whether the ledger takes writes.
    pub fn ledger_accepts_writes(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.accepts_writes)
    }

    /// Checks when a caller asks; runs until it is dropped. Without it nothing is known.
    pub async fn run(&self) {
        futures::join!(self.check_store(), self.check_ledger());
    }

    async fn check_store(&self) {
        loop {
            let began = self.store_probe.request().await;
            let is_answered = self.store.ping().await.is_ok();
            self.store_probe.publish(Check { began, is_answered });
        }
    }

    async fn check_ledger(&self) {
        loop {
            let began = self.ledger_probe.request().await;
            let is_answered = self.ledger.ping().await.is_ok();
            self.ledger_probe.publish(Check { began, is_answered });
        }
    }

    /// What answers now, or a moment ago.
    pub async fn reachable(&self) -> Reachable {
        let (store, ledger) = futures::join!(self.store_probe.is_answered(), self.ledger_probe.is_answered());
        Reachable { store, ledger: ledger && self.accepts_writes.load(Ordering::Relaxed) }
    }
}

/// Whether one of them answers, as far as is known.
struct Probe {
    wanted: Notify,
    last: watch::Sender<Option<Check>>,
    /// How long a caller waits while nothing is known.
    first_timeout: Duration,
}

impl Probe {
    fn new(first_timeout: Duration) -> Self {
        Self { wanted: Notify::new(), last: watch::Sender::new(None), first_timeout }
    }

    /// Returns when a caller asks, which begins a check.
    async fn request(&self) -> Instant {
        self.wanted.notified().await;
        Instant::now()
    }

    fn publish(&self, check: Check) {
        self.last.send_replace(Some(check));
    }

    async fn is_answered(&self) -> bool {
        let asked_at = Instant::now();
        let within = |check: &Option<Check>, age| check.filter(|check| check.began + age > asked_at);
        let mut last = self.last.subscribe();
        let known = *last.borrow_and_update();
        if let Some(fresh) = within(&known, MAX_CHECK_AGE) {
            return fresh.is_answered;
        }
        self.wanted.notify_one();
        let known = within(&known, MAX_ANSWER_AGE);
        let wait = if known.is_some() { CHECK_TIMEOUT } else { self.first_timeout };
        let checked = timeout(wait, last.wait_for(|check| within(check, MAX_CHECK_AGE).is_some())).await;
        let checked = checked.ok().and_then(|checked| *checked.ok()?);
        checked.or(known).is_some_and(|check| check.is_answered)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::AtomicUsize;

    use async_trait::async_trait;
    use futures::future::join_all;
    use tokio::time::advance;

    use super::*;
    use crate::domain::time::Timestamp;
    use crate::ledger;
    use crate::store::memory::MemoryStore;
    use crate::store::outbox::MemoryOutbox;

    /// Counts its pings, and may fall silent.
    #[derive(Default)]
    struct Pinged {
        times: AtomicUsize,
        is_silent: AtomicBool,
    }

    #[async_trait]
    impl LedgerHealth for Pinged {
        async fn ping(&self) -> Result<(), ledger::Error> {
            self.times.fetch_add(1, Ordering::Relaxed);
            if self.is_silent.load(Ordering::Relaxed) { pending().await } else { Ok(()) }
        }
    }

    fn readiness() -> (Arc<Readiness>, Arc<Pinged>) {
        let outbox = Arc::new(MemoryOutbox::new(1));
        let store = Arc::new(MemoryStore::new(Box::new(|_, _, _| ()), outbox, Timestamp::from_ms(0)));
        let ledger = Arc::new(Pinged::default());
        let readiness = Arc::new(Readiness::new(store, Arc::clone(&ledger) as _, false));
        let runs = Arc::clone(&readiness);
        tokio::spawn(async move { runs.run().await });
        (readiness, ledger)
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_share_one_check() {
        let (readiness, ledger) = readiness();
        let answers = join_all((0..1_000).map(|_| readiness.reachable())).await;
        assert!(answers.iter().all(|answer| answer.store && answer.ledger));
        assert_eq!(ledger.times.load(Ordering::Relaxed), 1);
        advance(MAX_CHECK_AGE).await;
        readiness.reachable().await;
        assert_eq!(ledger.times.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unanswered_check_leaves_the_last_answer_until_stale() {
        let (readiness, ledger) = readiness();
        assert!(readiness.reachable().await.ledger);
        ledger.is_silent.store(true, Ordering::Relaxed);
        advance(MAX_CHECK_AGE).await;
        let began = Instant::now();
        assert!(readiness.reachable().await.ledger);
        assert_eq!(began.elapsed(), CHECK_TIMEOUT);
        advance(MAX_ANSWER_AGE).await;
        let began = Instant::now();
        assert_eq!(readiness.reachable().await, Reachable { store: true, ledger: false });
        assert_eq!(began.elapsed(), CHECK_TIMEOUT);
    }
}
