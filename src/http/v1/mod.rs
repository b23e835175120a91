//! The API, a file a resource.

mod batch;
mod commands;
mod history;
mod keys;
mod sessions;
mod streams;
mod time;
mod timesync;
mod tokens;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, patch, post};
use axum::{Extension, Router};

use super::api::Api;
use super::extract::BodyLimit;
use crate::stream::Streams;

#[cfg(test)]
pub(crate) use self::streams::routes as stream_routes;

/// Longest body of what may list many.
const MAX_LONG_BODY: usize = 1024 * 1024;

/// Longest body of what takes a few numbers, from anybody: no token is needed there.
const MAX_SHORT_BODY: usize = 4 * 1024;

/// Every route of the API, below `/v1`.
pub(super) fn routes(streams: &Arc<Streams>) -> Router<Arc<Api>> {
    let upgrades = from_fn_with_state(Arc::clone(streams), streams::ws::upgrade_or_next);
    let (long, short) = (BodyLimit(MAX_LONG_BODY), BodyLimit(MAX_SHORT_BODY));
    Router::new()
        .route("/sessions", post(sessions::create).layer(Extension(long)).get(history::list))
        .route("/sessions/batch", post(batch::batch).layer(Extension(long)))
        .route("/sessions/{id}", get(sessions::read).layer(upgrades).delete(sessions::delete))
        .route("/sessions/{id}/clone", post(sessions::clone))
        .route("/sessions/{id}/tokens", post(tokens::sign))
        .route("/seal-key", get(keys::of_tenant))
        .route("/signing-key", get(keys::of_token))
        .route("/sessions/{id}/seal-key", get(keys::of_session))
        .route("/sessions/{id}/history", get(history::history))
        .route("/sessions/{id}/at", get(history::at))
        .route("/sessions/{id}/participants", post(sessions::add_participant))
        .route(
            "/sessions/{id}/participants/{participant_id}",
            patch(sessions::change_participant).merge(delete(sessions::remove_participant)),
        )
        .route("/sessions/{id}/{command}", post(sessions::command))
        .route("/time", get(time::read).merge(post(time::exchange).layer(Extension(short))))
        .route("/timesync", post(timesync::answer).layer(Extension(short)))
        .merge(streams::routes().with_state(Arc::clone(streams)))
}
