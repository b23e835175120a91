//! Whether the store and the ledger answer: one check, and all who ask look at its answer.
//!
//! Anybody may ask, without a token. So asking costs next to nothing, however many do, and
//! a check asks over connections that nobody else uses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use crate::ledger::Ledger;
use crate::store::SessionStore;

/// A check that began no longer ago serves whoever asks now.
const MAX_CHECK_AGE: Duration = Duration::from_millis(500);

/// Who asks waits so long for a check, and is then told what the last one said.
const CHECK_TIMEOUT: Duration = Duration::from_millis(500);

/// The same for whoever asks before there was a check that still counts. Where the ledger does
/// not decide, nobody waits longer for it: probes give up after a second.
const FIRST_CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// What a check said so long ago does not count.
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

/// What answers, as far as is known. Neither of the two waits for the other: a ledger that is
/// silent says nothing of the store.
pub struct Readiness {
    store: Arc<dyn SessionStore>,
    ledger: Arc<dyn Ledger>,
    of_store: Probe,
    of_ledger: Probe,
    /// No command is answered before the ledger holds it.
    pub needs_ledger: bool,
    /// Whether the ledger took what was last written to it: a disk that is full answers too.
    is_taken: Arc<AtomicBool>,
}

impl Readiness {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(store: Arc<dyn SessionStore>, ledger: Arc<dyn Ledger>, needs_ledger: bool) -> Self {
        Self {
            store,
            ledger,
            of_store: Probe::new(FIRST_CHECK_TIMEOUT),
            of_ledger: Probe::new(if needs_ledger { FIRST_CHECK_TIMEOUT } else { CHECK_TIMEOUT }),
            needs_ledger,
            is_taken: Arc::new(AtomicBool::new(true)),
        }
    }

    /// To be told whether the ledger takes what is written to it.
    #[must_use]
    pub fn ledger_accepts_writes(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_taken)
    }

    /// Checks when somebody asks; runs until it is dropped. Without it nothing is known.
    pub async fn run(&self) {
        futures::join!(self.check_store(), self.check_ledger());
    }

    async fn check_store(&self) {
        loop {
            let began = self.of_store.request().await;
            let is_answered = self.store.ping().await.is_ok();
            self.of_store.tell(Check { began, is_answered });
        }
    }

    async fn check_ledger(&self) {
        loop {
            let began = self.of_ledger.request().await;
            let is_answered = self.ledger.ping().await.is_ok();
            self.of_ledger.tell(Check { began, is_answered });
        }
    }

    /// What answers now, or a moment ago.
    pub async fn reachable(&self) -> Reachable {
        let (store, ledger) = futures::join!(self.of_store.is_answered(), self.of_ledger.is_answered());
        Reachable { store, ledger: ledger && self.is_taken.load(Ordering::Relaxed) }
    }
}

/// Whether one of them answers, as far as is known.
struct Probe {
    wanted: Notify,
    last: watch::Sender<Option<Check>>,
    /// How long who asks waits while nothing is known.
    patience: Duration,
}

impl Probe {
    fn new(patience: Duration) -> Self {
        Self { wanted: Notify::new(), last: watch::Sender::new(None), patience }
    }

    /// Returns when somebody asks: then a check begins.
    async fn request(&self) -> Instant {
        self.wanted.notified().await;
        Instant::now()
    }

    fn tell(&self, check: Check) {
        self.last.send_replace(Some(check));
    }

    async fn is_answered(&self) -> bool {
        let asked_at = Instant::now();
        let is_within = |check: &Option<Check>, age| check.filter(|check| check.began + age > asked_at);
        let mut last = self.last.subscribe();
        let known = *last.borrow_and_update();
        if let Some(fresh) = is_within(&known, MAX_CHECK_AGE) {
            return fresh.is_answered;
        }
        self.wanted.notify_one();
        let known = is_within(&known, MAX_ANSWER_AGE);
        let patience = if known.is_some() { CHECK_TIMEOUT } else { self.patience };
        let checked = timeout(patience, last.wait_for(|check| is_within(check, MAX_CHECK_AGE).is_some())).await;
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
    use crate::domain::entry::{Entry, IdempotencyRecord};
    use crate::domain::id::{SessionId, SessionKey, TenantId};
    use crate::domain::position::Position;
    use crate::domain::time::Timestamp;
    use crate::ledger;
    use crate::ledger::deployment::{Claim, Claimed};
    use crate::ledger::run::RunHistory;
    use crate::ledger::{DeadLetter, DeadSessions, Due, Filter, Heartbeats, HistoryRow, Page, Recorded, Row};
    use crate::store::memory::MemoryStore;
    use crate::store::outbox::MemoryOutbox;

    /// Counts who asks whether it answers, and may fall silent.
    #[derive(Default)]
    struct Pinged {
        times: AtomicUsize,
        is_silent: AtomicBool,
    }

    #[async_trait]
    impl Ledger for Pinged {
        async fn ping(&self) -> Result<(), ledger::Error> {
            self.times.fetch_add(1, Ordering::Relaxed);
            if self.is_silent.load(Ordering::Relaxed) { pending().await } else { Ok(()) }
        }
        async fn record(&self, _: &[Arc<Entry>]) -> Result<Recorded, ledger::Error> {
            unreachable!()
        }
        async fn newest(&self, _: &SessionKey) -> Result<Option<Row>, ledger::Error> {
            unreachable!()
        }
        async fn version(&self, _: &SessionKey, _: u64) -> Result<Option<Row>, ledger::Error> {
            unreachable!()
        }
        async fn at(&self, _: &SessionKey, _: Timestamp) -> Result<Option<Row>, ledger::Error> {
            unreachable!()
        }
        async fn history(
            &self,
            _: &SessionKey,
            _: Option<Position>,
            _: u32,
        ) -> Result<Page<HistoryRow>, ledger::Error> {
            unreachable!()
        }
        async fn sessions(
            &self,
            _: &TenantId,
            _: &Filter,
            _: Option<&SessionId>,
            _: u32,
        ) -> Result<Page<Row>, ledger::Error> {
            unreachable!()
        }
        async fn due(&self, _: Option<&Due>, _: Timestamp, _: u32) -> Result<Vec<Due>, ledger::Error> {
            unreachable!()
        }
        async fn idempotency_records(
            &self,
            _: &SessionKey,
            _: Timestamp,
        ) -> Result<Vec<IdempotencyRecord>, ledger::Error> {
            unreachable!()
        }
        async fn open_run(&self, _: Timestamp) -> Result<(), ledger::Error> {
            unreachable!()
        }
        async fn close_run(&self, _: Timestamp, _: Timestamp) -> Result<(), ledger::Error> {
            unreachable!()
        }
        async fn runs(&self, _: Timestamp) -> Result<RunHistory, ledger::Error> {
            unreachable!()
        }
        async fn add_dead_letter(&self, _: &Entry, _: &str, _: Timestamp) -> Result<(), ledger::Error> {
            unreachable!()
        }
        async fn dead_letters(&self, _: Option<&DeadLetter>, _: u32) -> Result<Vec<DeadLetter>, ledger::Error> {
            unreachable!()
        }
        async fn dead_letters_of(&self, _: &SessionKey) -> Result<Vec<DeadLetter>, ledger::Error> {
            unreachable!()
        }
        async fn first_dead(&self, _: &SessionKey, _: Option<Position>) -> Result<Option<Position>, ledger::Error> {
            unreachable!()
        }
        async fn dead_sessions(&self, _: u32) -> Result<DeadSessions, ledger::Error> {
            unreachable!()
        }
        async fn remove_dead_letter(&self, _: &Entry) -> Result<bool, ledger::Error> {
            unreachable!()
        }
        async fn heartbeat(&self, _: Timestamp, _: Timestamp) -> Result<(), ledger::Error> {
            unreachable!()
        }
        async fn heartbeats(&self, _: Timestamp) -> Result<Heartbeats, ledger::Error> {
            unreachable!()
        }
        async fn claim(&self, _: &Claim) -> Result<Claimed, ledger::Error> {
            unreachable!()
        }
        async fn close(&self) {}
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
    async fn many_askers_share_one_check() {
        let (readiness, ledger) = readiness();
        let told = join_all((0..1_000).map(|_| readiness.reachable())).await;
        assert!(told.iter().all(|told| told.store && told.ledger));
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
