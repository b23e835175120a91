//! Where a request carries its token: a header, a WebSocket subprotocol, or the query.
//!
//! Browsers' `EventSource` and `WebSocket` set no headers, hence the other two. A URI
//! with `?token=` must never be logged: log the path alone.

use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use axum::http::request::Parts;

/// The subprotocol a WebSocket is answered with, where the client offered it.
pub const SUBPROTOCOL: &str = "synckairos.v1";

/// The token a request came with; the header counts before the subprotocol, that before the query.
#[must_use]
pub fn token(parts: &Parts) -> Option<&str> {
    in_header(parts).or_else(|| in_subprotocols(parts)).or_else(|| in_query(parts))
}

/// Whether the client offers our subprotocol.
#[must_use]
pub fn offers_subprotocol(parts: &Parts) -> bool {
    subprotocols(parts).any(|offered| offered == SUBPROTOCOL)
}

fn in_header(parts: &Parts) -> Option<&str> {
    let (scheme, token) = parts.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn in_subprotocols(parts: &Parts) -> Option<&str> {
    subprotocols(parts).find_map(|offered| offered.strip_prefix("bearer."))
}

fn subprotocols(parts: &Parts) -> impl Iterator<Item = &str> {
    let offers = parts.headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    offers.filter_map(|offer| offer.to_str().ok()).flat_map(|offer| offer.split(',')).map(str::trim)
}

/// As it stands: nothing in a token is ever escaped in a query.
fn in_query(parts: &Parts) -> Option<&str> {
    parts.uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_token_is_found_in_each_of_its_places() {
        let protocol = "sec-websocket-protocol";
        for (uri, headers) in [
            ("/", vec![("authorization", "Bearer a.b-c_d")]),
            ("/", vec![("authorization", "bearer   a.b-c_d ")]),
            ("/", vec![(protocol, "synckairos.v1, bearer.a.b-c_d")]),
            ("/", vec![(protocol, "synckairos.v1"), (protocol, "bearer.a.b-c_d")]),
            ("/?token=a.b-c_d", vec![]),
            ("/?last=1-2&token=a.b-c_d&x", vec![]),
        ] {
            assert_eq!(token(&parts(uri, &headers)), Some("a.b-c_d"), "{uri} {headers:?}");
        }
    }

    #[test]
    fn the_header_counts_first() {
        let all = parts("/?token=c", &[("authorization", "Bearer a"), ("sec-websocket-protocol", "bearer.b")]);
        assert_eq!(token(&all), Some("a"));
        assert_eq!(token(&parts("/?token=c", &[("sec-websocket-protocol", "bearer.b")])), Some("b"));
    }

    #[test]
    fn other_things_are_no_token() {
        for (uri, headers) in [
            ("/", vec![]),
            ("/?tokens=a&xtoken=b", vec![]),
            ("/", vec![("authorization", "Basic dTpw")]),
            ("/", vec![("authorization", "Bearer")]),
            ("/", vec![("sec-websocket-protocol", "synckairos.v1, chat")]),
        ] {
            assert_eq!(token(&parts(uri, &headers)), None, "{uri} {headers:?}");
        }
    }

    #[test]
    fn our_subprotocol_is_answered_only_if_offered() {
        assert!(offers_subprotocol(&parts("/", &[("sec-websocket-protocol", "chat, synckairos.v1")])));
        assert!(!offers_subprotocol(&parts("/", &[("sec-websocket-protocol", "chat")])));
    }
}
