//! What every request passes: an id, a measure, and problems for all that fails.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::timeout::RequestBodyTimeoutLayer;

use super::Api;
use super::error::{ApiError, Told};
use crate::telemetry::metrics;
use crate::wire::problem::{Code, Problem};

/// A body that pauses for longer is not waited for.
const BODY_PAUSE: Duration = Duration::from_secs(10);

/// Smaller answers go as they are.
pub const COMPRESS_FROM: u64 = 1_024;

/// Puts the layers around every route.
pub fn around(router: Router, api: Arc<Api>) -> Router {
    let compressed = SizeAbove::new(COMPRESS_FROM).and(NotForContentType::const_new("text/event-stream"));
    // In one: each by itself would be boxed and cloned with every request.
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(api, observed))
        .layer(CompressionLayer::new().compress_when(compressed))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(RequestBodyTimeoutLayer::new(BODY_PAUSE));
    router.layer(layers)
}

/// A panic is a bug: the caller gets a problem, the log the place.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    ApiError::of(Code::Internal).into_response()
}

async fn observed(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers()).unwrap_or_else(|| format!("{:016x}", api.ids.nonce()));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let status = response.status();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    metrics::requested(route, method_label(&method), status.as_u16(), began.elapsed());
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::error!(request.id = id, route, %method, status = status.as_u16(), "a request failed");
    }
    with_problem(response, id)
}

/// A label takes few values, whatever callers send.
fn method_label(method: &axum::http::Method) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or("OTHER")
}

/// A caller may bring its own id, if it is fit for a log.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    let is_fit =
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    is_fit.then(|| id.to_owned())
}

fn with_problem(mut response: Response, id: String) -> Response {
    let told = response.extensions_mut().remove::<Told>().map(|told| (*told.0).clone());
    let problem = told.or_else(|| unexplained(&response));
    let header_value = HeaderValue::from_str(&id);
    if let Some(mut problem) = problem {
        problem.request_id = Some(id);
        let body = problem.json();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        *response.body_mut() = Body::from(body);
    }
    if let Ok(value) = header_value {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// What the libraries refuse by themselves is told in our words.
fn unexplained(response: &Response) -> Option<Problem> {
    let code = match response.status().as_u16() {
        400 | 426 => Code::Malformed,
        404 => Code::NotFound,
        405 => Code::MethodNotAllowed,
        406 => Code::NotAcceptable,
        413 => Code::TooLarge,
        415 => Code::UnsupportedMediaType,
        422 => Code::Invalid,
        500.. => Code::Internal,
        _ => return None,
    };
    let is_ours = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    (!is_ours).then(|| Problem::new(code, None))
}
