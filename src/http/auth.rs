//! Where a request carries its token: a header; a stream also a WebSocket subprotocol, or the query.
//!
//! Browsers' `EventSource` and `WebSocket` set no headers, hence the other two. A URI
//! with `?token=` must never be logged: log the path alone.

use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use axum::http::request::Parts;
use axum::http::{Method, Uri};

use crate::auth::Denied;
use crate::net::headers::says;

/// The subprotocol a WebSocket is answered with, where the client offered it.
pub const SUBPROTOCOL: &str = "synckairos.v1";

/// Where a request may carry its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSources {
    /// In the header alone.
    Header,
    /// A stream's, on `GET`: the header counts before the subprotocol, that before the query.
    Stream,
}

/// The token a request came with. One that stands where it does not count is refused,
/// so that nobody grows used to writing it into addresses.
pub fn token(parts: &Parts, carriers: TokenSources) -> Result<Option<&str>, Denied> {
    if parts.headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
        return Err(Denied::Several);
    }
    if let Some(token) = in_header(parts) {
        return Ok(Some(token));
    }
    let is_stream = carriers == TokenSources::Stream && parts.method == Method::GET;
    let is_upgrade = is_stream && says(&parts.headers, UPGRADE, "websocket");
    match (in_subprotocols(parts), in_query(parts)) {
        (Some(token), _) if is_upgrade => Ok(Some(token)),
        (_, Some(token)) if is_stream => Ok(Some(token)),
        (None, None) => Ok(None),
        _ => Err(Denied::Misplaced),
    }
}

/// Whether a request's address holds a token or a ticket, wherever it may count.
pub fn is_in_address(uri: &Uri) -> bool {
    query_token(uri).is_some() || ticket(uri).is_some()
}

/// The ticket in a request's address.
pub fn ticket(uri: &Uri) -> Option<&str> {
    in_query_of(uri, "ticket=")
}

/// Whether the client offers our subprotocol.
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

fn in_query(parts: &Parts) -> Option<&str> {
    query_token(&parts.uri)
}

/// As it stands: nothing in a token is ever escaped in a query.
fn query_token(uri: &Uri) -> Option<&str> {
    in_query_of(uri, "token=")
}

fn in_query_of<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    const OFFER: (&str, &str) = ("sec-websocket-protocol", "synckairos.v1, bearer.b");
    const UPGRADES: (&str, &str) = ("upgrade", "websocket");

    fn found(uri: &str, headers: &[(&str, &str)], carriers: TokenSources) -> Result<Option<String>, Denied> {
        token(&parts(uri, headers), carriers).map(|token| token.map(str::to_owned))
    }

    #[test]
    fn a_stream_takes_a_token_from_each_of_its_places() {
        for (uri, headers, expected) in [
            ("/", vec![("authorization", "Bearer a.b-c_d")], "a.b-c_d"),
            ("/", vec![("authorization", "bearer   a.b-c_d ")], "a.b-c_d"),
            ("/", vec![OFFER, UPGRADES], "b"),
            ("/", vec![("sec-websocket-protocol", "synckairos.v1"), OFFER, UPGRADES], "b"),
            ("/?token=a.b-c_d", vec![], "a.b-c_d"),
            ("/?last=1-2&token=a.b-c_d&x", vec![], "a.b-c_d"),
            ("/?token=c", vec![("authorization", "Bearer a"), OFFER, UPGRADES], "a"),
            ("/?token=c", vec![OFFER, UPGRADES], "b"),
            ("/?token=c", vec![OFFER], "c"),
            ("/?token=c", vec![("authorization", "Basic dTpw")], "c"),
        ] {
            assert_eq!(found(uri, &headers, TokenSources::Stream), Ok(Some(expected.to_owned())), "{uri} {headers:?}");
        }
    }

    #[test]
    fn a_token_out_of_place_is_refused() {
        for (uri, headers, carriers) in [
            ("/?token=a", vec![], TokenSources::Header),
            ("/?token=", vec![], TokenSources::Header),
            ("/", vec![OFFER], TokenSources::Header),
            ("/", vec![OFFER, UPGRADES], TokenSources::Header),
            ("/", vec![OFFER], TokenSources::Stream),
        ] {
            assert_eq!(found(uri, &headers, carriers), Err(Denied::Misplaced), "{uri} {headers:?} {carriers:?}");
        }
        let head = Request::head("/?token=a").body(()).unwrap().into_parts().0;
        assert_eq!(token(&head, TokenSources::Stream), Err(Denied::Misplaced));
    }

    #[test]
    fn two_authorizations_prove_nothing() {
        let twice = [("authorization", "Bearer a"), ("authorization", "Bearer a")];
        for carriers in [TokenSources::Header, TokenSources::Stream] {
            assert_eq!(found("/?token=c", &twice, carriers), Err(Denied::Several));
        }
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
            for carriers in [TokenSources::Header, TokenSources::Stream] {
                assert_eq!(found(uri, &headers, carriers), Ok(None), "{uri} {headers:?}");
            }
        }
    }

    #[test]
    fn our_subprotocol_is_answered_only_if_offered() {
        assert!(offers_subprotocol(&parts("/", &[("sec-websocket-protocol", "chat, synckairos.v1")])));
        assert!(!offers_subprotocol(&parts("/", &[("sec-websocket-protocol", "chat")])));
    }
}
