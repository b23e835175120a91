//! The page and the client library it rests on, built into the program: one
//! file to run, and nothing fetched from elsewhere.
//!
//! A file is named in the table below or it is not served; a test holds the
//! table against the two folders.

use std::future::ready;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::chain::Digest;

/// Only what this service itself serves is loaded or run, and only it is talked to.
/// `'self'` holds the WebSockets of the same host and port (CSP 3).
const POLICY: &str = "default-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'; object-src 'none'";

/// An address of the page may let somebody in, so no other host is told it. Not
/// `no-referrer`: some browsers then send `Origin: null` to this service itself.
const REFERRER: &str = "same-origin";

/// No other origin holds a window of the page, or loads its files.
const ISOLATED: &str = "same-origin";

/// Kept by browsers, but asked about each time, so that a new release is seen at once.
const REVALIDATE: &str = "no-cache";

macro_rules! assets {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_bytes!(concat!("../..", $path)).as_slice())),+]
    };
}

/// Address and content of every file.
const ASSETS: &[(&str, &[u8])] = assets![
    "/web/index.html",
    "/web/access.js",
    "/web/app.js",
    "/web/wake-lock.js",
    "/web/badges.js",
    "/web/available-clock-commands.js",
    "/web/clocks.js",
    "/web/config.js",
    "/web/create-view.js",
    "/web/cues.js",
    "/web/dom.js",
    "/web/clock-card-commands.js",
    "/web/clock-card.js",
    "/web/clock-grid.js",
    "/web/preset-fields.js",
    "/web/icon.svg",
    "/web/join-form.js",
    "/web/keyboard.js",
    "/web/laps.js",
    "/web/transport-picker.js",
    "/web/team-members.js",
    "/web/status-bar.js",
    "/web/clock-names.js",
    "/web/status-text.js",
    "/web/toast.js",
    "/web/available-commands.js",
    "/web/outage.js",
    "/web/frame-loop.js",
    "/web/pause-reasons.js",
    "/web/participants-form.js",
    "/web/presets.js",
    "/web/command-feedback.js",
    "/web/test-hooks.js",
    "/web/session-view.js",
    "/web/share.js",
    "/web/durations.js",
    "/web/style.css",
    "/web/terms.js",
    "/web/token.js",
    "/web/toolbar.js",
    "/web/confirm.js",
    "/web/instants.js",
    "/web/commands.js",
    "/web/messages.js",
    "/sdk/address.js",
    "/sdk/anchor.js",
    "/sdk/backoff.js",
    "/sdk/clock.js",
    "/sdk/connection.js",
    "/sdk/control.js",
    "/sdk/cursor.js",
    "/sdk/edges.js",
    "/sdk/exchange.js",
    "/sdk/fallback.js",
    "/sdk/format.js",
    "/sdk/frame.js",
    "/sdk/liveness.js",
    "/sdk/index.js",
    "/sdk/instant.js",
    "/sdk/keys.js",
    "/sdk/attempt.js",
    "/sdk/listeners.js",
    "/sdk/merge.js",
    "/sdk/pending.js",
    "/sdk/poll.js",
    "/sdk/position.js",
    "/sdk/problem.js",
    "/sdk/rest.js",
    "/sdk/sse.js",
    "/sdk/sync.js",
    "/sdk/timers.js",
    "/sdk/transports.js",
    "/sdk/types.js",
    "/sdk/websocket.js",
];

/// `/`, and every file under `/web` and `/sdk`.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.iter().fold(Router::new(), |router, &(path, content)| {
        let asset = Asset::new(path, content);
        let address = if path == "/web/index.html" { "/" } else { path };
        router.route(address, get(move |headers: HeaderMap| ready(asset.answer(&headers))))
    })
}

/// One file, ready to be sent.
#[derive(Clone)]
struct Asset {
    content: Bytes,
    content_type: HeaderValue,
    etag: HeaderValue,
}

impl Asset {
    fn new(path: &str, content: &'static [u8]) -> Self {
        Self { content: Bytes::from_static(content), content_type: content_type(path), etag: etag(content) }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let common = [
            (header::ETAG, self.etag.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static(REVALIDATE)),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (header::REFERRER_POLICY, HeaderValue::from_static(REFERRER)),
            (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static(ISOLATED)),
            (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static(ISOLATED)),
        ];
        if self.is_held_by(asked) {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        (common, [(header::CONTENT_TYPE, self.content_type.clone())], self.content.clone()).into_response()
    }

    /// Whether the asker already has this content. A proxy that compresses may
    /// have made the tag a weak one; for this question the two are the same.
    fn is_held_by(&self, asked: &HeaderMap) -> bool {
        let tags = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        tags.flat_map(|list| list.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag.as_bytes() == self.etag.as_bytes())
    }
}

/// Whether a route is one of these.
pub(super) fn is_page(route: &str) -> bool {
    route == "/" || route.starts_with("/web/") || route.starts_with("/sdk/")
}

/// The media types that a route's file goes by, its own first.
pub(super) fn forms(route: &str) -> &'static [&'static str] {
    match route.rsplit_once('.').map_or(route, |(_, ending)| ending) {
        "/" | "html" => &["text/html"],
        "css" => &["text/css"],
        "js" => &["text/javascript", "application/javascript"],
        "svg" => &["image/svg+xml"],
        _ => &["application/octet-stream"],
    }
}

fn content_type(path: &str) -> HeaderValue {
    HeaderValue::from_static(match forms(path)[0] {
        "text/html" => "text/html; charset=utf-8",
        "text/css" => "text/css; charset=utf-8",
        "text/javascript" => "text/javascript; charset=utf-8",
        other => other,
    })
}

fn etag(content: &[u8]) -> HeaderValue {
    let digest = URL_SAFE_NO_PAD.encode(&Digest::of(content).as_bytes()[..12]);
    HeaderValue::try_from(format!("\"{digest}\"")).expect("base64 in quotes is a header value")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(path: &str, if_none_match: Option<&HeaderValue>) -> Response {
        let request = Request::get(path);
        let request = match if_none_match {
            Some(tag) => request.header(header::IF_NONE_MATCH, tag),
            None => request,
        };
        let request = request.body(Body::empty()).expect("a request");
        routes::<()>().oneshot(request).await.expect("an answer")
    }

    #[test]
    fn the_table_names_every_file_there_is() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let there = ["web", "sdk"].into_iter().flat_map(|folder| {
            let files = std::fs::read_dir(root.join(folder)).expect("a folder").map(|entry| entry.expect("an entry"));
            files.map(move |file| format!("/{folder}/{}", file.file_name().to_string_lossy()))
        });
        let served = |path: &String| content_type(path) != "application/octet-stream";
        let there: BTreeSet<String> = there.filter(served).collect();
        let named: BTreeSet<String> = ASSETS.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(named, there);
    }

    #[tokio::test]
    async fn the_page_is_served_with_its_policy() {
        let answer = ask("/", None).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(answer.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        assert_eq!(answer.headers()[header::REFERRER_POLICY], "same-origin");
        for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
            assert_eq!(answer.headers()[name], "same-origin");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_held_is_not_sent_again() {
        let first = ask("/sdk/clock.js", None).await;
        let tag = first.headers()[header::ETAG].clone();
        assert_eq!(ask("/sdk/clock.js", Some(&tag)).await.status(), StatusCode::NOT_MODIFIED);
        let weak = HeaderValue::try_from(format!("\"other\", W/{}", tag.to_str().expect("ascii"))).expect("a value");
        assert_eq!(ask("/sdk/clock.js", Some(&weak)).await.status(), StatusCode::NOT_MODIFIED);
        let other = HeaderValue::from_static("\"other\"");
        assert_eq!(ask("/sdk/clock.js", Some(&other)).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn what_is_not_in_the_table_is_not_there() {
        assert_eq!(ask("/web/secret.js", None).await.status(), StatusCode::NOT_FOUND);
        assert_eq!(ask("/sdk/../Cargo.toml", None).await.status(), StatusCode::NOT_FOUND);
    }
}
