//! Routes, streams, problem documents; axum lives here and in `server` only.

pub mod auth;
pub mod connection;
pub mod error;
pub mod metrics;
pub mod stream;

mod accept;
mod assets;
mod batch;
mod extract;
mod history;
mod layers;
mod operations;
mod origin;
mod query;
mod response;
mod sessions;
mod time;
mod timesync;
mod tokens;
mod ws_commands;

use std::sync::Arc;
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, patch, post};
use axum::{Extension, Router};
use tokio_util::sync::CancellationToken;

use self::extract::BodyLimit;
use self::stream::Streams;
use crate::app::readiness::Readiness;
use crate::app::sessions::Sessions;
use crate::auth::Authenticator;
use crate::clock::Clock;
use crate::ids::Ids;

/// Longest body of what may list many.
const MAX_LONG_BODY: usize = 1024 * 1024;

/// Longest body of what takes a few numbers, from anybody: no token is needed there.
const MAX_SHORT_BODY: usize = 4 * 1024;

/// What handlers work with.
pub struct Api {
    /// Timer sessions.
    pub sessions: Arc<Sessions>,
    /// What answers, for whoever asks whether this does.
    pub readiness: Arc<Readiness>,
    /// From a token to a proven caller.
    pub authenticator: Arc<Authenticator>,
    /// Where now comes from.
    pub clock: Arc<dyn Clock>,
    /// Where identifiers come from.
    pub ids: Ids,
    /// Above this `/ready` says no.
    pub max_uncertainty_ms: f64,
    /// How long the whole body of a request may take.
    pub body_deadline: Duration,
    /// A stop is to come.
    pub draining: CancellationToken,
}

/// The whole service: the API and the streams under each of their names, the page,
/// and what operators ask.
pub fn router(api: &Arc<Api>, streams: &Arc<Streams>) -> Router {
    let v1 = || v1(streams).merge(stream::routes().with_state(Arc::clone(streams)));
    let service = Router::new()
        .nest("/v1", v1())
        .nest("/api/v1", v1())
        .nest("/api", v1())
        .route("/health", get(operations::health))
        .route("/ready", get(operations::ready))
        .merge(assets::routes())
        .with_state(Arc::clone(api));
    layers::around(service, Arc::clone(api))
}

fn v1(streams: &Arc<Streams>) -> Router<Arc<Api>> {
    let upgrades = from_fn_with_state(Arc::clone(streams), stream::ws::upgrade_or_next);
    let (long, short) = (BodyLimit(MAX_LONG_BODY), BodyLimit(MAX_SHORT_BODY));
    Router::new()
        .route("/sessions", post(sessions::create).layer(Extension(long)).get(history::list))
        .route("/sessions/batch", post(batch::batch).layer(Extension(long)))
        .route("/sessions/{id}", get(sessions::read).layer(upgrades).delete(sessions::delete))
        .route("/sessions/{id}/clone", post(sessions::clone))
        .route("/sessions/{id}/tokens", post(tokens::sign))
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
}
