//! `POST /v1/tickets`: a ticket opens one stream, so that no token need stand in an address.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::http::api::Api;
use crate::http::extract::{Body, Caller};
use crate::http::response;
use crate::telemetry::outage::chain;
use crate::wire::api_error::ApiError;
use crate::wire::command::parsed;
use crate::wire::error_code::Code;
use crate::wire::instant::Instant;

/// A request for a ticket has nothing to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketRequest {}

#[derive(Serialize)]
struct TicketBody {
    ticket: String,
    expires_at: Instant,
}

/// `POST /tickets`: for the caller itself.
pub(super) async fn issue(State(api): State<Arc<Api>>, caller: Caller, Body(body): Body) -> Result<Response, ApiError> {
    let TicketRequest {} = parsed(body)?;
    let ticket = api.tickets.issue(&caller.principal, caller.arrived).await.map_err(|error| {
        tracing::debug!(error = chain(&error), "failed to issue a ticket");
        ApiError::unavailable(Code::StoreUnavailable)
    })?;
    let body = TicketBody { ticket: ticket.text, expires_at: Instant(ticket.expires_at) };
    Ok(response::json(StatusCode::CREATED, &body))
}
