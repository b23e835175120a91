//! A ledger behind breakers: while it is away, who asks is told so at once.
//!
//! Requests are turned away in microseconds; the audit, which must not lose anything
//! and has time, waits for its turn instead. Reads and writes have a breaker each: a
//! disk that is full stops the one and not the other.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use super::{Answered, DeadLetter, Due, Error, Filter, Ledger, Presence, Recorded, Row};
use crate::breaker::{Breaker, Leave, Settings};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;

/// A question that takes longer than this is not answered.
const READ_PATIENCE: Duration = Duration::from_secs(4);

/// The same for a write, whose batch may be large.
const WRITE_PATIENCE: Duration = Duration::from_secs(25);

/// How long the audit waits for its turn before it says that nobody answers.
const TURN_PATIENCE: Duration = Duration::from_secs(4);

/// A ledger that is not asked while it does not answer.
pub struct Guarded {
    inner: Arc<dyn Ledger>,
    reads: Breaker,
    writes: Breaker,
}

impl Guarded {
    /// Puts breakers before `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Ledger>) -> Self {
        Self::with(inner, Settings::default())
    }

    /// The same, with other spans.
    #[must_use]
    pub fn with(inner: Arc<dyn Ledger>, settings: Settings) -> Self {
        let (reads, writes) = (Breaker::new("ledger_reads", settings), Breaker::new("ledger_writes", settings));
        Self { inner, reads, writes }
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
    let unanswered = |elapsed| Err(Error::Unavailable(Box::new(elapsed)));
    let asking = async { timeout(patience, asking).await.unwrap_or_else(unanswered) };
    leave.with(asking, |error| matches!(error, Error::Unavailable(_))).await
}

#[async_trait]
impl Ledger for Guarded {
    async fn record(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        self.insist(self.inner.record(entries)).await
    }

    async fn newest(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        self.ask(self.inner.newest(key)).await
    }

    async fn version(&self, key: &SessionKey, version: u64) -> Result<Option<Row>, Error> {
        self.ask(self.inner.version(key, version)).await
    }

    async fn at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error> {
        self.ask(self.inner.at(key, at)).await
    }

    async fn history(&self, key: &SessionKey, after: Option<Position>, limit: u32) -> Result<Vec<Row>, Error> {
        self.ask(self.inner.history(key, after, limit)).await
    }

    async fn sessions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<Row>, Error> {
        self.ask(self.inner.sessions(tenant, filter, after, limit)).await
    }

    async fn due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        self.ask(self.inner.due(after, until, limit)).await
    }

    async fn answered(&self, key: &SessionKey, since: Timestamp) -> Result<Vec<Answered>, Error> {
        self.ask(self.inner.answered(key, since)).await
    }

    async fn bury(&self, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error> {
        self.insist(self.inner.bury(entry, reason, at)).await
    }

    async fn dead_letters(&self, after: Option<&DeadLetter>, limit: u32) -> Result<Vec<DeadLetter>, Error> {
        self.ask(self.inner.dead_letters(after, limit)).await
    }

    async fn unbury(&self, entry: &Entry) -> Result<bool, Error> {
        self.tell(self.inner.unbury(entry)).await
    }

    /// Every second, so that it is also what finds that writing goes well again.
    async fn beat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        self.tell(self.inner.beat(since, at)).await
    }

    async fn presence(&self, began: Timestamp) -> Result<Presence, Error> {
        self.ask(self.inner.presence(began)).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.ask(self.inner.ping()).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
