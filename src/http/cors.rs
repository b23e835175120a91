//! Pages of other origins (CORS, in the Fetch standard): those that `CORS_ORIGINS` lists may call, and read the answers.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt as _;

use super::origin;
use super::origin::IsListed;

/// Request headers that clients send, beside those that every page may send.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, cache-control, content-type, idempotency-key, if-match, if-none-match, last-event-id, signature, \
     x-request-id, x-requested-with",
);

/// Headers of answers that clients read, beside those that every page may read.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "allow, etag, idempotent-replayed, link, location, retry-after, www-authenticate, x-request-id",
);

/// How long a browser may remember the answer to a preflight, in seconds. Some take no more.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The origins whose pages may call, and the routes that they may ask about.
pub(super) struct Cors {
    origins: Box<[HeaderValue]>,
    routes: Router,
}

/// What CORS has to say of one request.
pub(super) struct CorsRequest {
    /// Its origin, if that is listed.
    listed: Option<HeaderValue>,
    /// A browser asks whether its page may send another request.
    pub(super) is_preflight: bool,
}

impl Cors {
    /// CORS for these origins; `None` without any, so that no request is looked at.
    pub(super) fn of(origins: &[String], routes: &Router) -> Option<Self> {
        let origins: Box<[_]> = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
        (!origins.is_empty()).then(|| Self { origins, routes: routes.clone() })
    }

    /// Looks at a request, and notes on it whether its origin is listed.
    pub(super) fn look_at(&self, request: &mut Request) -> CorsRequest {
        let headers = request.headers();
        let listed = match origin::only(headers, &header::ORIGIN) {
            Ok(Some(origin)) => self.origins.iter().find(|each| *each == origin).cloned(),
            _ => None,
        };
        let is_question =
            request.method() == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let is_preflight = is_question && listed.is_some();
        request.extensions_mut().insert(IsListed(listed.is_some()));
        CorsRequest { listed, is_preflight }
    }

    /// The answer to a preflight. No route takes `OPTIONS`, so the routes refuse it, and the
    /// refusal names the methods that its route takes.
    pub(super) async fn preflight(&self, request: Request) -> Response {
        let Ok(mut refused) = self.routes.clone().oneshot(request).await;
        let is_of_route = refused.status() == StatusCode::METHOD_NOT_ALLOWED;
        let Some(methods) = refused.headers_mut().remove(header::ALLOW).filter(|_| is_of_route) else { return refused };
        let headers = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ];
        (StatusCode::NO_CONTENT, headers).into_response()
    }
}

impl CorsRequest {
    /// Says in an answer who may read it. A page of an origin that is not listed may not.
    pub(super) fn say_in(self, response: &mut Response) {
        let headers = response.headers_mut();
        // Whoever keeps answers must not give the one for a page to another.
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = self.listed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
    }
}
