//! Errors of the ledger.

use std::time::Duration;

use sqlx::error::DatabaseError;

use crate::breaker::Open;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The codes of a server that is starting, stopping or has no room: all of 08 (connection),
/// 53 (resources) and 57P (an administrator).
const UNAVAILABLE_CLASSES: &[&str] = &["08", "53", "57P"];

/// Why an operation of the ledger failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not answer, so the outcome is unknown.
    #[error("failed to reach the ledger")]
    Unavailable(#[source] BoxError),
    /// It answered, and will never accept this.
    #[error("the ledger refused")]
    Refused(#[source] BoxError),
    /// It answers, and accepts no writes.
    #[error("the database is read-only")]
    ReadOnly,
    /// It answers, but this read exceeded its time limit.
    #[error("the question took the ledger too long")]
    TooLong,
    /// The tenant has as many reads under way as one tenant may.
    #[error("the tenant asks the ledger for too much at once")]
    Busy,
}

impl Error {
    /// When a retry may succeed, if a breaker has refused.
    pub fn retry_after(&self) -> Option<Duration> {
        let Self::Unavailable(source) = self else { return None };
        source.downcast_ref::<Open>().map(|open| open.retry_after)
    }

    /// Whether no server accepts connections: it may come back by itself.
    pub fn is_away(&self) -> bool {
        let Self::Unavailable(source) = self else { return false };
        source.downcast_ref::<sqlx::Error>().is_some_and(is_away)
    }
}

impl From<Open> for Error {
    fn from(open: Open) -> Self {
        unavailable(open)
    }
}

fn is_away(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        _ => code.is_some_and(|code| UNAVAILABLE_CLASSES.iter().any(|class| code.starts_with(class))),
    }
}

/// The ledger answered, and will never accept this.
pub(super) fn refused(source: impl Into<BoxError>) -> Error {
    Error::Refused(source.into())
}

/// The ledger did not answer.
pub(super) fn unavailable(source: impl Into<BoxError>) -> Error {
    Error::Unavailable(source.into())
}
