//! Open mode trusts whoever reaches the loopback address, and so does every
//! browser on this machine: pages of other origins are kept out.

use axum::http::{HeaderMap, Uri, header};

use super::error::ApiError;
use crate::wire::problem::Code;

/// Refuses a request that a page of another origin, or of a name that merely
/// resolves to this machine, makes a browser send.
pub fn check(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let origin = text(header::ORIGIN);
    let same = origin.is_none_or(|origin| host_of(origin).as_deref() == Some(host));
    if same && (host.is_empty() || is_loopback(host)) {
        return Ok(());
    }
    Err(ApiError::saying(Code::Forbidden, "without a key only pages of this service itself may call it"))
}

fn host_of(origin: &str) -> Option<String> {
    let uri: Uri = origin.parse().ok()?;
    uri.authority().map(|authority| authority.as_str().to_owned())
}

fn is_loopback(host: &str) -> bool {
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host });
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn is_let_in(host: &'static str, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        check(&headers).is_ok()
    }

    #[test]
    fn only_our_own_pages_and_plain_programs_are_let_in() {
        assert!(is_let_in("127.0.0.1:8080", None));
        assert!(is_let_in("localhost:8080", Some("http://localhost:8080")));
        assert!(is_let_in("[::1]:8080", Some("http://[::1]:8080")));
        assert!(!is_let_in("127.0.0.1:8080", Some("http://evil.example")));
        assert!(!is_let_in("127.0.0.1:8080", Some("http://127.0.0.1:9999")));
        assert!(!is_let_in("127.0.0.1:8080", Some("null")));
        assert!(!is_let_in("rebound.example:8080", None));
    }
}
