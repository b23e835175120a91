//! The streams: a WebSocket, server-sent events or a long-poll, of one session, of many, or of
//! the instance itself.

pub(super) mod ws;

mod handshake;
mod poll;
pub(crate) mod request;
pub(crate) mod sse;

use std::sync::Arc;

use axum::routing::MethodRouter;

use super::handled;
use crate::http::routes::{Route, StreamEndpoint};
use crate::stream::Streams;

/// The streams' routes alone.
#[cfg(test)]
pub(crate) fn routes() -> axum::Router<Arc<Streams>> {
    use crate::http::routes::{Endpoint, V1};
    V1.iter().fold(axum::Router::new(), |router, route| match route.endpoint {
        Endpoint::Stream(stream) => router.route(route.path, handler(route, stream)),
        _ => router,
    })
}

/// What answers the route of a stream. An upgrade on `/sessions/{id}` itself is for
/// [`ws::upgrade_or_next`].
pub(super) fn handler(route: &'static Route, stream: StreamEndpoint) -> MethodRouter<Arc<Streams>> {
    match stream {
        StreamEndpoint::SocketOfMany => handled(route, ws::follow_many),
        StreamEndpoint::EventsOfMany => handled(route, sse::follow_many),
        StreamEndpoint::SocketOfStatus => handled(route, ws::follow_status),
        StreamEndpoint::EventsOfStatus => handled(route, sse::follow_status),
        StreamEndpoint::PollOfStatus => handled(route, poll::poll_status),
        StreamEndpoint::SocketOfSession => handled(route, ws::follow),
        StreamEndpoint::EventsOfSession => handled(route, sse::follow),
        StreamEndpoint::PollOfSession => handled(route, poll::poll),
    }
}
