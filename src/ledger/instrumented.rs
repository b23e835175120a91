//! A ledger that is measured, and behind breakers where it is a server.
//!
//! While a server is away, a breaker refuses requests in microseconds. The audit has time and
//! must not lose anything, so it waits for the breaker instead. Reads and writes have a breaker
//! each: a full disk stops writes only.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::control::{
    ControlChanges, ControlLedger, RevocationOutcome, RevocationRequest, SecurityFilter, SecurityRow, SettingRow,
    SettingsChange, SettingsOutcome,
};
use super::deployment::{Claim, ClaimOutcome};
use super::{
    AuditSink, DeadLetter, DeadLetterSummary, Due, Error, Filter, Heartbeats, HistoryRow, IdempotencyRecord, Ledger,
    LedgerHealth, Page, Recorded, Row, RunHistory,
};
use crate::breaker::{Breaker, Permit, Settings};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::revocation::Revocation;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics::LEDGER_OPERATION_DURATION_SECONDS;
use crate::telemetry::outage::chain;

/// A read that takes longer has failed.
const READ_TIMEOUT: Duration = Duration::from_secs(4);

/// The same for a write, whose batch may be large.
const WRITE_TIMEOUT: Duration = Duration::from_secs(25);

/// How long the audit waits for the breaker before it counts the ledger as unavailable.
const BREAKER_WAIT_TIMEOUT: Duration = Duration::from_secs(4);

/// An operation that has not begun, or why it cannot.
type LedgerCall<'a, T> = Result<BoxFuture<'a, Result<T, Error>>, Error>;

/// A tenant has few questions under way, and its others wait for those. Once all of them have
/// failed, the others must be refused.
fn settings() -> Settings {
    Settings { failures: 3, ..Settings::default() }
}

/// A ledger whose operations are measured. It may be connected later: until then it is
/// unavailable.
pub struct Instrumented {
    backend: &'static str,
    inner: OnceLock<Arc<dyn Ledger>>,
    connect_error: Mutex<String>,
    breakers: Option<Breakers>,
}

struct Breakers {
    reads: Breaker,
    writes: Breaker,
}

impl Breakers {
    fn new(settings: Settings) -> Self {
        Self { reads: Breaker::new("ledger_reads", settings), writes: Breaker::new("ledger_writes", settings) }
    }
}

impl Instrumented {
    /// Puts breakers before `inner`; `backend` is its name in the metric.
    pub fn new(backend: &'static str, inner: Arc<dyn Ledger>) -> Self {
        Self::with(backend, inner, settings())
    }

    /// The same, with other breaker settings.
    pub fn with(backend: &'static str, inner: Arc<dyn Ledger>, settings: Settings) -> Self {
        let instrumented = Self::of(backend, Some(Breakers::new(settings)));
        instrumented.connected(inner);
        instrumented
    }

    /// Measures `inner` only: a file needs no breaker.
    pub fn without_breakers(backend: &'static str, inner: Arc<dyn Ledger>) -> Self {
        let instrumented = Self::of(backend, None);
        instrumented.connected(inner);
        instrumented
    }

    /// Unavailable until it is [connected](Self::connected).
    pub fn disconnected(backend: &'static str) -> Self {
        Self::of(backend, Some(Breakers::new(settings())))
    }

    fn of(backend: &'static str, breakers: Option<Breakers>) -> Self {
        Self { backend, inner: OnceLock::new(), connect_error: Mutex::default(), breakers }
    }

    /// Uses `inner` from now on, unless it is connected already.
    pub fn connected(&self, inner: Arc<dyn Ledger>) {
        let _ = self.inner.set(inner);
    }

    /// Records why it cannot be connected yet. That counts as a failure for each breaker.
    pub fn connect_failed(&self, error: &(dyn std::error::Error + 'static)) {
        *self.connect_error.lock() = chain(error);
        for breaker in self.breakers.iter().flat_map(|Breakers { reads, writes }| [reads, writes]) {
            if let Ok(permit) = breaker.acquire() {
                permit.failure(error);
            }
        }
    }

    fn inner(&self) -> Result<&dyn Ledger, Error> {
        let error = || self.connect_error.lock().clone();
        self.inner.get().map(AsRef::as_ref).ok_or_else(|| Error::Unavailable(error().into()))
    }

    /// For requests: refused at once while the breaker is open.
    async fn read<T>(&self, operation: &'static str, work: LedgerCall<'_, T>) -> Result<T, Error> {
        let permit = self.breakers.as_ref().map(|breakers| breakers.reads.acquire()).transpose()?;
        with_timeout(permit, READ_TIMEOUT, self.measure(operation, work)).await
    }

    /// The same for writes that happen at once or not at all.
    async fn write<T>(&self, operation: &'static str, work: LedgerCall<'_, T>) -> Result<T, Error> {
        let permit = self.breakers.as_ref().map(|breakers| breakers.writes.acquire()).transpose()?;
        with_timeout(permit, WRITE_TIMEOUT, self.measure(operation, work)).await
    }

    /// For writes that must happen sooner or later.
    async fn write_patiently<T>(&self, operation: &'static str, work: LedgerCall<'_, T>) -> Result<T, Error> {
        let permit = match &self.breakers {
            Some(breakers) => Some(breakers.writes.wait(BREAKER_WAIT_TIMEOUT).await?),
            None => None,
        };
        with_timeout(permit, WRITE_TIMEOUT, self.measure(operation, work)).await
    }

    /// Measures an operation that ends, whatever its result.
    async fn measure<T>(&self, operation: &'static str, work: LedgerCall<'_, T>) -> Result<T, Error> {
        let (work, began) = (work?, Instant::now());
        let result = work.await;
        metrics::histogram!(LEDGER_OPERATION_DURATION_SECONDS, "operation" => operation, "backend" => self.backend)
            .record(began.elapsed());
        result
    }
}

async fn with_timeout<T>(
    permit: Option<Permit<'_>>,
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(permit) = permit else { return work.await };
    let no_answer = || Err(Error::Unavailable(format!("no answer within {limit:?}").into()));
    let work = async { timeout(limit, work).await.unwrap_or_else(|_| no_answer()) };
    permit.with(work, |error| matches!(error, Error::Unavailable(_))).await
}

#[async_trait]
impl AuditSink for Instrumented {
    async fn record(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        self.write_patiently("record", self.inner().map(|ledger| ledger.record(entries))).await
    }

    async fn add_dead_letter(&self, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error> {
        self.write_patiently("add_dead_letter", self.inner().map(|ledger| ledger.add_dead_letter(entry, reason, at)))
            .await
    }

    /// Every second, so that it is also what finds that writing goes well again.
    async fn heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        self.write("heartbeat", self.inner().map(|ledger| ledger.heartbeat(since, at))).await
    }
}

#[async_trait]
impl LedgerHealth for Instrumented {
    async fn ping(&self) -> Result<(), Error> {
        self.read("ping", self.inner().map(LedgerHealth::ping)).await
    }
}

#[async_trait]
impl ControlLedger for Instrumented {
    async fn control_revision(&self) -> Result<u64, Error> {
        self.read("control_revision", self.inner().map(ControlLedger::control_revision)).await
    }

    async fn control_changes(&self, since: u64, now: Timestamp) -> Result<ControlChanges, Error> {
        self.read("control_changes", self.inner().map(|ledger| ledger.control_changes(since, now))).await
    }

    async fn tenant_settings(&self, tenant: &TenantId) -> Result<Vec<SettingRow>, Error> {
        self.read("tenant_settings", self.inner().map(|ledger| ledger.tenant_settings(tenant))).await
    }

    async fn change_settings(&self, change: &SettingsChange) -> Result<SettingsOutcome, Error> {
        self.write("change_settings", self.inner().map(|ledger| ledger.change_settings(change))).await
    }

    async fn add_revocation(&self, request: &RevocationRequest) -> Result<RevocationOutcome, Error> {
        self.write("add_revocation", self.inner().map(|ledger| ledger.add_revocation(request))).await
    }

    async fn remove_revocation(&self, tenant: &TenantId, id: &str, at: Timestamp) -> Result<Option<u64>, Error> {
        self.write("remove_revocation", self.inner().map(|ledger| ledger.remove_revocation(tenant, id, at))).await
    }

    async fn revocations(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Page<Revocation>, Error> {
        self.read("revocations", self.inner().map(|ledger| ledger.revocations(tenant, after, now, limit))).await
    }

    async fn add_security_events(&self, events: &[SecurityRow]) -> Result<(), Error> {
        self.write("add_security_events", self.inner().map(|ledger| ledger.add_security_events(events))).await
    }

    async fn security_events(
        &self,
        tenant: &TenantId,
        filter: &SecurityFilter,
        limit: u32,
    ) -> Result<Page<SecurityRow>, Error> {
        self.read("security_events", self.inner().map(|ledger| ledger.security_events(tenant, filter, limit))).await
    }

    async fn forget_security_events(&self, before: Timestamp) -> Result<u64, Error> {
        self.write("forget_security_events", self.inner().map(|ledger| ledger.forget_security_events(before))).await
    }
}

#[async_trait]
impl Ledger for Instrumented {
    async fn newest(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        self.read("newest", self.inner().map(|ledger| ledger.newest(key))).await
    }

    async fn version(&self, key: &SessionKey, version: u64) -> Result<Option<Row>, Error> {
        self.read("version", self.inner().map(|ledger| ledger.version(key, version))).await
    }

    async fn at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error> {
        self.read("at", self.inner().map(|ledger| ledger.at(key, at))).await
    }

    async fn history(&self, key: &SessionKey, after: Option<Position>, limit: u32) -> Result<Page<HistoryRow>, Error> {
        self.read("history", self.inner().map(|ledger| ledger.history(key, after, limit))).await
    }

    async fn sessions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Page<Row>, Error> {
        self.read("sessions", self.inner().map(|ledger| ledger.sessions(tenant, filter, after, limit))).await
    }

    async fn due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        self.read("due", self.inner().map(|ledger| ledger.due(after, until, limit))).await
    }

    async fn idempotency_records(&self, key: &SessionKey, since: Timestamp) -> Result<Vec<IdempotencyRecord>, Error> {
        self.read("idempotency_records", self.inner().map(|ledger| ledger.idempotency_records(key, since))).await
    }

    async fn dead_letters(&self, after: Option<&DeadLetter>, limit: u32) -> Result<Vec<DeadLetter>, Error> {
        self.read("dead_letters", self.inner().map(|ledger| ledger.dead_letters(after, limit))).await
    }

    async fn dead_letters_of(&self, key: &SessionKey) -> Result<Vec<DeadLetter>, Error> {
        self.read("dead_letters_of", self.inner().map(|ledger| ledger.dead_letters_of(key))).await
    }

    async fn first_dead_letter(&self, key: &SessionKey, after: Option<Position>) -> Result<Option<Position>, Error> {
        self.read("first_dead_letter", self.inner().map(|ledger| ledger.first_dead_letter(key, after))).await
    }

    async fn dead_letter_summary(&self, limit: u32) -> Result<DeadLetterSummary, Error> {
        self.read("dead_letter_summary", self.inner().map(|ledger| ledger.dead_letter_summary(limit))).await
    }

    async fn remove_dead_letter(&self, entry: &Entry) -> Result<bool, Error> {
        self.write("remove_dead_letter", self.inner().map(|ledger| ledger.remove_dead_letter(entry))).await
    }

    async fn heartbeats(&self, began: Timestamp) -> Result<Heartbeats, Error> {
        self.read("heartbeats", self.inner().map(|ledger| ledger.heartbeats(began))).await
    }

    async fn open_run(&self, began: Timestamp) -> Result<(), Error> {
        self.write("open_run", self.inner().map(|ledger| ledger.open_run(began))).await
    }

    async fn close_run(&self, began: Timestamp, stopped: Timestamp) -> Result<(), Error> {
        self.write("close_run", self.inner().map(|ledger| ledger.close_run(began, stopped))).await
    }

    async fn runs(&self, before: Timestamp) -> Result<RunHistory, Error> {
        self.read("runs", self.inner().map(|ledger| ledger.runs(before))).await
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimOutcome, Error> {
        self.write("claim", self.inner().map(|ledger| ledger.claim(claim))).await
    }

    async fn close(&self) {
        if let Some(inner) = self.inner.get() {
            inner.close().await;
        }
    }
}
