//! `/sessions/{id}/poll`, and `/status/poll` for the instance itself.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;

use super::request::{TicketUse, admitted, counted, key};
use crate::domain::position::Position;
use crate::fanout::Transport;
use crate::http::access;
use crate::http::extract::{SessionPath, position_in};
use crate::http::query::Query;
use crate::http::response;
use crate::net::takeover::Takeover;
use crate::stream::Streams;
use crate::stream::poll::{LongPoll, PollCaller, PollRequest};
use crate::wire::api_error::ApiError;

const TIMEOUT_RANGE_MS: std::ops::RangeInclusive<u64> = 1_000..=60_000;
const DEFAULT_TIMEOUT_MS: u64 = 30_000;

struct PollParams {
    since: Option<Position>,
    timeout: Duration,
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
        Ok(Self { since, timeout: Duration::from_millis(ms) })
    }
}

/// `GET /sessions/{id}/poll`.
pub(super) async fn poll(State(streams): State<Arc<Streams>>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let PollParams { since, timeout } = PollParams::read(parts.uri.query(), &parts.headers)?;
    let principal = counted(&streams, &parts, TicketUse::Never).await??;
    admitted(&streams, &parts, &principal)?;
    let SessionPath(id) = SessionPath::from_request_parts(&mut parts, &()).await?;
    let key = key(&principal, id)?;
    let caller = PollCaller { address: access::address(streams.limits(), &parts), principal };
    let feed = streams.follow(&key, since, Transport::Poll);
    let poll = LongPoll::open(streams, feed, caller, since, timeout).await?;
    answer(poll, parts).await
}

/// `GET /status/poll`.
pub(super) async fn poll_status(State(streams): State<Arc<Streams>>, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let PollParams { since, timeout } = PollParams::read(parts.uri.query(), &parts.headers)?;
    let principal = counted(&streams, &parts, TicketUse::Never).await??;
    admitted(&streams, &parts, &principal)?;
    access::check_role(streams.limits(), streams.security(), &parts, &principal)?;
    let caller = PollCaller { address: access::address(streams.limits(), &parts), principal };
    let feed = streams.follow_status(since);
    let poll = LongPoll::open(streams, feed, caller, since, timeout).await?;
    answer(poll, parts).await
}

/// Answers on the connection itself, if that can be taken over.
async fn answer(poll: LongPoll, mut parts: Parts) -> Result<Response, ApiError> {
    if let Some(takeover) = Takeover::of(&mut parts) {
        let route = parts.extensions.get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
        access::hide_standing(&parts);
        let request = PollRequest { head: takeover.head().cloned(), headers: &parts.headers, route };
        let continuation = poll.on_connection(&request);
        return Ok(takeover.accept(Response::new(Body::empty()), continuation));
    }
    // It may be long, and the poll may wait for long.
    drop(parts);
    let (position, body) = poll.response().await?.into_parts();
    let mut response = response::bytes_as_json(StatusCode::OK, body);
    response.headers_mut().insert(header::ETAG, response::entity_tag(position));
    Ok(response)
}
