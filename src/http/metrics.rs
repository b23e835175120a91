//! `/metrics`, on a listener of its own: who may scrape is not who may play.
//!
//! A page in a browser can make a name of its own point at this host (DNS rebinding), and
//! then read what is served here as its own. No name that a public name server gives out
//! is answered to unless a setting lists it, so no such page gets anything.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::host;
use crate::telemetry::metrics::Recorder;

/// Names below these are in no public name server (RFC 6761, RFC 6762, RFC 8375, and ICANN's `.internal`);
/// `.lan` is what routers use.
const PRIVATE: &[&str] = &["localhost", "local", "internal", "lan", "home.arpa", "test"];

/// The one route of the metrics listener. `hosts` are further names it answers to.
pub fn router(recorder: Recorder, hosts: &[String]) -> Router {
    with_probes(recorder, hosts, Router::new())
}

/// The same, with `probes` beside it.
pub fn with_probes(recorder: Recorder, hosts: &[String], probes: Router) -> Router {
    let guard = from_fn_with_state(Arc::from(hosts), guard);
    Router::new().route("/metrics", get(move || async move { text(&recorder) })).merge(probes).layer(guard)
}

fn text(recorder: &Recorder) -> impl IntoResponse + use<> {
    let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, recorder.render())
}

async fn guard(State(hosts): State<Arc<[String]>>, mut request: Request, next: Next) -> Response {
    if host::settle(&mut request).is_err() {
        return (StatusCode::BAD_REQUEST, "a request names one host\n").into_response();
    }
    if is_of_a_page(request.headers()) {
        return (StatusCode::FORBIDDEN, "pages of other origins may not read metrics\n").into_response();
    }
    if !is_known(request.headers(), &hosts) {
        return (StatusCode::FORBIDDEN, "METRICS_HOSTS does not list this host name\n").into_response();
    }
    next.run(request).await
}

/// Whether a browser sends it on behalf of a page: scrapers and address bars set neither.
fn is_of_a_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    headers.contains_key(header::ORIGIN) || site.is_some_and(|site| site != "none" && site != "same-origin")
}

fn is_known(headers: &HeaderMap, hosts: &[String]) -> bool {
    // Only HTTP/1.0 goes without, and no browser speaks that.
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_private =
        |suffix: &&str| name.strip_suffix(*suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !name.contains('.') || address.parse::<IpAddr>().is_ok() || PRIVATE.iter().any(is_private) || hosts.contains(&name)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::telemetry::metrics;

    async fn scraped(headers: &[(&str, &str)]) -> Response {
        let request =
            headers.iter().fold(Request::get("/metrics"), |request, (name, value)| request.header(*name, *value));
        let hosts = ["metrics.example.com".to_owned()];
        router(metrics::install(), &hosts).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_scrape_gets_what_was_counted() {
        metrics::install();
        ::metrics::counter!(metrics::GAPS_TOTAL).increment(1);
        let answer = scraped(&[("host", "127.0.0.1:9464")]).await;
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("# TYPE synckairos_gaps_total counter"), "{text}");
        assert!(text.contains("synckairos_build_info{version=\"0.1.0\""), "{text}");
    }

    #[tokio::test]
    async fn metrics_answer_to_no_name_a_page_could_rebind() {
        for (host, status) in [
            ("127.0.0.1:9464", 200),
            ("10.0.0.7", 200),
            ("[::1]:9464", 200),
            ("localhost:9464", 200),
            ("synckairos-1:9464", 200),
            ("a.svc.cluster.local", 200),
            ("app.internal.:9464", 200),
            ("METRICS.example.com:9464", 200),
            ("rebound.example", 403),
            ("rebound.example.com:9464", 403),
            ("evillocal.example", 403),
            ("x.notinternal", 403),
            ("127.0.0.1.nip.io", 403),
            ("", 400),
        ] {
            assert_eq!(scraped(&[("host", host)]).await.status().as_u16(), status, "{host}");
        }
        assert_eq!(scraped(&[]).await.status(), 400);
    }

    #[tokio::test]
    async fn metrics_answer_to_no_page_of_another_origin() {
        let host = ("host", "127.0.0.1:9464");
        for (header, status) in [
            (("origin", "http://evil.example"), 403),
            (("origin", "null"), 403),
            (("sec-fetch-site", "cross-site"), 403),
            (("sec-fetch-site", "none"), 200),
        ] {
            assert_eq!(scraped(&[host, header]).await.status().as_u16(), status, "{header:?}");
        }
    }
}
