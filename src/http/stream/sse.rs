//! Server-sent events: `/sessions/{id}/events` for one session, `/events` for many.
//!
//! `id:` is the position and stands on the last frame of a write, so that a client
//! that comes back either had all of a write or gets all of it again. Where a few
//! sessions share a stream it holds the position in each, in the order asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, stream};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::events::{Events, Watch};
use super::opening::Opening;
use super::{MAX_SESSIONS, Streams, streaming};
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::fanout::{Delivery, Form, Kind, Subscription, Told};
use crate::http::connection::handover::Handover;
use crate::http::error::ApiError;
use crate::http::extract::InSession;
use crate::http::query::Query;
use crate::wire::instant::http_date;
use crate::wire::problem::Code;

/// `GET /sessions/{id}/events`.
pub async fn follow(State(streams): State<Arc<Streams>>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let session = InSession::from_request_parts(&mut parts, &()).await;
    let opening = Opening::read(parts.uri.query(), streams.parts.timing.heartbeat);
    let asked = session.and_then(|InSession(id)| Ok((vec![id], opening?)));
    streams.events(&mut parts, asked).await
}

/// `GET /events?sessions=a,b,c`.
pub async fn follow_many(State(streams): State<Arc<Streams>>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let asked = named(parts.uri.query(), streams.parts.timing.heartbeat);
    streams.events(&mut parts, asked).await
}

/// The sessions to follow, and how.
type Asked = (Vec<SessionId>, Opening);

fn named(query: Option<&str>, usual: Duration) -> Result<Asked, ApiError> {
    let mut query = Query::of(query)?;
    let list = query.take("sessions").unwrap_or_default();
    let ids: Result<Vec<_>, _> = list.split(',').map(SessionId::new).collect();
    let ids = ids.map_err(|_| ApiError::invalid("/sessions", "must be session ids, separated by commas"))?;
    if ids.len() > MAX_SESSIONS {
        return Err(ApiError::invalid("/sessions", "must be at most 1000"));
    }
    if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
        return Err(ApiError::invalid("/sessions", "must not name a session twice"));
    }
    Ok((ids, Opening::of(query, usual)?))
}

impl Streams {
    /// A refusal that comes back gets 204: that is how an `EventSource` is told to stay away.
    async fn events(self: &Arc<Self>, parts: &mut Parts, asked: Result<Asked, ApiError>) -> Result<Response, ApiError> {
        match self.events_of(parts, asked).await {
            Err(error) if parts.headers.contains_key("last-event-id") && is_final(&error) => {
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            answer => answer,
        }
    }

    async fn events_of(
        self: &Arc<Self>,
        parts: &mut Parts,
        asked: Result<Asked, ApiError>,
    ) -> Result<Response, ApiError> {
        let principal = self.caller(parts)??;
        let (sessions, opening) = asked?;
        let came_from = parts.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let cursors = cursors(came_from.or(opening.cursors.as_deref()), sessions.len());
        let keys = sessions.into_iter().map(|session| key(&principal, session)).collect::<Result<Vec<_>, _>>()?;
        let watches = self.watches(&keys, &cursors).await?;
        let handover = Handover::of(parts);
        let form = if handover.is_some() { Form::EventChunk } else { Form::EventStream };
        let events = Events::begin(Arc::clone(self), watches, &principal, &opening, form);
        Ok(match handover {
            Some(handover) => handed_over(handover, events, self),
            None => answer(body(events)),
        })
    }

    /// Follows sessions once all are known to be there: they are looked up side by side,
    /// and waited for no longer than one.
    async fn watches(&self, keys: &[SessionKey], cursors: &[Option<Position>]) -> Result<Vec<Watch>, ApiError> {
        let by = Instant::now() + self.parts.timing.state_wait;
        let subscribe = |(key, last): (_, &Option<_>)| (self.parts.hub.subscribe(key, *last, "sse"), *last);
        let subscribed: Vec<_> = keys.iter().zip(cursors).map(subscribe).collect();
        let mut watches = Vec::with_capacity(keys.len());
        for (subscription, last) in subscribed {
            let watch = timeout_at(by, watch(subscription, last)).await;
            watches.push(watch.map_err(|_| ApiError::away(Code::StoreUnavailable))??);
        }
        Ok(watches)
    }
}

async fn watch(mut subscription: Subscription, last: Option<Position>) -> Result<Watch, ApiError> {
    match placed(&mut subscription).await {
        Some(Delivery::Ended(_)) => Err(ApiError::of(Code::SessionNotFound)),
        Some(Delivery::Told(first)) if has_ended(&first, last) => Err(ApiError::of(Code::SessionNotFound)),
        Some(Delivery::Told(first)) => Ok(Watch { subscription, first: Some(first) }),
        None => Ok(Watch { subscription, first: None }),
    }
}

/// Whoever has seen a session's end already, or none of it, has nothing to follow.
pub(super) fn has_ended(first: &Told, last: Option<Position>) -> bool {
    first.kind == Kind::Deletion && first.position == last.or(first.position)
}

/// The key of a session the caller can see.
pub(super) fn key(principal: &Principal, session: SessionId) -> Result<SessionKey, ApiError> {
    if principal.sees(&session) {
        Ok(SessionKey { tenant: principal.tenant.clone(), session })
    } else {
        Err(ApiError::of(Code::SessionNotFound))
    }
}

/// Waits until it has a place; gives what comes first, if that is there already.
pub(super) async fn placed(subscription: &mut Subscription) -> Option<Delivery> {
    match subscription.try_next() {
        Some(first) => Some(first),
        None if subscription.position().is_some() => None,
        None => Some(subscription.next().await),
    }
}

/// Each session's cursor; what is none counts as never seen.
fn cursors(text: Option<&str>, sessions: usize) -> Vec<Option<Position>> {
    let mut cursors: Vec<_> = text.unwrap_or_default().split(',').map(|each| each.trim().parse().ok()).collect();
    cursors.resize(sessions, None);
    cursors
}

/// Coming back would end the same way.
fn is_final(error: &ApiError) -> bool {
    matches!(
        error.0.of,
        Code::SessionNotFound | Code::Unauthenticated | Code::TokenExpired | Code::Forbidden | Code::Invalid
    )
}

/// As the library writes it.
fn body(mut events: Events) -> Body {
    let mut timer = Box::pin(sleep_until(events.next_due()));
    let pieces = stream::poll_fn(move |context| events.poll_next(context, timer.as_mut()));
    Body::from_stream(pieces.map(Ok::<_, std::convert::Infallible>))
}

/// On the connection itself, so that nothing is held for a stream that waits.
fn handed_over(handover: Handover, events: Events, streams: &Streams) -> Response {
    let mut response = answer(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    if let Ok(date) = HeaderValue::from_str(&http_date(streams.parts.clock.now())) {
        headers.insert(header::DATE, date);
    }
    let timing = streams.parts.timing.clone();
    handover.accept(response, Box::new(|taken| streaming::serve(events, taken, timing)))
}

fn answer(body: Body) -> Response {
    let fixed = HeaderValue::from_static;
    let headers = [
        (header::CONTENT_TYPE, fixed("text/event-stream")),
        (header::CACHE_CONTROL, fixed("no-cache")),
        (header::HeaderName::from_static("x-accel-buffering"), fixed("no")),
    ];
    (headers, body).into_response()
}
