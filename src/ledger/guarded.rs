//! A ledger behind breakers: while it is away, who asks is told so at once.
//!
//! Requests are turned away in microseconds; the audit, which must not lose anything
//! and has time, waits for its turn instead. Reads and writes have a breaker each: a
//! disk that is full stops the one and not the other.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use super::mark::{Claim, Claimed};
use super::{
    Answered, DeadLetter, DeadSessions, Due, Error, Filter, HistoryRow, Ledger, Page, Presence, Recorded, Row,
    RunHistory,
};
use crate::breaker::{Breaker, Leave, Settings};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::telemetry::outage::chain;

/// A question that takes longer than this is not answered.
const READ_PATIENCE: Duration = Duration::from_secs(4);

/// The same for a write, whose batch may be large.
const WRITE_PATIENCE: Duration = Duration::from_secs(25);

/// How long the audit waits for its turn before it says that nobody answers.
const TURN_PATIENCE: Duration = Duration::from_secs(4);

/// A tenant asks a few things at once, and others of it wait for those: when all of them have
/// got no answer, the waiting must be told so.
fn settings() -> Settings {
    Settings { failures: 3, ..Settings::default() }
}

/// A ledger that is not asked while it does not answer. It may be opened later: until then
/// it does not.
pub struct Guarded {
    inner: OnceLock<Arc<dyn Ledger>>,
    /// Why it is not open yet.
    why: Mutex<String>,
    reads: Breaker,
    writes: Breaker,
}

impl Guarded {
    /// Puts breakers before `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Ledger>) -> Self {
        Self::with(inner, settings())
    }

    /// The same, with other spans.
    #[must_use]
    pub fn with(inner: Arc<dyn Ledger>, settings: Settings) -> Self {
        let guarded = Self::of(settings);
        guarded.open(inner);
        guarded
    }

    /// One that is away until it is [opened](Self::open).
    #[must_use]
    pub fn unopened() -> Self {
        Self::of(settings())
    }

    fn of(settings: Settings) -> Self {
        let (reads, writes) = (Breaker::new("ledger_reads", settings), Breaker::new("ledger_writes", settings));
        Self { inner: OnceLock::new(), why: Mutex::default(), reads, writes }
    }

    /// From now on `inner` is asked. What is open already stays.
    pub fn open(&self, inner: Arc<dyn Ledger>) {
        let _ = self.inner.set(inner);
    }

    /// It cannot be opened yet, and why: that counts as a question that nobody answers.
    pub fn missed(&self, why: &(dyn std::error::Error + 'static)) {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = chain(why);
        for breaker in [&self.reads, &self.writes] {
            if let Ok(leave) = breaker.enter() {
                leave.unanswered(why);
            }
        }
    }

    fn inner(&self) -> Result<&dyn Ledger, Error> {
        let why = || self.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.inner.get().map(AsRef::as_ref).ok_or_else(|| Error::Unavailable(why().into()))
    }

    /// What a request waits for.
    async fn ask<T>(&self, asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        answered(self.reads.enter()?, READ_PATIENCE, asking).await
    }

    /// What is written at once or not at all.
    async fn tell<T>(&self, telling: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        answered(self.writes.enter()?, WRITE_PATIENCE, telling).await
    }

    /// What must happen sooner or later.
    async fn insist<T>(&self, asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        answered(self.writes.wait(TURN_PATIENCE).await?, WRITE_PATIENCE, asking).await
    }
}

/// Who does not answer in time does not answer.
async fn answered<T>(
    leave: Leave<'_>,
    patience: Duration,
    asking: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let silent = || Err(Error::Unavailable(format!("no answer within {patience:?}").into()));
    let asking = async { timeout(patience, asking).await.unwrap_or_else(|_| silent()) };
    leave.with(asking, |error| matches!(error, Error::Unavailable(_))).await
}

#[async_trait]
impl Ledger for Guarded {
    async fn record(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        self.insist(async { self.inner()?.record(entries).await }).await
    }

    async fn newest(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        self.ask(async { self.inner()?.newest(key).await }).await
    }

    async fn version(&self, key: &SessionKey, version: u64) -> Result<Option<Row>, Error> {
        self.ask(async { self.inner()?.version(key, version).await }).await
    }

    async fn at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error> {
        self.ask(async { self.inner()?.at(key, at).await }).await
    }

    async fn history(&self, key: &SessionKey, after: Option<Position>, limit: u32) -> Result<Page<HistoryRow>, Error> {
        self.ask(async { self.inner()?.history(key, after, limit).await }).await
    }

    async fn sessions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Page<Row>, Error> {
        self.ask(async { self.inner()?.sessions(tenant, filter, after, limit).await }).await
    }

    async fn due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        self.ask(async { self.inner()?.due(after, until, limit).await }).await
    }

    async fn answered(&self, key: &SessionKey, since: Timestamp) -> Result<Vec<Answered>, Error> {
        self.ask(async { self.inner()?.answered(key, since).await }).await
    }

    async fn bury(&self, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error> {
        self.insist(async { self.inner()?.bury(entry, reason, at).await }).await
    }

    async fn dead_letters(&self, after: Option<&DeadLetter>, limit: u32) -> Result<Vec<DeadLetter>, Error> {
        self.ask(async { self.inner()?.dead_letters(after, limit).await }).await
    }

    async fn dead_of(&self, key: &SessionKey) -> Result<Vec<DeadLetter>, Error> {
        self.ask(async { self.inner()?.dead_of(key).await }).await
    }

    async fn first_dead(&self, key: &SessionKey, after: Option<Position>) -> Result<Option<Position>, Error> {
        self.ask(async { self.inner()?.first_dead(key, after).await }).await
    }

    async fn dead_sessions(&self, limit: u32) -> Result<DeadSessions, Error> {
        self.ask(async { self.inner()?.dead_sessions(limit).await }).await
    }

    async fn unbury(&self, entry: &Entry) -> Result<bool, Error> {
        self.tell(async { self.inner()?.unbury(entry).await }).await
    }

    /// Every second, so that it is also what finds that writing goes well again.
    async fn beat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        self.tell(async { self.inner()?.beat(since, at).await }).await
    }

    async fn presence(&self, began: Timestamp) -> Result<Presence, Error> {
        self.ask(async { self.inner()?.presence(began).await }).await
    }

    async fn open_run(&self, began: Timestamp) -> Result<(), Error> {
        self.tell(async { self.inner()?.open_run(began).await }).await
    }

    async fn close_run(&self, began: Timestamp, stopped: Timestamp) -> Result<(), Error> {
        self.tell(async { self.inner()?.close_run(began, stopped).await }).await
    }

    async fn runs(&self, before: Timestamp) -> Result<RunHistory, Error> {
        self.ask(async { self.inner()?.runs(before).await }).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, Error> {
        self.tell(async { self.inner()?.claim(claim).await }).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.ask(async { self.inner()?.ping().await }).await
    }

    async fn close(&self) {
        if let Ok(inner) = self.inner() {
            inner.close().await;
        }
    }
}
