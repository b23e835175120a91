//! Routes and problem documents; axum lives here and in `server` only.

pub mod api;
pub mod error;
pub mod metrics;

mod accept;
mod assets;
mod auth;
mod cors;
mod extract;
mod host;
mod layers;
mod operations;
mod origin;
mod query;
mod response;
mod signed;
mod v1;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::get;
use hyper::body::Incoming;
use tower::ServiceExt as _;

use self::api::Api;
use self::cors::Cors;
#[cfg(test)]
pub(crate) use self::v1::stream_routes;
use crate::net::front::Handler;
use crate::stream::Streams;

/// The whole service: the API and the streams under each of their names, the page,
/// and what operators ask. Pages of `cors_origins` may call all of it.
pub fn router(api: &Arc<Api>, streams: &Arc<Streams>, cors_origins: &[String]) -> Router {
    let v1 = || v1::routes(streams);
    let service = Router::new()
        .nest("/v1", v1())
        .nest("/api/v1", v1())
        .nest("/api", v1())
        .route("/health", get(operations::health))
        .route("/ready", get(operations::ready))
        .merge(assets::routes())
        .with_state(Arc::clone(api));
    let cors = Cors::of(cors_origins, &service);
    layers::around(service, Arc::clone(api), cors)
}

impl Handler for Router {
    type Body = Body;

    async fn handle(self, request: Request<Incoming>) -> Response<Body> {
        let Ok(response) = self.oneshot(request).await;
        response
    }
}
