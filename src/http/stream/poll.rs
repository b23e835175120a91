//! Long-poll: answers at once if there is anything newer, else when there is, else in time.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::Streams;
use super::lifetime::Lifetime;
use super::params::admitted;
use super::poll_connection::PollConnection;
use super::poll_response::PollResponse;
use super::sse::{has_ended, key};
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::fanout::{Delivery, Subscription, Update, UpdateKind};
use crate::http::error::ApiError;
use crate::http::extract::{SessionPath, position_in};
use crate::http::query::Query;
use crate::wire::frame;
use crate::wire::problem::Code;

const TIMEOUT_RANGE_MS: std::ops::RangeInclusive<u64> = 1_000..=60_000;
const DEFAULT_TIMEOUT_MS: u64 = 30_000;

/// Those an instance sends away come back within so long: a poll is no stream that the
/// drain waits for, and the next instance may be there already.
const UNAVAILABLE_AFTER: Duration = Duration::from_secs(1);

struct PollParams {
    since: Option<Position>,
    patience: Duration,
}

impl PollParams {
    fn read(query: Option<&str>, headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut query = Query::of(query)?;
        let known = headers.get(header::IF_NONE_MATCH).and_then(|tag| position_in(tag.to_str().ok()?));
        // What is no position is none: the newest state is the answer.
        let since = query.take("since").map_or(known, |since| since.parse().ok());
        let ms = match query.take("timeout_ms") {
            None => Some(DEFAULT_TIMEOUT_MS),
            Some(text) => text.parse().ok().filter(|ms| TIMEOUT_RANGE_MS.contains(ms)),
        };
        let ms = ms.ok_or_else(|| {
            ApiError::invalid("/timeout_ms", "must be a whole number of milliseconds from 1000 to 60000")
        })?;
        query.ignore_unknown()?;
        Ok(Self { since, patience: Duration::from_millis(ms) })
    }
}

/// `GET /sessions/{id}/poll`.
pub async fn poll(State(streams): State<Arc<Streams>>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let asked = PollParams::read(parts.uri.query(), &parts.headers)?;
    let principal = streams.caller(&parts)??;
    admitted(&parts)?;
    let SessionPath(id) = SessionPath::from_request_parts(&mut parts, &()).await?;
    let key = key(&principal, id)?;
    let mut subscription = streams.parts.hub.subscribe(&key, asked.since, "poll");
    let first = match streams.placed(&mut subscription, streams.place_by()).await? {
        Some(Delivery::Update(told)) if has_ended(&told, asked.since) => {
            return Err(ApiError::of(Code::SessionNotFound));
        }
        Some(Delivery::Ended(_)) => return Err(ApiError::of(Code::SessionNotFound)),
        first => first.map(PollOutcome::Told),
    };
    let parked =
        PollConnection { streams: Arc::clone(&streams), subscription, principal, patience: asked.patience, first };
    let PollConnection { mut subscription, principal, first, .. } = match parked.park(&mut parts) {
        Ok(response) => return Ok(response),
        Err(parked) => *parked,
    };
    // It may be long, and the poll may wait for long.
    drop(parts);
    let waited = match first {
        Some(first) => first,
        None => streams.wait(&mut subscription, &principal, asked.patience).await?,
    };
    Ok(streams.answer(&mut subscription, waited).await?.response())
}

/// What ended the waiting.
pub(super) enum PollOutcome {
    Told(Delivery),
    InTime,
    /// The instance goes away; come back after so long.
    GoingAway(Duration),
}

/// An answer to be: all events from the client's position on, or none of them.
#[derive(Default)]
struct CollectedUpdates {
    events: Vec<Bytes>,
    newest: Option<Position>,
    /// Something before cannot be told any more: the snapshot stands for everything.
    has_hole: bool,
}

impl CollectedUpdates {
    fn add(&mut self, told: &Update) {
        match told.kind {
            UpdateKind::State => self.leave_to_snapshot(),
            UpdateKind::Write | UpdateKind::Deletion if !self.has_hole => {
                self.events.extend(told.frames.iter().cloned());
            }
            UpdateKind::Write | UpdateKind::Deletion | UpdateKind::Warnings => {}
        }
        self.newest = told.position.or(self.newest);
    }

    fn leave_to_snapshot(&mut self) {
        self.has_hole = true;
        self.events.clear();
    }
}

impl Streams {
    /// Waits for a write; warnings are no reason to answer.
    pub(super) async fn wait(
        &self,
        subscription: &mut Subscription,
        principal: &Principal,
        patience: Duration,
    ) -> Result<PollOutcome, ApiError> {
        let lifetime = Lifetime::of(principal, self.parts.clock.now());
        let by = Instant::now() + patience;
        let mut timer = pin!(sleep_until(lifetime.token_at().map_or(by, |at| at.min(by))));
        poll_fn(|context| {
            if let Poll::Ready(told) = poll_write(subscription, context) {
                return Poll::Ready(Ok(PollOutcome::Told(told)));
            }
            // Whoever watches is woken when a stop begins.
            if self.parts.shutdown.is_begun() {
                return Poll::Ready(Ok(PollOutcome::GoingAway(self.share_of(UNAVAILABLE_AFTER))));
            }
            ready!(timer.as_mut().poll(context));
            let is_valid = lifetime.check_token(self.parts.clock.now());
            Poll::Ready(is_valid.map(|()| PollOutcome::InTime).map_err(|_| ApiError::of(Code::TokenExpired)))
        })
        .await
    }

    pub(super) async fn answer(
        &self,
        subscription: &mut Subscription,
        waited: PollOutcome,
    ) -> Result<PollResponse, ApiError> {
        let (timed_out, next_poll) = match &waited {
            PollOutcome::Told(_) => (false, Duration::ZERO),
            PollOutcome::InTime => (true, Duration::ZERO),
            PollOutcome::GoingAway(share) => (true, *share),
        };
        let mut gathered = CollectedUpdates::default();
        match waited {
            PollOutcome::Told(Delivery::Ended(_)) => return Err(ApiError::of(Code::SessionNotFound)),
            PollOutcome::Told(Delivery::Update(told)) => gathered.add(&told),
            PollOutcome::InTime | PollOutcome::GoingAway(_) => {}
        }
        let state = self.newest(subscription).await?;
        catch_up(subscription, &mut gathered, state.as_ref().and_then(|state| state.position));
        let session = state.and_then(|state| frame::payload_in(state.frames.first()?));
        let position = gathered.newest.or(subscription.position()).unwrap_or_default();
        Ok(PollResponse::new(position, timed_out, &gathered.events, session.as_deref(), next_poll))
    }

    /// The newest state as the ring has it; none of a session that is gone.
    async fn newest(&self, subscription: &Subscription) -> Result<Option<Arc<Update>>, ApiError> {
        let mut fresh = self.parts.hub.subscribe(subscription.key(), None, "poll");
        match self.placed(&mut fresh, self.place_by()).await? {
            Some(Delivery::Update(state)) if state.kind == UpdateKind::State => Ok(Some(state)),
            _ => Ok(None),
        }
    }
}

fn poll_write(subscription: &mut Subscription, context: &Context<'_>) -> Poll<Delivery> {
    loop {
        match ready!(subscription.poll_next(context)) {
            Delivery::Update(told) if told.kind == UpdateKind::Warnings => {}
            delivery => return Poll::Ready(delivery),
        }
    }
}

/// Tells everything up to where the snapshot stands, so that neither is ahead of the other. It
/// is no more than a topic's ring holds.
fn catch_up(subscription: &mut Subscription, gathered: &mut CollectedUpdates, until: Option<Position>) {
    while gathered.newest < until {
        match subscription.try_next() {
            Some(Delivery::Update(told)) => gathered.add(&told),
            _ => break,
        }
    }
    if gathered.newest < until {
        gathered.leave_to_snapshot();
        gathered.newest = gathered.newest.max(until);
    }
}
