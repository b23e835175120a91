//! Who opens a stream, and what the query asks of it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use axum::http::request::Parts;

use super::handshake;
use crate::auth::Denied;
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::principal::Principal;
use crate::http::access;
use crate::http::auth::{self, TokenSources};
use crate::http::origin;
use crate::http::query::Query;
use crate::limits::Class;
use crate::net::admission;
use crate::stream::Streams;
use crate::stream::params::StreamParams;
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;

/// What a cursor is called. Clients that resume add their own name to the address they were
/// given, so what stood there from the start counts last.
const CURSOR_PARAMS: [&str; 3] = ["lastEventId", "evs_last_event_id", "last"];

const HEARTBEAT_RANGE_MS: std::ops::RangeInclusive<u64> = 2_000..=60_000;

/// Whether a stream may be opened by a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketUse {
    /// Once.
    Once,
    /// Never: the same request is to come again and again.
    Never,
}

/// The caller. A token that proves nobody is counted. A page of another origin is not let in at all in open mode, nor over a
/// WebSocket unless it may call: its browser would show it our stream.
async fn caller(
    streams: &Streams,
    parts: &Parts,
    tickets: TicketUse,
) -> Result<Result<Arc<Principal>, Denied>, ApiError> {
    if streams.is_open() {
        origin::check(parts)?;
        return Ok(streams.authenticate(None));
    }
    if handshake::is_asked_for(&parts.headers) {
        origin::check_websocket(parts)?;
    }
    let proven = match (auth::token(parts, TokenSources::Stream), auth::ticket(&parts.uri)) {
        (Ok(None), Some(ticket)) if tickets == TicketUse::Once && parts.method == Method::GET => {
            streams.redeem(ticket).await.map_err(|_| ApiError::unavailable(Code::StoreUnavailable))?
        }
        (Ok(None), Some(_)) => Err(Denied::Misplaced),
        (Ok(token), _) => streams.authenticate_known(token).await,
        (Err(denied), _) => Err(denied),
    };
    if let Err(denied) = proven {
        access::check_refused(streams.limits(), streams.security(), parts, denied)?;
    }
    Ok(proven)
}

/// The caller, with its request counted: it may ask no more than its share.
pub async fn counted(
    streams: &Streams,
    parts: &Parts,
    tickets: TicketUse,
) -> Result<Result<Arc<Principal>, Denied>, ApiError> {
    let caller = caller(streams, parts, tickets).await?;
    if let (Ok(principal), Some(class)) = (&caller, access::route(parts)?.class) {
        count(streams, parts, principal, class, 1)?;
    }
    Ok(caller)
}

/// Counts what the request of a stream asks.
pub fn count(
    streams: &Streams,
    parts: &Parts,
    principal: &Principal,
    class: Class,
    weight: u32,
) -> Result<(), ApiError> {
    let limits = streams.limits();
    access::count(limits, parts, class, weight, || streams.counted(principal, access::address(limits, parts)))
}

/// Lets the caller of a stream keep its connection: one without a place among those of
/// callers may be dropped at any time, and a stream on it would. Its tenant has to let its
/// address in.
pub fn admitted(streams: &Streams, parts: &Parts, principal: &Principal) -> Result<(), ApiError> {
    access::check_address(streams.limits(), streams.addresses(), parts, principal)?;
    if admission::authenticate(parts) { Ok(()) } else { Err(ApiError::unavailable(Code::TooManyConnections)) }
}

/// The key of a session the caller can see.
pub fn key(principal: &Principal, session: SessionId) -> Result<SessionKey, ApiError> {
    if principal.sees(&session) {
        Ok(SessionKey { tenant: principal.tenant.clone(), session })
    } else {
        Err(ApiError::of(Code::SessionNotFound))
    }
}

/// What the query asks of the stream.
pub fn params(streams: &Streams, query: Option<&str>) -> Result<StreamParams, ApiError> {
    read(query, streams.default_heartbeat())
}

fn read(query: Option<&str>, default_heartbeat: Duration) -> Result<StreamParams, ApiError> {
    rest(Query::of(query)?, default_heartbeat)
}

/// What is left of a query asks this of the stream.
pub fn rest(mut query: Query, default_heartbeat: Duration) -> Result<StreamParams, ApiError> {
    let cursors: Vec<_> = CURSOR_PARAMS.into_iter().filter_map(|name| query.take(name)).collect();
    let last = cursors.iter().find_map(|last| last.parse().ok());
    let heartbeat = query.take("heartbeat_ms").map(|text| heartbeat(&text)).transpose()?.unwrap_or(default_heartbeat);
    let warnings = match query.take("warnings").as_deref() {
        None | Some("1") => true,
        Some("0") => false,
        Some(_) => return Err(ApiError::invalid("/warnings", "must be 0 or 1")),
    };
    query.ignore_unknown()?;
    Ok(StreamParams { last, cursors, heartbeat, warnings })
}

fn heartbeat(text: &str) -> Result<Duration, ApiError> {
    let ms = text.parse().ok().filter(|ms| HEARTBEAT_RANGE_MS.contains(ms));
    let ms = ms.ok_or_else(|| {
        ApiError::invalid("/heartbeat_ms", "must be a whole number of milliseconds from 2000 to 60000")
    })?;
    Ok(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::position::Position;

    const USUAL: Duration = Duration::from_secs(15);

    #[test]
    fn a_stream_is_opened_as_asked() {
        let opening = read(Some("last=5-7&heartbeat_ms=2000&warnings=0&token=x"), USUAL).unwrap();
        assert_eq!(opening.last, Some(Position { epoch: 5, version: 7 }));
        assert_eq!((opening.heartbeat, opening.warnings), (Duration::from_secs(2), false));
        let plain = read(None, USUAL).unwrap();
        assert_eq!((plain.last, plain.heartbeat, plain.warnings), (None, USUAL, true));
        assert_eq!(read(Some("last=nonsense"), USUAL).unwrap().last, None);
        assert!(read(Some("last="), USUAL).unwrap().has_cursor() && !plain.has_cursor());
    }

    #[test]
    fn a_cursor_goes_by_the_names_that_clients_give_it() {
        for (query, version) in [
            ("lastEventId=5-7", Some(7)),
            ("evs_last_event_id=5-7", Some(7)),
            ("last=5-1&lastEventId=5-7&_=1", Some(7)),
            ("last=5-1&evs_last_event_id=5-7&evs_preamble=", Some(7)),
            ("evs_last_event_id=5-1&lastEventId=5-7", Some(7)),
            ("last=5-1&lastEventId=nonsense", Some(1)),
            ("lasteventid=5-7", None),
        ] {
            let last = read(Some(query), USUAL).unwrap().last;
            assert_eq!(last.map(|last| last.version), version, "{query}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_before_the_upgrade() {
        for bad in ["heartbeat_ms=1999", "heartbeat_ms=60001", "heartbeat_ms=x", "warnings=2", "last=1-2&last=1-3"] {
            assert!(read(Some(bad), USUAL).is_err(), "{bad}");
        }
    }
}
