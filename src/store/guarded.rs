//! A store behind a breaker: while it is away, who asks is told so at once.

use std::sync::Arc;

use async_trait::async_trait;

use super::fence::Fence;
use super::outbox::EntryId;
use super::partition::Partitions;
use super::{Commit, Committed, Error, Store, StoredSession};
use crate::breaker::{Breaker, Settings};
use crate::domain::chain::Digest;
use crate::domain::entry::IdempotencyRecord;
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::domain::time::Timestamp;

/// A store that is not asked while it does not answer.
pub struct Guarded {
    inner: Arc<dyn Store>,
    breaker: Breaker,
    fence: Fence,
}

impl Guarded {
    /// Puts a breaker before `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, settings: Settings) -> Self {
        Self { inner, breaker: Breaker::new("store", settings), fence: Fence::default() }
    }

    /// The same, behind `fence`: while that is closed, nothing is read or written.
    #[must_use]
    pub fn behind(self, fence: Fence) -> Self {
        Self { fence, ..self }
    }

    async fn ask<T>(&self, asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.fence.check().map_err(|fenced| Error::Unavailable(fenced.into()))?;
        // What cannot be read was an answer.
        self.breaker.guard(asking, |error| !matches!(error, Error::Unreadable(_))).await
    }
}

#[async_trait]
impl Store for Guarded {
    async fn read(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        self.ask(self.inner.read(key)).await
    }

    async fn idempotency_record(&self, key: &SessionKey, repeat: &Digest) -> Result<Option<IdempotencyRecord>, Error> {
        self.ask(self.inner.idempotency_record(key, repeat)).await
    }

    async fn remember_answer(&self, key: &SessionKey, answered: IdempotencyRecord) -> Result<IdempotencyRecord, Error> {
        self.ask(self.inner.remember_answer(key, answered)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        self.ask(self.inner.commit(commit)).await
    }

    async fn restore(
        &self,
        key: &SessionKey,
        over: Option<Position>,
        held: StoredSession,
        answered: Vec<IdempotencyRecord>,
    ) -> Result<StoredSession, Error> {
        self.ask(self.inner.restore(key, over, held, answered)).await
    }

    async fn read_watched(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        self.ask(self.inner.read_watched(key)).await
    }

    async fn retain(&self, key: &SessionKey, at: Position) -> Result<(), Error> {
        self.ask(self.inner.retain(key, at)).await
    }

    async fn release(&self, key: &SessionKey, at: Position) -> Result<(), Error> {
        self.ask(self.inner.release(key, at)).await
    }

    async fn due(
        &self,
        partitions: Partitions,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, SessionKey)>, Error> {
        self.ask(self.inner.due(partitions, until, limit)).await
    }

    async fn outbox_tail(&self, key: &SessionKey) -> Result<Option<EntryId>, Error> {
        self.ask(self.inner.outbox_tail(key)).await
    }

    async fn generation_started_at(&self, key: &SessionKey) -> Result<Timestamp, Error> {
        self.ask(self.inner.generation_started_at(key)).await
    }

    /// It waits for the ledger, and fails where the store has: neither tells whether the
    /// store answers now.
    async fn wait_recorded(&self, ticket: EntryId) -> Result<(), Error> {
        self.inner.wait_recorded(ticket).await
    }

    async fn wait_for_ledger(&self) {
        self.inner.wait_for_ledger().await;
    }

    async fn ping(&self) -> Result<(), Error> {
        self.ask(self.inner.ping()).await
    }
}
