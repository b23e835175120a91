//! A store behind a breaker: while it is away, who asks is told so at once.

use std::sync::Arc;

use async_trait::async_trait;

use super::fence::Fence;
use super::outbox::Ticket;
use super::partition::Partitions;
use super::{Commit, Committed, Error, Held, Store};
use crate::breaker::{Breaker, Settings};
use crate::domain::chain::Digest;
use crate::domain::entry::Answered;
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
        self.fence.pass().map_err(|fenced| Error::Unavailable(fenced.into()))?;
        // What cannot be read was an answer.
        self.breaker.guard(asking, |error| !matches!(error, Error::Unreadable(_))).await
    }
}

#[async_trait]
impl Store for Guarded {
    async fn read(&self, key: &SessionKey) -> Result<Option<Held>, Error> {
        self.ask(self.inner.read(key)).await
    }

    async fn answered(&self, key: &SessionKey, repeat: &Digest) -> Result<Option<Answered>, Error> {
        self.ask(self.inner.answered(key, repeat)).await
    }

    async fn remember(&self, key: &SessionKey, answered: Answered) -> Result<Answered, Error> {
        self.ask(self.inner.remember(key, answered)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        self.ask(self.inner.commit(commit)).await
    }

    async fn restore(
        &self,
        key: &SessionKey,
        over: Option<Position>,
        held: Held,
        answered: Vec<Answered>,
    ) -> Result<Held, Error> {
        self.ask(self.inner.restore(key, over, held, answered)).await
    }

    async fn read_watched(&self, key: &SessionKey) -> Result<Option<Held>, Error> {
        self.ask(self.inner.read_watched(key)).await
    }

    async fn keep(&self, key: &SessionKey, at: Position) -> Result<(), Error> {
        self.ask(self.inner.keep(key, at)).await
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

    async fn newest_waiting(&self, key: &SessionKey) -> Result<Option<Ticket>, Error> {
        self.ask(self.inner.newest_waiting(key)).await
    }

    async fn began(&self, key: &SessionKey) -> Result<Timestamp, Error> {
        self.ask(self.inner.began(key)).await
    }

    /// It waits for the ledger, and fails where the store has: neither tells whether the
    /// store answers now.
    async fn recorded(&self, ticket: Ticket) -> Result<(), Error> {
        self.inner.recorded(ticket).await
    }

    async fn in_step(&self) {
        self.inner.in_step().await;
    }

    async fn ping(&self) -> Result<(), Error> {
        self.ask(self.inner.ping()).await
    }
}
