//! What handlers answer: snapshots, outcomes, pages.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use serde::Serialize;

use crate::app::{Answer, Held};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::wire::frame;

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

/// A snapshot with its entity tag.
pub fn snapshot(held: &Held, as_of: Timestamp) -> Response<Body> {
    let mut response = bytes_as_json(StatusCode::OK, frame::snapshot(&held.session, as_of));
    response.headers_mut().insert(header::ETAG, entity_tag(held.session.position));
    response
}

/// The snapshot plus `outcome`, and the position the command made.
pub fn answered(answer: &Answer, as_of: Timestamp) -> Bytes {
    #[derive(Serialize)]
    struct Tail<'a> {
        outcome: &'a crate::domain::session::event::Outcome,
        position: String,
    }
    let position = answer.replayed.unwrap_or(answer.position()).to_string();
    let snapshot = answer.told.clone().unwrap_or_else(|| frame::snapshot(&answer.held.session, as_of));
    frame::snapshot_and(&snapshot, &Tail { outcome: &answer.outcome, position })
}

/// The answer to a command.
pub fn command(status: StatusCode, answer: &Answer, as_of: Timestamp) -> Response<Body> {
    let mut response = bytes_as_json(status, answered(answer, as_of));
    response.headers_mut().insert(header::ETAG, entity_tag(answer.position()));
    if answer.replayed.is_some() {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}
