//! `/v1/time`: cluster time, and the four-stamp exchange.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;
use crate::http::api::Api;
use crate::http::extract::{Anyone, Body};
use crate::http::response;
use crate::wire::api_error::ApiError;
use crate::wire::command::parsed;
use crate::wire::instant::Instant;

#[derive(Serialize)]
struct TimeBody {
    timestamp_ms: f64,
    timestamp: Instant,
    uncertainty_ms: f64,
    source: &'static str,
    utc_offset_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receive_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transmit_ms: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    origin_ms: f64,
}

/// Milliseconds with fractions to the microsecond.
#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 fit a float's 53 bits until 2255")]
pub(super) fn ms(us: i64) -> f64 {
    us as f64 / 1_000.0
}

/// `GET /time`.
pub(super) async fn read(State(api): State<Arc<Api>>, _: Anyone) -> Response {
    time_response(&api, None)
}

/// `POST /time`.
pub(super) async fn exchange(State(api): State<Arc<Api>>, _: Anyone, Body(body): Body) -> Result<Response, ApiError> {
    let received_us = api.clock.now_us();
    let Exchange { origin_ms } = parsed(body)?;
    Ok(time_response(&api, Some((origin_ms, received_us))))
}

fn time_response(api: &Api, exchange: Option<(f64, i64)>) -> Response {
    let now_us = api.clock.now_us();
    let body = TimeBody {
        timestamp_ms: ms(now_us),
        timestamp: Instant(Timestamp::from_ms(now_us.div_euclid(1_000))),
        uncertainty_ms: api.clock.uncertainty_ms(),
        source: api.clock.source(),
        utc_offset_ms: None,
        origin_ms: exchange.map(|(origin, _)| origin),
        receive_ms: exchange.map(|(_, received)| ms(received)),
        transmit_ms: exchange.map(|_| ms(now_us)),
    };
    let mut response = response::json(StatusCode::OK, &body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
