//! The page and the client library it rests on, built into the program: one
//! file to run, and nothing fetched from elsewhere.
//!
//! A debug build reads the two folders when it starts, so that a change needs no build.

use std::borrow::Cow;
use std::future::ready;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rust_embed::RustEmbed;

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

/// What no page is made of, such as the description of a package.
const UNKNOWN: &str = "application/octet-stream";

#[derive(RustEmbed)]
#[folder = "web"]
struct Web;

#[derive(RustEmbed)]
#[folder = "sdk"]
struct Sdk;

/// Address and content of every file that a browser may ask for.
fn assets() -> impl Iterator<Item = (String, Cow<'static, [u8]>)> {
    let web = Web::iter().filter_map(|path| Some((format!("/web/{path}"), Web::get(&path)?.data)));
    // Its folders hold tests and examples, which no page loads.
    let sdk = Sdk::iter().filter(|path| !path.contains('/'));
    let sdk = sdk.filter_map(|path| Some((format!("/sdk/{path}"), Sdk::get(&path)?.data)));
    web.chain(sdk).filter(|(path, _)| forms(path)[0] != UNKNOWN)
}

/// `/`, and every file under `/web` and `/sdk`.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    assets().fold(Router::new(), |router, (path, content)| {
        let asset = Asset::new(&path, content);
        let address = if path == "/web/index.html" { "/" } else { &path };
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
    fn new(path: &str, content: Cow<'static, [u8]>) -> Self {
        let etag = etag(&content);
        let content = match content {
            Cow::Borrowed(content) => Bytes::from_static(content),
            Cow::Owned(content) => content.into(),
        };
        Self { content, content_type: content_type(path), etag }
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
        _ => &[UNKNOWN],
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

    #[tokio::test]
    async fn every_file_a_page_is_made_of_is_served_and_nothing_else() {
        for folder in ["web", "sdk"] {
            let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("a folder");
            for file in files {
                let name = file.expect("an entry").file_name().into_string().expect("a name");
                let is_part = ["html", "css", "js", "svg"].iter().any(|ending| name.ends_with(&format!(".{ending}")));
                let address = if name == "index.html" { "/".to_owned() } else { format!("/{folder}/{name}") };
                let expected = if is_part { StatusCode::OK } else { StatusCode::NOT_FOUND };
                assert_eq!(ask(&address, None).await.status(), expected, "{address}");
            }
        }
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
    async fn what_is_not_in_the_folders_is_not_there() {
        assert_eq!(ask("/web/secret.js", None).await.status(), StatusCode::NOT_FOUND);
        assert_eq!(ask("/sdk/../Cargo.toml", None).await.status(), StatusCode::NOT_FOUND);
        assert_eq!(ask("/sdk/test/fakes.js", None).await.status(), StatusCode::NOT_FOUND);
    }
}
