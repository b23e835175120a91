//! `/metrics`, on a listener of its own: who may scrape is not who may play.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::telemetry::metrics::Recorder;

/// The one route of the metrics listener.
pub fn router(recorder: Recorder) -> Router {
    Router::new().route("/metrics", get(move || async move { text(&recorder) }))
}

fn text(recorder: &Recorder) -> impl IntoResponse + use<> {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], recorder.render())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::telemetry::metrics;

    #[tokio::test]
    async fn a_scrape_gets_what_was_counted() {
        let recorder = metrics::install();
        ::metrics::counter!(metrics::GAPS_TOTAL).increment(1);
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        let answer = router(recorder).oneshot(request).await.unwrap();
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("# TYPE synckairos_gaps_total counter"), "{text}");
        assert!(text.contains("synckairos_build_info{version=\"0.1.0\""), "{text}");
    }
}
