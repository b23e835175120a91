//! `/v1/timesync`: one question of JSON-RPC, as the npm package `timesync` asks it.
//!
//! Its client takes the answer for the middle of the round trip, so the clock is read
//! once, and last.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::time::ms;
use crate::http::api::Api;
use crate::http::extract::{Anyone, Body};
use crate::http::response;
use crate::wire::api_error::ApiError;
use crate::wire::command::parsed;

/// The only method there is.
const METHOD: &str = "timesync";

/// An id is echoed, so it is not long.
const MAX_ID: usize = 128;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    jsonrpc: Option<String>,
    id: Value,
    method: String,
    /// The package names the field, and puts nothing in it.
    #[serde(default, rename = "params")]
    _params: IgnoredAny,
}

/// JSON-RPC 2.0, with cluster time as its result: ms since Unix time, with fractions.
#[derive(Serialize)]
struct Reply {
    jsonrpc: &'static str,
    id: Value,
    result: f64,
}

/// `POST /timesync`.
pub(super) async fn answer(State(api): State<Arc<Api>>, _: Anyone, Body(body): Body) -> Result<Response, ApiError> {
    let id = checked(parsed(body)?)?;
    let reply = Reply { jsonrpc: "2.0", id, result: ms(api.clock.now_us()) };
    let mut response = response::json(StatusCode::OK, &reply);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The id to answer with, if the call is one we answer.
fn checked(call: Call) -> Result<Value, ApiError> {
    if call.jsonrpc.is_some_and(|version| version != "2.0") {
        return Err(ApiError::invalid("/jsonrpc", "must be the text 2.0, or be left out"));
    }
    if call.method != METHOD {
        return Err(ApiError::invalid("/method", "must be the text timesync"));
    }
    let is_id = match &call.id {
        Value::Number(_) => true,
        Value::String(text) => text.len() <= MAX_ID,
        _ => false,
    };
    if is_id { Ok(call.id) } else { Err(ApiError::invalid("/id", "must be a number, or a text of at most 128 bytes")) }
}
