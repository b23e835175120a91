//! A ledger behind breakers: while it is away, who asks is told so at once.
//!
//! Requests are turned away in microseconds; the audit, which must not lose anything
//! and has time, waits for its turn instead. Reads and writes have a breaker each: a
//! disk that is full stops the one and not the other.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use super::deployment::{Claim, Claimed};
use super::{
    DeadLetter, DeadSessions, Due, Error, Filter, Heartbeats, HistoryRow, IdempotencyRecord, Ledger, Page, Recorded,
    Row, RunHistory,
};
use crate::breaker::{Breaker, Permit, Settings};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::telemetry::outage::chain;

/// A question that takes longer than this is not answered.
const READ_TIMEOUT: Duration = Duration::from_secs(4);

/// The same for a write, whose batch may be large.
const WRITE_TIMEOUT: Duration = Duration::from_secs(25);

/// How long the audit waits for its turn before it says that nobody answers.
const BREAKER_WAIT_TIMEOUT: Duration = Duration::from_secs(4);

/// A tenant asks a few things at once, and others of it wait for those: when all of them have
/// got no answer, the waiting must be told so.
fn settings() -> Settings {
    Settings { failures: 3, ..Settings::default() }
}

/// A ledger that is not asked while it does not answer. It may be opened later: until then
/// it does not.
pub struct Instrumented {
    inner: OnceLock<Arc<dyn Ledger>>,
    /// Why it is not open yet.
    why: Mutex<String>,
    reads: Breaker,
    writes: Breaker,
}

impl Instrumented {
    /// Puts breakers before `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Ledger>) -> Self {
        Self::with(inner, settings())
    }

    /// The same, with other spans.
    #[must_use]
    pub fn with(inner: Arc<dyn Ledger>, settings: Settings) -> Self {
        let guarded = Self::of(settings);
        guarded.connected(inner);
        guarded
    }

    /// One that is away until it is [opened](Self::connected).
    #[must_use]
    pub fn disconnected() -> Self {
        Self::of(settings())
    }

    fn of(settings: Settings) -> Self {
        let (reads, writes) = (Breaker::new("ledger_reads", settings), Breaker::new("ledger_writes", settings));
        Self { inner: OnceLock::new(), why: Mutex::default(), reads, writes }
    }

    /// From now on `inner` is asked. What is open already stays.
    pub fn connected(&self, inner: Arc<dyn Ledger>) {
        let _ = self.inner.set(inner);
    }

    /// It cannot be opened yet, and why: that counts as a question that nobody answers.
    pub fn connect_failed(&self, why: &(dyn std::error::Error + 'static)) {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = chain(why);
        for breaker in [&self.reads, &self.writes] {
            if let Ok(leave) = breaker.acquire() {
                leave.failure(why);
            }
        }
    }

    fn inner(&self) -> Result<&dyn Ledger, Error> {
        let why = || self.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.inner.get().map(AsRef::as_ref).ok_or_else(|| Error::Unavailable(why().into()))
    }

    /// What a request waits for.
    async fn read<T>(&self, asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        with_timeout(self.reads.acquire()?, READ_TIMEOUT, asking).await
    }

    /// What is written at once or not at all.
    async fn write<T>(&self, telling: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        with_timeout(self.writes.acquire()?, WRITE_TIMEOUT, telling).await
    }

    /// What must happen sooner or later.
    async fn write_patiently<T>(&self, asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        with_timeout(self.writes.wait(BREAKER_WAIT_TIMEOUT).await?, WRITE_TIMEOUT, asking).await
    }
}

/// Who does not answer in time does not answer.
async fn with_timeout<T>(
    leave: Permit<'_>,
    patience: Duration,
    asking: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let silent = || Err(Error::Unavailable(format!("no answer within {patience:?}").into()));
    let asking = async { timeout(patience, asking).await.unwrap_or_else(|_| silent()) };
    leave.with(asking, |error| matches!(error, Error::Unavailable(_))).await
}

#[async_trait]
impl Ledger for Instrumented {
    async fn record(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        self.write_patiently(async { self.inner()?.record(entries).await }).await
    }

    async fn newest(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        self.read(async { self.inner()?.newest(key).await }).await
    }

    async fn version(&self, key: &SessionKey, version: u64) -> Result<Option<Row>, Error> {
        self.read(async { self.inner()?.version(key, version).await }).await
    }

    async fn at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error> {
        self.read(async { self.inner()?.at(key, at).await }).await
    }

    async fn history(&self, key: &SessionKey, after: Option<Position>, limit: u32) -> Result<Page<HistoryRow>, Error> {
        self.read(async { self.inner()?.history(key, after, limit).await }).await
    }

    async fn sessions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Page<Row>, Error> {
        self.read(async { self.inner()?.sessions(tenant, filter, after, limit).await }).await
    }

    async fn due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        self.read(async { self.inner()?.due(after, until, limit).await }).await
    }

    async fn idempotency_records(&self, key: &SessionKey, since: Timestamp) -> Result<Vec<IdempotencyRecord>, Error> {
        self.read(async { self.inner()?.idempotency_records(key, since).await }).await
    }

    async fn add_dead_letter(&self, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error> {
        self.write_patiently(async { self.inner()?.add_dead_letter(entry, reason, at).await }).await
    }

    async fn dead_letters(&self, after: Option<&DeadLetter>, limit: u32) -> Result<Vec<DeadLetter>, Error> {
        self.read(async { self.inner()?.dead_letters(after, limit).await }).await
    }

    async fn dead_letters_of(&self, key: &SessionKey) -> Result<Vec<DeadLetter>, Error> {
        self.read(async { self.inner()?.dead_letters_of(key).await }).await
    }

    async fn first_dead(&self, key: &SessionKey, after: Option<Position>) -> Result<Option<Position>, Error> {
        self.read(async { self.inner()?.first_dead(key, after).await }).await
    }

    async fn dead_sessions(&self, limit: u32) -> Result<DeadSessions, Error> {
        self.read(async { self.inner()?.dead_sessions(limit).await }).await
    }

    async fn remove_dead_letter(&self, entry: &Entry) -> Result<bool, Error> {
        self.write(async { self.inner()?.remove_dead_letter(entry).await }).await
    }

    /// Every second, so that it is also what finds that writing goes well again.
    async fn heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        self.write(async { self.inner()?.heartbeat(since, at).await }).await
    }

    async fn heartbeats(&self, began: Timestamp) -> Result<Heartbeats, Error> {
        self.read(async { self.inner()?.heartbeats(began).await }).await
    }

    async fn open_run(&self, began: Timestamp) -> Result<(), Error> {
        self.write(async { self.inner()?.open_run(began).await }).await
    }

    async fn close_run(&self, began: Timestamp, stopped: Timestamp) -> Result<(), Error> {
        self.write(async { self.inner()?.close_run(began, stopped).await }).await
    }

    async fn runs(&self, before: Timestamp) -> Result<RunHistory, Error> {
        self.read(async { self.inner()?.runs(before).await }).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, Error> {
        self.write(async { self.inner()?.claim(claim).await }).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.read(async { self.inner()?.ping().await }).await
    }

    async fn close(&self) {
        if let Ok(inner) = self.inner() {
            inner.close().await;
        }
    }
}
