//! From an HTTP request to a WebSocket (RFC 6455, section 4.2).

use axum::body::Body;
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use tungstenite::handshake::derive_accept_key;

use crate::http::auth;
use crate::net::headers::says;
use crate::net::takeover::Takeover;
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;

/// Whether a request asks for a WebSocket.
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    says(headers, UPGRADE, "websocket") && says(headers, CONNECTION, "upgrade")
}

/// Agrees to a WebSocket: the answer, and the connection that goes on behind it.
pub fn accept(parts: &mut Parts) -> Result<(Response, Takeover), ApiError> {
    let no = |why| ApiError::with_detail(Code::Malformed, why);
    if !says(&parts.headers, SEC_WEBSOCKET_VERSION, "13") {
        return Err(no("only version 13 of the WebSocket protocol is spoken"));
    }
    let key = parts.headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| no("Sec-WebSocket-Key is needed"))?;
    let answer =
        HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| no("Sec-WebSocket-Key is not valid"))?;
    let handover = Takeover::of(parts).ok_or_else(|| no("this connection cannot be upgraded"))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, answer);
    if auth::offers_subprotocol(parts) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(auth::SUBPROTOCOL));
    }
    Ok((response, handover))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let request = pairs.iter().fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0.headers
    }

    #[test]
    fn an_upgrade_is_known_by_its_words() {
        assert!(is_asked_for(&headers(&[("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")])));
        assert!(!is_asked_for(&headers(&[("upgrade", "h2c"), ("connection", "upgrade")])));
        assert!(!is_asked_for(&headers(&[("upgrade", "websocket"), ("connection", "upgrade-insecure")])));
        assert!(!is_asked_for(&headers(&[])));
    }
}
