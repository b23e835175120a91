//! What handlers answer: snapshots, outcomes, pages.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use serde::Serialize;

use crate::app::{CommandResult, StoredSession};
use crate::domain::position::Position;
use crate::domain::session::Status;
use crate::domain::session::event::Outcome;
use crate::domain::time::Timestamp;
use crate::wire::frame;

/// A snapshot is its caller's own, and may be kept if it is asked about each time.
const REVALIDATED: HeaderValue = HeaderValue::from_static("private, no-cache");

/// The entity tag of a position.
pub fn entity_tag(position: Position) -> HeaderValue {
    let tag = format!("W/\"{position}\"");
    HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Any value as JSON.
pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    // Numbers, texts and maps with text keys: it always serialises.
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes_as_json(status, bytes.into())
}

/// JSON that is written already.
pub fn bytes_as_json(status: StatusCode, bytes: Bytes) -> Response<Body> {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
}

/// A snapshot with its entity tag, as `seal` leaves it.
pub fn snapshot(held: &StoredSession, as_of: Timestamp, seal: impl FnOnce(Bytes) -> Bytes) -> Response<Body> {
    let mut response = bytes_as_json(StatusCode::OK, seal(frame::snapshot(&held.session, as_of)));
    response.headers_mut().insert(header::ETAG, entity_tag(held.session.position));
    response.headers_mut().insert(header::CACHE_CONTROL, REVALIDATED);
    response
}

/// That the caller holds the snapshot already.
pub fn not_modified(position: Position) -> Response<Body> {
    let headers = [(header::ETAG, entity_tag(position)), (header::CACHE_CONTROL, REVALIDATED)];
    (StatusCode::NOT_MODIFIED, headers).into_response()
}

/// What a command came to, beside the snapshot.
#[derive(Debug, Serialize)]
pub struct CommandBody<'a> {
    outcome: &'a Outcome,
    /// The position the command made.
    position: String,
    /// An earlier request with the same idempotency key did it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
}

impl<'a> CommandBody<'a> {
    /// What that answer says beside the snapshot.
    pub fn of(answer: &'a CommandResult) -> Self {
        Self {
            outcome: &answer.outcome,
            position: answer.replayed.unwrap_or(answer.position()).to_string(),
            replayed: answer.replayed.is_some(),
        }
    }
}

/// The snapshot plus `outcome`, and the position the command made. A deleted session is not shown.
pub fn command_body(answer: &CommandResult, as_of: Timestamp) -> Bytes {
    let done = CommandBody::of(answer);
    if answer.stored.session.status == Status::Deleted {
        // Numbers and texts: it always serialises.
        return serde_json::to_vec(&done).unwrap_or_default().into();
    }
    let snapshot = answer.snapshot.clone().unwrap_or_else(|| frame::snapshot(&answer.stored.session, as_of));
    frame::snapshot_and(&snapshot, &done)
}

/// Marks the answer to a repeat.
pub fn replayable(mut response: Response<Body>, is_replay: bool) -> Response<Body> {
    if is_replay {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}

/// The answer to a command.
pub fn command(status: StatusCode, answer: &CommandResult, as_of: Timestamp) -> Response<Body> {
    let mut response = bytes_as_json(status, command_body(answer, as_of));
    response.headers_mut().insert(header::ETAG, entity_tag(answer.position()));
    replayable(response, answer.replayed.is_some())
}
