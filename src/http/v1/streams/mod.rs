//! The streams: a WebSocket, server-sent events or a long-poll, of one session, of many, or of
//! the instance itself.

pub(super) mod ws;

mod handshake;
mod poll;
pub(crate) mod request;
pub(crate) mod sse;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::stream::Streams;

/// The streams' routes, below `/v1`. An upgrade on `/sessions/{id}` itself is for
/// [`ws::upgrade_or_next`].
pub(crate) fn routes() -> Router<Arc<Streams>> {
    Router::new()
        .route("/ws", get(ws::follow_many))
        .route("/events", get(sse::follow_many))
        .route("/status/ws", get(ws::follow_status))
        .route("/status/events", get(sse::follow_status))
        .route("/status/poll", get(poll::poll_status))
        .route("/sessions/{id}/ws", get(ws::follow))
        .route("/sessions/{id}/events", get(sse::follow))
        .route("/sessions/{id}/poll", get(poll::poll))
}
