//! One poll, from its request to its answer.

use std::sync::Arc;
use std::time::Duration;

use super::response::PollResponse;
use super::wait::PollOutcome;
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::fanout::{Delivery, Subscription};
use crate::stream::Streams;
use crate::stream::placement::has_ended;
use crate::wire::error::ApiError;
use crate::wire::problem::Code;

/// A poll that has its place and may have to wait.
pub struct LongPoll {
    pub(super) streams: Arc<Streams>,
    pub(super) subscription: Subscription,
    pub(super) principal: Arc<Principal>,
    pub(super) timeout: Duration,
    /// What it is answered with at once.
    pub(super) first: Option<PollOutcome>,
}

impl LongPoll {
    /// Looks the session up; the caller has got to `since`.
    ///
    /// # Errors
    /// There is no such session, or it cannot be read.
    pub async fn open(
        streams: Arc<Streams>,
        key: &SessionKey,
        principal: Arc<Principal>,
        since: Option<Position>,
        timeout: Duration,
    ) -> Result<Self, ApiError> {
        let mut subscription = streams.parts.hub.subscribe(key, since, "poll");
        let first = match streams.placed(&mut subscription, streams.place_by()).await? {
            Some(Delivery::Update(told)) if has_ended(&told, since) => return Err(ApiError::of(Code::SessionNotFound)),
            Some(Delivery::Ended(_)) => return Err(ApiError::of(Code::SessionNotFound)),
            first => first.map(PollOutcome::Told),
        };
        Ok(Self { streams, subscription, principal, timeout, first })
    }

    /// Waits for the one answer.
    ///
    /// # Errors
    /// The session has gone or cannot be read, or the token has expired meanwhile.
    pub async fn response(mut self) -> Result<PollResponse, ApiError> {
        let outcome = match self.first {
            Some(first) => first,
            None => self.streams.wait(&mut self.subscription, &self.principal, self.timeout).await?,
        };
        self.streams.answer(&mut self.subscription, outcome).await
    }
}
