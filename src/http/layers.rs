//! What every request passes: an id, a measure, and problems for all that fails.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::timeout::{RequestBodyDeadlineLayer, RequestBodyTimeoutLayer};

use super::access::ShownStanding;
use super::api::Api;
use super::cors::Cors;
use super::error::PendingProblem;
use super::host;
use super::routes::Route;
use super::{accept, access, assets, auth};
use crate::ids::Ids;
use crate::limits::Standing;
use crate::stream::poll::MIN_COMPRESSED_BYTES;
use crate::telemetry::metrics;
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;
use crate::wire::problem::Problem;

/// A body that pauses for longer is not waited for.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Open to every address.
const HEALTH: &str = "/health";

/// Which request it is, by its caller's name or ours.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a request is observed with.
struct Observer {
    api: Arc<Api>,
    cors: Option<Cors>,
}

/// Puts the layers around every route.
pub(super) fn around(router: Router, api: Arc<Api>, cors: Option<Cors>) -> Router {
    let compressed = SizeAbove::new(MIN_COMPRESSED_BYTES).and(NotForContentType::const_new("text/event-stream"));
    let body_deadline = api.body_deadline;
    // In one: each by itself would be boxed and cloned with every request.
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(Arc::new(Observer { api, cors }), observed))
        .layer(CompressionLayer::new().compress_when(compressed))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(RequestBodyDeadlineLayer::new(body_deadline))
        .layer(RequestBodyTimeoutLayer::new(BODY_TIMEOUT.min(body_deadline)));
    router.layer(layers)
}

/// A panic is a bug: the caller gets a problem, the log the place.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    ApiError::of(Code::Internal).into_response()
}

/// Which request it is: the caller's own name for it, or one made here.
#[derive(Debug, Clone)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    fn of(headers: &HeaderMap, ids: &Ids) -> Self {
        let made = || HeaderValue::from_maybe_shared(Bytes::from(ids.request())).ok();
        let given = headers.get(&REQUEST_ID).filter(|id| is_fit(id));
        Self(given.cloned().or_else(made).unwrap_or(HeaderValue::from_static("-")))
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

async fn observed(State(observer): State<Arc<Observer>>, mut request: Request, next: Next) -> Response {
    let (began, Observer { api, cors }) = (Instant::now(), &*observer);
    let id = RequestId::of(request.headers(), &api.ids);
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("unmatched", MatchedPath::as_str);
    let is_secret = auth::is_in_address(request.uri());
    request.extensions_mut().insert(id.clone());
    let standing = api.limits.are_shown().then(ShownStanding::default);
    if let Some(standing) = &standing {
        request.extensions_mut().insert(standing.clone());
    }
    let cors = cors.as_ref().map(|cors| (cors, cors.look_at(&mut request)));
    let denied = denied_address(api, &request, route);
    let settled = denied.or_else(|| host::settle(&mut request).err()).or_else(|| refused_form(&request, route));
    let mut response = match (settled, &cors) {
        (Some(refused), _) => refused.into_response(),
        (None, Some((cors, asked))) if asked.is_preflight => cors.preflight(request).await,
        (None, _) => next.run(request).await,
    };
    if let Some((_, asked)) = cors {
        asked.say_in(&mut response);
    }
    if let Some(standing) = standing.and_then(|standing| standing.take()) {
        show_standing(&mut response, &standing);
    }
    let status = response.status();
    metrics::record_request(route, method_label(&method), status.as_u16(), began.elapsed());
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::error!(request.id = id.as_str(), route, %method, status = status.as_u16(), "a request failed");
    }
    with_fixed_headers(with_problem(response, &id, api), id, is_secret)
}

/// Whoever is not let in learns only whether the service is alive.
fn denied_address(api: &Api, request: &Request, route: &str) -> Option<ApiError> {
    if route == HEALTH {
        return None;
    }
    let address = access::address_of(&api.limits, request.extensions(), request.headers());
    api.addresses.check(address).err().map(ApiError::from)
}

/// Nothing is done for whoever could not take the answer.
fn refused_form(request: &Request, route: &str) -> Option<ApiError> {
    if accept::takes_anything(request.headers()) {
        return None;
    }
    let forms = forms(route, request.method());
    if accept::takes(request.headers(), forms) {
        return None;
    }
    let said = format!("this path answers in {}; Accept must take that, or be left out", forms[0]);
    Some(ApiError::with_detail(Code::NotAcceptable, said))
}

/// The forms in which that route answers that method; a method that it does not have is refused in JSON.
fn forms(route: &str, method: &axum::http::Method) -> accept::Forms {
    match Route::matched(route, method.as_str()) {
        Some(row) => row.forms,
        None if route == "unmatched" => accept::NONE,
        None if assets::is_page(route) => assets::forms(route),
        None => accept::JSON,
    }
}

/// Where the caller stands now; a refusal says it already.
fn show_standing(response: &mut Response, standing: &Standing) {
    for (name, value) in standing.fields().headers() {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().entry(name).or_insert(value);
        }
    }
}

/// A label takes few values, whatever callers send.
fn method_label(method: &axum::http::Method) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or("OTHER")
}

/// A caller may bring its own id, if it is fit for a log.
fn is_fit(id: &HeaderValue) -> bool {
    let id = id.as_bytes();
    (1..=64).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}

fn with_problem(mut response: Response, id: &RequestId, api: &Api) -> Response {
    let given = response.extensions_mut().remove::<PendingProblem>().map(|given| (*given.0).clone());
    let Some(mut problem) = given.or_else(|| unexplained(&response)) else { return response };
    id.as_str().clone_into(&mut problem.request_id);
    problem.show_as_of(api.clock.now());
    let body = problem.json();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    *response.body_mut() = Body::from(body);
    response
}

/// What every answer carries. One that depends on its caller is kept by nobody, unless
/// it says itself how long it is good; one to an address with a token never is.
fn with_fixed_headers(mut response: Response, id: RequestId, is_secret: bool) -> Response {
    let headers = response.headers_mut();
    headers.insert(&REQUEST_ID, id.0);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_secret || !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// What the libraries refuse by themselves gets a problem document too.
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

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;

    #[test]
    fn each_route_has_its_forms() {
        assert_eq!(forms("/v1/sessions/{id}/events", &Method::GET), accept::EVENTS);
        assert_eq!(forms("/v1/events", &Method::GET), accept::EVENTS);
        assert_eq!(forms("/v1/sessions/{id}/poll", &Method::GET), accept::JSON);
        assert_eq!(forms("/v1/sessions/{id}", &Method::GET), accept::JSON);
        assert_eq!(forms("/v1/sessions/{id}", &Method::DELETE), accept::NONE);
        assert_eq!(forms("/v1/sessions/{id}/events", &Method::POST), accept::JSON);
        assert_eq!(forms("/v1/ws", &Method::GET), accept::NONE);
        assert_eq!(forms("/", &Method::GET), ["text/html"]);
        assert!(forms("/sdk/clock.js", &Method::GET).contains(&"text/javascript"));
        assert_eq!(forms("/health", &Method::GET), accept::JSON);
        assert_eq!(forms("unmatched", &Method::GET), accept::NONE);
    }
}
