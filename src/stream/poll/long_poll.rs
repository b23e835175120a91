//! One poll, from its request to its answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::response::PollResponse;
use super::wait::PollOutcome;
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::fanout::Delivery;
use crate::stream::Streams;
use crate::stream::feed::Feed;
use crate::stream::placement::has_ended;
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;

/// A poll that has its place and may have to wait.
pub struct LongPoll {
    pub(super) streams: Arc<Streams>,
    pub(super) feed: Box<dyn Feed>,
    pub(super) caller: PollCaller,
    pub(super) timeout: Duration,
    /// What it is answered with at once.
    pub(super) first: Option<PollOutcome>,
}

/// Who polls.
pub struct PollCaller {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// Where it calls from.
    pub address: IpAddr,
}

impl LongPoll {
    /// Waits for the feed's place; its caller has seen `since`.
    ///
    /// # Errors
    /// There is no such session, or it cannot be read.
    pub async fn open(
        streams: Arc<Streams>,
        mut feed: Box<dyn Feed>,
        caller: PollCaller,
        since: Option<Position>,
        timeout: Duration,
    ) -> Result<Self, ApiError> {
        let first = match streams.placed(&mut *feed, streams.place_by()).await? {
            Some(Delivery::Update(told)) if has_ended(&told, since) => return Err(ApiError::of(Code::SessionNotFound)),
            Some(Delivery::Ended(_)) => return Err(ApiError::of(Code::SessionNotFound)),
            first => first.map(PollOutcome::Told),
        };
        Ok(Self { streams, feed, caller, timeout, first })
    }

    /// Waits for the one answer.
    ///
    /// # Errors
    /// The session has gone or cannot be read, or the token has expired meanwhile.
    pub async fn response(mut self) -> Result<PollResponse, ApiError> {
        let outcome = match self.first {
            Some(first) => first,
            None => self.streams.wait(&mut *self.feed, &self.caller, self.timeout).await?,
        };
        self.streams.answer(&mut *self.feed, outcome).await
    }
}
