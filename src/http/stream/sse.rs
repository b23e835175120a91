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
use tokio::time::Instant;

use super::params::{StreamParams, admitted};
use super::placement::PlacementError;
use super::sse_events::{SseEvents, WatchList, WatchedSession};
use super::{MAX_SESSIONS, Streams, sse_body, sse_connection};
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::fanout::{Delivery, Encoding, Subscription, Unavailable, Update, UpdateKind};
use crate::http::connection::stream_end::StreamEnd;
use crate::http::connection::takeover::Takeover;
use crate::http::error::ApiError;
use crate::http::extract::SessionPath;
use crate::http::query::Query;
use crate::wire::instant::http_date;
use crate::wire::problem::Code;

/// `GET /sessions/{id}/events`.
pub async fn follow(State(streams): State<Arc<Streams>>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let session = SessionPath::from_request_parts(&mut parts, &()).await;
    let opening = StreamParams::read(parts.uri.query(), streams.parts.timing.heartbeat);
    let asked = session.and_then(|SessionPath(id)| Ok((vec![id], opening?)));
    streams.events(&mut parts, asked).await
}

/// `GET /events?sessions=a,b,c`.
pub async fn follow_many(State(streams): State<Arc<Streams>>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let asked = named(parts.uri.query(), streams.parts.timing.heartbeat);
    streams.events(&mut parts, asked).await
}

/// The sessions to follow, and how.
type SseParams = (Vec<SessionId>, StreamParams);

fn named(query: Option<&str>, usual: Duration) -> Result<SseParams, ApiError> {
    let mut query = Query::of(query)?;
    let list = query.take("sessions").unwrap_or_default();
    let ids: Result<Vec<_>, _> = list.split(',').map(SessionId::new).collect();
    let ids = ids.map_err(|_| ApiError::invalid("/sessions", "must be 1 to 1000 session ids, separated by commas"))?;
    if ids.len() > MAX_SESSIONS {
        return Err(ApiError::invalid("/sessions", "must be at most 1000"));
    }
    if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
        return Err(ApiError::invalid("/sessions", "must not name a session twice"));
    }
    Ok((ids, StreamParams::of(query, usual)?))
}

impl Streams {
    /// A refusal that comes back gets 204: that is how an `EventSource` is told to stay away.
    async fn events(
        self: &Arc<Self>,
        parts: &mut Parts,
        asked: Result<SseParams, ApiError>,
    ) -> Result<Response, ApiError> {
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
        asked: Result<SseParams, ApiError>,
    ) -> Result<Response, ApiError> {
        let principal = self.caller(parts)??;
        admitted(parts)?;
        let (sessions, opening) = asked?;
        let came_from = parts.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let texts = came_from.into_iter().chain(opening.cursors.iter().map(String::as_str));
        let cursors = cursors(texts, sessions.len());
        let watched = self.watched(&principal, sessions, &cursors).await?;
        let handover = Takeover::of(parts);
        let form = if handover.is_some() { Encoding::EventChunk } else { Encoding::EventStream };
        let events = SseEvents::begin(Arc::clone(self), watched, &principal, &opening, form);
        Ok(match handover {
            Some(handover) => handed_over(handover, events, self),
            None => answer(sse_body::body(events, self, StreamEnd::of(parts))),
        })
    }

    /// Looks sessions up side by side, and waits for them no longer than for one. Those that
    /// are not there are told of; one that cannot be read yet comes when it can. Refused is
    /// only what leaves nothing to follow.
    async fn watched(
        &self,
        principal: &Principal,
        sessions: Vec<SessionId>,
        cursors: &[Option<Position>],
    ) -> Result<WatchList, ApiError> {
        let (by, asked) = (self.place_by(), sessions.len());
        let subscribe = |(session, last): (SessionId, &Option<_>)| {
            let key = key(principal, session.clone()).ok();
            (session, key.map(|key| self.parts.hub.subscribe(&key, *last, "sse")), *last)
        };
        let subscribed: Vec<_> = sessions.into_iter().zip(cursors).map(subscribe).collect();
        let (mut watched, mut failure) = (WatchList { watches: Vec::new(), unknown: Vec::new(), asked }, None);
        let mut is_any_here = false;
        for (index, (session, subscription, last)) in subscribed.into_iter().enumerate() {
            let Some(mut subscription) = subscription else {
                watched.unknown.push(session);
                continue;
            };
            let first = match self.find(&mut subscription, last, by).await {
                Lookup::Here(first) => {
                    is_any_here = true;
                    first
                }
                Lookup::NotYet(why) => {
                    failure = Some(why);
                    None
                }
                Lookup::Nowhere => {
                    watched.unknown.push(session);
                    continue;
                }
            };
            watched.watches.push(WatchedSession { subscription, first, index });
        }
        match failure {
            _ if is_any_here => Ok(watched),
            Some(why) => Err(why.into()),
            None => Err(ApiError::of(Code::SessionNotFound)),
        }
    }

    async fn find(&self, subscription: &mut Subscription, last: Option<Position>, by: Instant) -> Lookup {
        match self.placed(subscription, by).await {
            Ok(Some(Delivery::Update(first))) if !has_ended(&first, last) => Lookup::Here(Some(first)),
            Ok(Some(_)) => Lookup::Nowhere,
            // A stop it is told of like streams that are open already.
            Ok(None) | Err(PlacementError::GoingAway) => Lookup::Here(None),
            Err(PlacementError::Unavailable(why)) => Lookup::NotYet(why),
        }
    }
}

/// What is found of a session that a stream is to follow.
enum Lookup {
    /// It has its place, and this comes first.
    Here(Option<Arc<Update>>),
    /// It is not there, or has ended.
    Nowhere,
    /// It cannot be read yet.
    NotYet(Unavailable),
}

/// Whoever has seen a session's end already, or none of it, has nothing to follow.
pub(super) fn has_ended(first: &Update, last: Option<Position>) -> bool {
    first.kind == UpdateKind::Deletion && first.position == last.or(first.position)
}

/// The key of a session the caller can see.
pub(super) fn key(principal: &Principal, session: SessionId) -> Result<SessionKey, ApiError> {
    if principal.sees(&session) {
        Ok(SessionKey { tenant: principal.tenant.clone(), session })
    } else {
        Err(ApiError::of(Code::SessionNotFound))
    }
}

/// Each session's cursor, by the first text that is one. Fewer cursors than sessions, or
/// more, were given for other sessions and count for none of these.
fn cursors<'a>(mut texts: impl Iterator<Item = &'a str>, sessions: usize) -> Vec<Option<Position>> {
    let read = |text: &str| {
        let cursors: Vec<Option<Position>> = text.split(',').map(|each| each.trim().parse().ok()).collect();
        (cursors.len() == sessions && cursors.iter().any(Option::is_some)).then_some(cursors)
    };
    texts.find_map(read).unwrap_or_else(|| vec![None; sessions])
}

/// Coming back would end the same way.
fn is_final(error: &ApiError) -> bool {
    matches!(
        error.0.of,
        Code::SessionNotFound | Code::Unauthenticated | Code::TokenExpired | Code::Forbidden | Code::Invalid
    )
}

/// On the connection itself, so that nothing is held for a stream that waits.
fn handed_over(handover: Takeover, events: SseEvents, streams: &Streams) -> Response {
    let mut response = answer(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    if let Ok(date) = HeaderValue::from_str(&http_date(streams.parts.clock.now())) {
        headers.insert(header::DATE, date);
    }
    let timing = streams.parts.timing.clone();
    handover.accept(response, Box::new(|taken| sse_connection::serve(events, taken, timing)))
}

fn answer(body: Body) -> Response {
    let fixed = HeaderValue::from_static;
    let headers = [
        (header::CONTENT_TYPE, fixed("text/event-stream")),
        (header::CACHE_CONTROL, fixed("no-store")),
        (header::HeaderName::from_static("x-accel-buffering"), fixed("no")),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_text_that_holds_a_cursor_for_each_session_counts() {
        let at = |version| Some(Position { epoch: 5, version });
        for (texts, expected) in [
            (vec!["5-1,5-2"], vec![at(1), at(2)]),
            (vec!["5-1, -"], vec![at(1), None]),
            (vec!["nonsense", "5-1,5-2"], vec![at(1), at(2)]),
            (vec!["5-3,5-4", "5-1,5-2"], vec![at(3), at(4)]),
            (vec!["5-1"], vec![None, None]),
            (vec!["5-1,5-2,5-3", "x,y"], vec![None, None]),
            (vec![], vec![None, None]),
        ] {
            assert_eq!(cursors(texts.iter().copied(), 2), expected, "{texts:?}");
        }
        assert_eq!(cursors(["5-1,5-2", " 5-7 "].into_iter(), 1), [at(7)]);
    }
}
