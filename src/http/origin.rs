//! Pages of other origins are kept out where their browser would let them in.
//!
//! Open mode trusts whoever reaches the loopback address, and every browser on this machine
//! reaches it. A WebSocket a browser opens for any page, and shows it everything.

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Uri, header};

use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;

/// Whether `CORS_ORIGINS` lists the origin of a request: an extension of the request, which
/// is absent where the setting lists nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsListed(pub bool);

/// Refuses a request that a page of another origin, or of a name that merely
/// resolves to this machine, makes a browser send. What cannot be read is refused too.
pub fn check(parts: &Parts) -> Result<(), ApiError> {
    let is_listed = parts.extensions.get() == Some(&IsListed(true));
    let is_ours = |host: &str| is_loopback(host) && (is_listed || is_from(&parts.headers, host));
    let is_ours = asked_of(parts).is_some_and(is_ours);
    if is_ours {
        return Ok(());
    }
    Err(ApiError::with_detail(
        Code::Forbidden,
        "without JWT_SECRET only programs and pages on this machine may call: the Host must be localhost or a loopback \
         address, and an Origin the same or one that CORS_ORIGINS lists",
    ))
}

/// Refuses a request for a page of another origin, where the caller is known by a certificate:
/// a browser shows that on its own, whichever page asks.
pub fn check_page(parts: &Parts) -> Result<(), ApiError> {
    let is_listed = parts.extensions.get() == Some(&IsListed(true));
    if is_listed || asked_of(parts).is_some_and(|host| is_from(&parts.headers, host)) {
        return Ok(());
    }
    Err(ApiError::with_detail(
        Code::Forbidden,
        "where a client certificate alone says who calls, an Origin must be the same as the Host, or one that \
         CORS_ORIGINS lists",
    ))
}

/// Refuses a WebSocket for a page of another origin, where `CORS_ORIGINS` says which may call:
/// what a browser keeps from such a page otherwise, it gives it over a WebSocket.
pub fn check_websocket(parts: &Parts) -> Result<(), ApiError> {
    let is_unlisted = parts.extensions.get() == Some(&IsListed(false));
    if !is_unlisted || asked_of(parts).is_some_and(|host| is_from(&parts.headers, host)) {
        return Ok(());
    }
    Err(ApiError::with_detail(
        Code::Forbidden,
        "the Origin of a WebSocket must be the same as the Host, or one that CORS_ORIGINS lists",
    ))
}

/// The host and port a request is for. HTTP/2 says it in `:authority`, an absolute target
/// in the target; where there is a `Host` as well the two must agree.
fn asked_of(parts: &Parts) -> Option<&str> {
    let target = parts.uri.authority().map(Authority::as_str);
    match (target, only(&parts.headers, &header::HOST)) {
        (Some(target), Ok(Some(host))) => target.eq_ignore_ascii_case(host).then_some(host),
        (target, Ok(host)) => target.or(host),
        (_, Err(NotOne)) => None,
    }
}

fn is_from(headers: &HeaderMap, host: &str) -> bool {
    match only(headers, &header::ORIGIN) {
        Ok(None) => true,
        Ok(Some(origin)) => host_of(origin).is_some_and(|from| from.eq_ignore_ascii_case(host)),
        Err(NotOne) => false,
    }
}

/// Several values, or one that is no text.
pub struct NotOne;

/// The value of a header that stands there once.
pub fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, NotOne> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| NotOne),
        (Some(_), Some(_)) => Err(NotOne),
    }
}

fn host_of(origin: &str) -> Option<String> {
    let uri: Uri = origin.parse().ok()?;
    let has_scheme = uri.scheme().is_some();
    uri.authority().filter(|_| has_scheme).map(|authority| authority.as_str().to_owned())
}

fn is_loopback(host: &str) -> bool {
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host });
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn is_let_in(target: &str, headers: &[(&str, &[u8])]) -> bool {
        let request = headers.iter().fold(Request::get(target), |request, (name, value)| request.header(*name, *value));
        check(&request.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn only_our_own_pages_and_plain_programs_are_let_in() {
        for (host, origin) in [
            ("127.0.0.1:8080", None),
            ("LocalHost:8080", None),
            ("localhost", Some("http://localhost")),
            ("localhost:8080", Some("http://localhost:8080")),
            ("[::1]:8080", Some("http://[::1]:8080")),
        ] {
            let origin: Option<(&str, &[u8])> = origin.map(|origin: &str| ("origin", origin.as_bytes()));
            let headers: Vec<_> = std::iter::once(("host", host.as_bytes())).chain(origin).collect();
            assert!(is_let_in("/", &headers), "{host} {origin:?}");
        }
        for (host, origin) in [
            ("127.0.0.1:8080", Some("http://evil.example")),
            ("127.0.0.1:8080", Some("http://127.0.0.1:9999")),
            ("127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("127.0.0.1:8080", Some("null")),
            ("127.0.0.1:8080", Some("")),
            ("rebound.example:8080", None),
            ("x@127.0.0.1:8080", None),
        ] {
            let origin: Option<(&str, &[u8])> = origin.map(|origin: &str| ("origin", origin.as_bytes()));
            let headers: Vec<_> = std::iter::once(("host", host.as_bytes())).chain(origin).collect();
            assert!(!is_let_in("/", &headers), "{host} {origin:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_let_in() {
        let host: (&str, &[u8]) = ("host", b"localhost:8080");
        let origin: (&str, &[u8]) = ("origin", b"http://localhost:8080");
        assert!(!is_let_in("/", &[]), "no host");
        assert!(!is_let_in("/", &[("host", b"")]), "an empty host");
        assert!(!is_let_in("/", &[("host", b"localhost\xe9:8080")]), "a host beyond ASCII");
        assert!(!is_let_in("/", &[host, host]), "two hosts");
        assert!(!is_let_in("/", &[host, ("origin", b"http://localhost:8080\xe9")]), "an origin beyond ASCII");
        assert!(!is_let_in("/", &[host, origin, origin]), "two origins");
    }

    #[test]
    fn the_target_counts_as_the_host_does() {
        let origin: (&str, &[u8]) = ("origin", b"http://localhost:8080");
        assert!(is_let_in("http://localhost:8080/", &[origin]));
        assert!(is_let_in("http://localhost:8080/", &[("host", b"localhost:8080"), origin]));
        assert!(!is_let_in("http://rebound.example:8080/", &[]));
        assert!(!is_let_in("http://rebound.example:8080/", &[("host", b"localhost:8080")]));
        assert!(!is_let_in("http://localhost:8080/", &[("host", b"rebound.example:8080")]));
        assert!(!is_let_in("http://localhost:8080/", &[("origin", b"http://rebound.example:8080")]));
    }
}
