//! `/sessions/{id}/events` for one session, `/events` for many, `/status/events` for the instance
//! itself.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;

use super::request;
use super::request::{TicketUse, admitted, count, counted};
use crate::domain::id::SessionId;
use crate::domain::position::Position;
use crate::fanout::Encoding;
use crate::http::access;
use crate::http::extract::SessionPath;
use crate::http::query::Query;
use crate::http::routes::Weight;
use crate::limits::Class;
use crate::net::stream_end::StreamEnd;
use crate::net::takeover::Takeover;
use crate::stream::params::StreamParams;
use crate::stream::sse::{SseClient, SseEvents};
use crate::stream::{MAX_SESSIONS, Streams};
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;
use crate::wire::instant::http_date;

/// `GET /sessions/{id}/events`.
pub(super) async fn follow(State(streams): State<Arc<Streams>>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let session = SessionPath::from_request_parts(&mut parts, &()).await;
    let params = request::params(&streams, parts.uri.query());
    let request = session.and_then(|SessionPath(id)| Ok((Followed::Sessions(vec![id]), params?)));
    events(&streams, &mut parts, request).await
}

/// `GET /events?sessions=a,b,c`.
pub(super) async fn follow_many(State(streams): State<Arc<Streams>>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let request = named(parts.uri.query(), streams.default_heartbeat());
    events(&streams, &mut parts, request).await
}

/// `GET /status/events`.
pub(super) async fn follow_status(State(streams): State<Arc<Streams>>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let params = request::params(&streams, parts.uri.query());
    events(&streams, &mut parts, params.map(|params| (Followed::Status, params))).await
}

/// What a stream is to follow.
enum Followed {
    Sessions(Vec<SessionId>),
    Status,
}

/// What to follow, and how.
type SseRequest = (Followed, StreamParams);

fn named(query: Option<&str>, default_heartbeat: Duration) -> Result<SseRequest, ApiError> {
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
    Ok((Followed::Sessions(ids), request::rest(query, default_heartbeat)?))
}

impl Followed {
    /// How many cursors it has.
    const fn count(&self) -> usize {
        match self {
            Self::Sessions(sessions) => sessions.len(),
            Self::Status => 1,
        }
    }
}

/// A refusal that comes back gets 204: that is how an `EventSource` is told to stay away.
async fn events(
    streams: &Arc<Streams>,
    parts: &mut Parts,
    request: Result<SseRequest, ApiError>,
) -> Result<Response, ApiError> {
    match open(streams, parts, request).await {
        Err(error) if parts.headers.contains_key("last-event-id") && is_final(&error) => {
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        answer => answer,
    }
}

async fn open(
    streams: &Arc<Streams>,
    parts: &mut Parts,
    request: Result<SseRequest, ApiError>,
) -> Result<Response, ApiError> {
    let principal = counted(streams, parts, TicketUse::Once).await??;
    access::check_role(streams.limits(), streams.security(), parts, &principal)?;
    admitted(streams, parts, &principal)?;
    let (followed, params) = request?;
    if access::route(parts)?.weight == Weight::Sessions {
        // Each session is read, as with a `SUBSCRIBE`.
        let reads = u32::try_from(followed.count()).unwrap_or(u32::MAX);
        count(streams, parts, &principal, Class::Read, reads)?;
    }
    let address = access::address(streams.limits(), parts);
    let client = SseClient { permits: streams.admit(&principal, address, None).await?.into(), principal, address };
    let last_event_id = parts.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let texts = last_event_id.into_iter().chain(params.cursors.iter().map(String::as_str));
    let cursors = cursors(texts, followed.count());
    let takeover = Takeover::of(parts);
    let encoding = if takeover.is_some() { Encoding::EventChunk } else { Encoding::EventStream };
    let events = match followed {
        Followed::Sessions(sessions) => {
            SseEvents::open(streams, client, sessions, &cursors, &params, encoding).await?
        }
        Followed::Status => {
            let last = cursors.first().copied().flatten();
            let feed = streams.follow_status(last);
            SseEvents::open_one(streams, client, feed, last, &params, encoding).await?
        }
    };
    Ok(match takeover {
        Some(takeover) => takeover.accept(chunked(streams), events.on_connection()),
        None => answer(Body::from_stream(events.into_pieces(StreamEnd::of(parts)).map(Ok::<_, Infallible>))),
    })
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

fn chunked(streams: &Streams) -> Response {
    let mut response = answer(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    if let Ok(date) = HeaderValue::from_str(&http_date(streams.now())) {
        headers.insert(header::DATE, date);
    }
    response
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
