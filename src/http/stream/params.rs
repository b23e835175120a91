//! What a request asks of the stream it opens.

use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;

use super::Streams;
use crate::auth::Denied;
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::http::auth::{self, TokenSources};
use crate::http::connection::admission;
use crate::http::error::ApiError;
use crate::http::origin;
use crate::http::query::Query;
use crate::wire::problem::Code;

/// What a cursor is called. Clients that resume add their own name to the address they were
/// given, so what stood there from the start counts last.
const CURSOR_PARAMS: [&str; 3] = ["lastEventId", "evs_last_event_id", "last"];

const HEARTBEATS_MS: std::ops::RangeInclusive<u64> = 2_000..=60_000;

/// What the query says.
#[derive(Debug)]
pub struct StreamParams {
    /// Where the caller has got to. What is no position is none: the newest state follows.
    pub last: Option<Position>,
    /// Every cursor it names, the one that counts first: for one session, or for several.
    pub cursors: Vec<String>,
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// Whether `TIME_WARNING` is wanted.
    pub warnings: bool,
}

impl StreamParams {
    /// Reads the query.
    pub fn read(query: Option<&str>, usual: Duration) -> Result<Self, ApiError> {
        Self::of(Query::of(query)?, usual)
    }

    /// Reads what is left of a query.
    pub fn of(mut query: Query, usual: Duration) -> Result<Self, ApiError> {
        let cursors: Vec<_> = CURSOR_PARAMS.into_iter().filter_map(|name| query.take(name)).collect();
        let last = cursors.iter().find_map(|last| last.parse().ok());
        let heartbeat = query.take("heartbeat_ms").map(|text| heartbeat(&text)).transpose()?.unwrap_or(usual);
        let warnings = match query.take("warnings").as_deref() {
            None | Some("1") => true,
            Some("0") => false,
            Some(_) => return Err(ApiError::invalid("/warnings", "must be 0 or 1")),
        };
        query.ignore_unknown()?;
        Ok(Self { last, cursors, heartbeat, warnings })
    }
}

impl StreamParams {
    /// Whether it names a cursor, be that of use or not.
    #[must_use]
    pub fn has_cursor(&self) -> bool {
        !self.cursors.is_empty()
    }
}

fn heartbeat(text: &str) -> Result<Duration, ApiError> {
    let ms = text.parse().ok().filter(|ms| HEARTBEATS_MS.contains(ms));
    let ms = ms.ok_or_else(|| {
        ApiError::invalid("/heartbeat_ms", "must be a whole number of milliseconds from 2000 to 60000")
    })?;
    Ok(Duration::from_millis(ms))
}

impl Streams {
    /// Who calls. A page of another origin is not let in at all in open mode: its
    /// browser would show it our stream.
    pub(super) fn caller(&self, parts: &Parts) -> Result<Result<Arc<Principal>, Denied>, ApiError> {
        let Self { parts: streams, .. } = self;
        if streams.authenticator.is_open() {
            origin::check(parts)?;
            return Ok(streams.authenticator.authenticate(None, streams.clock.now()));
        }
        let token = auth::token(parts, TokenSources::Stream);
        Ok(token.and_then(|token| streams.authenticator.authenticate(token, streams.clock.now())))
    }
}

/// Lets the caller of a stream keep its connection: one without a place among those of
/// callers may be dropped at any time, and a stream on it would.
pub(super) fn admitted(parts: &Parts) -> Result<(), ApiError> {
    if admission::authenticate(parts) { Ok(()) } else { Err(ApiError::unavailable(Code::TooManyConnections)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_secs(15);

    #[test]
    fn a_stream_is_opened_as_asked() {
        let opening = StreamParams::read(Some("last=5-7&heartbeat_ms=2000&warnings=0&token=x"), USUAL).unwrap();
        assert_eq!(opening.last, Some(Position { epoch: 5, version: 7 }));
        assert_eq!((opening.heartbeat, opening.warnings), (Duration::from_secs(2), false));
        let plain = StreamParams::read(None, USUAL).unwrap();
        assert_eq!((plain.last, plain.heartbeat, plain.warnings), (None, USUAL, true));
        assert_eq!(StreamParams::read(Some("last=nonsense"), USUAL).unwrap().last, None);
        assert!(StreamParams::read(Some("last="), USUAL).unwrap().has_cursor() && !plain.has_cursor());
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
            let last = StreamParams::read(Some(query), USUAL).unwrap().last;
            assert_eq!(last.map(|last| last.version), version, "{query}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_before_the_upgrade() {
        for bad in ["heartbeat_ms=1999", "heartbeat_ms=60001", "heartbeat_ms=x", "warnings=2", "last=1-2&last=1-3"] {
            assert!(StreamParams::read(Some(bad), USUAL).is_err(), "{bad}");
        }
    }
}
