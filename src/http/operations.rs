//! `/health` and `/ready`: whether it is alive, and whether it should be sent requests.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::api::Api;
use super::response;
use super::routes::{Endpoint, ROOT};
use crate::app::readiness::Reachable;
use crate::auth::UNKNOWN;

#[derive(Serialize)]
struct Alive {
    status: &'static str,
}

#[derive(Serialize)]
struct Ready {
    status: &'static str,
    store: bool,
    ledger: bool,
    uncertainty_ms: f64,
    draining: bool,
}

/// The routes from the root on, by their table.
pub(super) fn routes() -> Router<Arc<Api>> {
    ROOT.iter().fold(Router::new(), |router, route| match route.endpoint {
        Endpoint::Health => router.route(route.path, get(health)),
        Endpoint::Ready => router.route(route.path, get(ready)),
        _ => router,
    })
}

/// `GET /health`.
pub(super) async fn health() -> Response {
    response::json(StatusCode::OK, &Alive { status: "alive" })
}

/// `GET /ready`: whether it can serve commands and streams. The ledger is told; it counts only
/// where no command is answered without it.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Response {
    let Reachable { store, ledger } = api.readiness.reachable().await;
    let draining = api.draining.is_cancelled();
    let uncertainty_ms = api.clock.uncertainty_ms();
    // Who may be let in is not known before it is known what was revoked.
    let lets_in = api.authenticator.validity().generation() != UNKNOWN;
    let can_serve = store && lets_in && (ledger || !api.readiness.needs_ledger);
    let is_ready = can_serve && !draining && uncertainty_ms <= api.max_uncertainty_ms;
    let (code, status) =
        if is_ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not_ready") };
    response::json(code, &Ready { status, store, ledger, uncertainty_ms, draining })
}
