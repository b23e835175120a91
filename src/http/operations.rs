//! `/health` and `/ready`: whether it is alive, and whether it should be sent requests.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::Api;
use super::answer;

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

/// `GET /health`.
pub(super) async fn health() -> Response {
    answer::json(StatusCode::OK, &Alive { status: "alive" })
}

/// `GET /ready`.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Response {
    let (store, ledger) = api.sessions.reachable().await;
    let draining = api.draining.is_cancelled();
    let uncertainty_ms = api.clock.uncertainty_ms();
    let is_ready = store && ledger && !draining && uncertainty_ms <= api.max_uncertainty_ms;
    let (code, status) =
        if is_ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not_ready") };
    answer::json(code, &Ready { status, store, ledger, uncertainty_ms, draining })
}
