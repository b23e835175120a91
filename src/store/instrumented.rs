//! A store with a breaker and a fence before it, whose latency is measured.
//!
//! While the store is away, callers are turned away at once.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::ledger_fence::Fence;
use super::outbox::EntryId;
use super::partition::Partitions;
use super::{Commit, Committed, Error, LedgerProgress, SessionStore, Store, StoredSession};
use crate::breaker::{Breaker, Settings};
use crate::domain::chain::Digest;
use crate::domain::id::SessionKey;
use crate::domain::idempotency::IdempotencyRecord;
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics::STORE_OPERATION_DURATION_SECONDS;

/// A store that is measured, and left alone while it does not answer.
pub struct InstrumentedStore {
    inner: Arc<dyn Store>,
    backend: &'static str,
    breaker: Option<Breaker>,
    fence: Fence,
}

impl InstrumentedStore {
    /// Measures `inner` under the name of its `backend`.
    pub fn new(inner: Arc<dyn Store>, backend: &'static str) -> Self {
        Self { inner, backend, breaker: None, fence: Fence::default() }
    }

    /// The same, behind a breaker.
    pub fn with_breaker(self, settings: Settings) -> Self {
        Self { breaker: Some(Breaker::new("store", settings)), ..self }
    }

    /// The same, behind `fence`: while it is closed, nothing is read or written.
    pub fn with_fence(self, fence: Fence) -> Self {
        Self { fence, ..self }
    }

    async fn guard<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.fence.check().map_err(|fenced| Error::Unavailable(fenced.into()))?;
        let Some(breaker) = &self.breaker else { return request.await };
        // An unreadable session was an answer.
        breaker.guard(request, |error| !matches!(error, Error::Unreadable(_))).await
    }

    /// Records how long the backend took, whatever the outcome; not how long the breaker did.
    async fn measure<T>(
        &self,
        operation: &'static str,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let measured = async {
            let started = Instant::now();
            let outcome = request.await;
            metrics::histogram!(STORE_OPERATION_DURATION_SECONDS, "operation" => operation, "backend" => self.backend)
                .record(started.elapsed());
            outcome
        };
        self.guard(measured).await
    }
}

#[async_trait]
impl SessionStore for InstrumentedStore {
    async fn read(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        self.measure("read", self.inner.read(key)).await
    }

    async fn read_watched(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        self.measure("read", self.inner.read_watched(key)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        self.measure("commit", self.inner.commit(commit)).await
    }

    async fn restore(
        &self,
        key: &SessionKey,
        over: Option<Position>,
        session: StoredSession,
        records: Vec<IdempotencyRecord>,
    ) -> Result<StoredSession, Error> {
        self.measure("restore", self.inner.restore(key, over, session, records)).await
    }

    async fn due(
        &self,
        partitions: Partitions,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, SessionKey)>, Error> {
        self.measure("due", self.inner.due(partitions, until, limit)).await
    }

    async fn idempotency_record(&self, key: &SessionKey, repeat: &Digest) -> Result<Option<IdempotencyRecord>, Error> {
        self.measure("idempotency_record", self.inner.idempotency_record(key, repeat)).await
    }

    async fn remember_answer(&self, key: &SessionKey, record: IdempotencyRecord) -> Result<IdempotencyRecord, Error> {
        self.measure("remember_answer", self.inner.remember_answer(key, record)).await
    }

    async fn generation_started_at(&self, key: &SessionKey) -> Result<Timestamp, Error> {
        self.guard(self.inner.generation_started_at(key)).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.guard(self.inner.ping()).await
    }
}

#[async_trait]
impl LedgerProgress for InstrumentedStore {
    async fn retain(&self, key: &SessionKey, at: Position) -> Result<(), Error> {
        self.measure("retain", self.inner.retain(key, at)).await
    }

    async fn release(&self, key: &SessionKey, at: Position) -> Result<(), Error> {
        self.measure("release", self.inner.release(key, at)).await
    }

    async fn outbox_tail(&self, key: &SessionKey) -> Result<Option<EntryId>, Error> {
        self.measure("outbox_tail", self.inner.outbox_tail(key)).await
    }

    /// Not guarded: it waits for the ledger, and its failure does not say whether the store
    /// answers now.
    async fn wait_recorded(&self, entry_id: EntryId) -> Result<(), Error> {
        self.inner.wait_recorded(entry_id).await
    }

    async fn wait_for_ledger(&self) {
        self.inner.wait_for_ledger().await;
    }
}
