//! What a request asks of the stream it opens.

use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;

use super::Streams;
use crate::auth::Denied;
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::http::auth;
use crate::http::error::ApiError;
use crate::http::origin;
use crate::http::query::Query;

const HEARTBEATS_MS: std::ops::RangeInclusive<u64> = 2_000..=60_000;

/// What the query says.
#[derive(Debug)]
pub struct Opening {
    /// Where the caller has got to. What is no position is none: the newest state follows.
    pub last: Option<Position>,
    /// The same, for several sessions.
    pub cursors: Option<String>,
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// Whether `TIME_WARNING` is wanted.
    pub warnings: bool,
}

impl Opening {
    /// Reads the query.
    pub fn read(query: Option<&str>, usual: Duration) -> Result<Self, ApiError> {
        Self::of(Query::of(query)?, usual)
    }

    /// Reads what is left of a query.
    pub fn of(mut query: Query, usual: Duration) -> Result<Self, ApiError> {
        let cursors = query.take("last");
        let last = cursors.as_ref().and_then(|last| last.parse().ok());
        let heartbeat = query.take("heartbeat_ms").map(|text| heartbeat(&text)).transpose()?.unwrap_or(usual);
        let warnings = match query.take("warnings").as_deref() {
            None | Some("1") => true,
            Some("0") => false,
            Some(_) => return Err(ApiError::invalid("/warnings", "must be 0 or 1")),
        };
        query.end()?;
        Ok(Self { last, cursors, heartbeat, warnings })
    }
}

fn heartbeat(text: &str) -> Result<Duration, ApiError> {
    let ms = text.parse().ok().filter(|ms| HEARTBEATS_MS.contains(ms));
    let ms = ms.ok_or_else(|| ApiError::invalid("/heartbeat_ms", "must be 2000 to 60000"))?;
    Ok(Duration::from_millis(ms))
}

impl Streams {
    /// Who calls. A page of another origin is not let in at all in open mode: its
    /// browser would show it our stream.
    pub(super) fn caller(&self, parts: &Parts) -> Result<Result<Arc<Principal>, Denied>, ApiError> {
        if self.parts.authenticator.is_open() {
            origin::check(&parts.headers)?;
        }
        Ok(self.parts.authenticator.authenticate(auth::token(parts), self.parts.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_secs(15);

    #[test]
    fn a_stream_is_opened_as_asked() {
        let opening = Opening::read(Some("last=5-7&heartbeat_ms=2000&warnings=0&token=x"), USUAL).unwrap();
        assert_eq!(opening.last, Some(Position { epoch: 5, version: 7 }));
        assert_eq!((opening.heartbeat, opening.warnings), (Duration::from_secs(2), false));
        let plain = Opening::read(None, USUAL).unwrap();
        assert_eq!((plain.last, plain.heartbeat, plain.warnings), (None, USUAL, true));
        assert_eq!(Opening::read(Some("last=nonsense"), USUAL).unwrap().last, None);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_before_the_upgrade() {
        for bad in ["heartbeat_ms=1999", "heartbeat_ms=60001", "heartbeat_ms=x", "warnings=2", "other=1"] {
            assert!(Opening::read(Some(bad), USUAL).is_err(), "{bad}");
        }
    }
}
