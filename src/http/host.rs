//! Which host a request is for (RFC 9112, section 3.2; RFC 9113, section 8.3.1).

use axum::http::uri::Authority;
use axum::http::{HeaderValue, Request, Version, header};

use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;

/// Refuses a request that names no host, several, or what can be none. Where the target
/// names one, the `Host` header says the same afterwards.
pub fn settle<B>(request: &mut Request<B>) -> Result<(), ApiError> {
    let no = |detail| ApiError::with_detail(Code::Malformed, detail);
    let mut hosts = request.headers().get_all(header::HOST).into_iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(no("a request has one Host header"));
    }
    if host.is_none() && request.version() == Version::HTTP_11 {
        return Err(no("a request needs a Host header"));
    }
    if host.is_some_and(|host| !is_host(host.as_bytes())) {
        return Err(no("Host must be a host, and perhaps a port"));
    }
    let Some(authority) = request.uri().authority() else {
        let is_named = host.is_some() || request.version() < Version::HTTP_11;
        return if is_named { Ok(()) } else { Err(no("a request needs an authority")) };
    };
    let is_other = host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()));
    if !is_host(authority.as_str().as_bytes()) || (is_other && request.version() == Version::HTTP_2) {
        return Err(no("the authority of the target must be a host, and the same as Host"));
    }
    let value = HeaderValue::from_str(authority.as_str()).map_err(|_| no("the authority must be a host"))?;
    request.headers_mut().insert(header::HOST, value);
    Ok(())
}

/// A host and perhaps a port; nobody logs in to it.
fn is_host(text: &[u8]) -> bool {
    is_plain_host(text)
        || Authority::try_from(text).is_ok_and(|authority| !authority.host().is_empty() && !text.contains(&b'@'))
}

/// Letters, digits, dots and hyphens, and perhaps a port: nearly every host, known at a glance.
fn is_plain_host(text: &[u8]) -> bool {
    let (name, port) = text.split_at(memchr::memchr(b':', text).unwrap_or(text.len()));
    let is_port = port.iter().skip(1).all(u8::is_ascii_digit);
    is_port && !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(version: Version, target: &str, hosts: &[&str]) -> Option<String> {
        let request =
            hosts.iter().fold(Request::get(target).version(version), |request, host| request.header("host", *host));
        let mut request = request.body(()).unwrap();
        settle(&mut request).ok()?;
        Some(request.headers().get("host").map_or("", |host| host.to_str().unwrap()).to_owned())
    }

    #[test]
    fn a_request_is_for_one_host() {
        let (one, two, old) = (Version::HTTP_11, Version::HTTP_2, Version::HTTP_10);
        for (version, target, hosts, expected) in [
            (one, "/", vec!["a.example:80"], Some("a.example:80")),
            (one, "/", vec!["[::1]:80"], Some("[::1]:80")),
            (one, "/", vec![":80"], None),
            (one, "/", vec![], None),
            (one, "/", vec![""], None),
            (one, "/", vec!["a", "a"], None),
            (one, "/", vec!["a", "b"], None),
            (one, "/", vec!["a b"], None),
            (one, "/", vec!["a/b"], None),
            (one, "/", vec!["me@a"], None),
            (one, "http://b.example/", vec!["a.example"], Some("b.example")),
            (one, "http://b.example/", vec![], None),
            (one, "http://b.example/", vec!["a", "b.example"], None),
            (one, "http://me@b.example/", vec!["b.example"], None),
            (two, "http://b.example/", vec![], Some("b.example")),
            (two, "http://b.example/", vec!["b.example"], Some("b.example")),
            (two, "http://b.example/", vec!["a.example"], None),
            (two, "/", vec!["a.example"], Some("a.example")),
            (two, "/", vec![], None),
            (old, "/", vec![], Some("")),
            (old, "/", vec!["a", "b"], None),
        ] {
            assert_eq!(settled(version, target, &hosts).as_deref(), expected, "{version:?} {target} {hosts:?}");
        }
    }
}
