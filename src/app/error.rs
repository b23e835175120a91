//! Why a use case failed. Refusals and failures meet here.

use std::time::Duration;

use crate::domain::session::command::Refused;
use crate::domain::session::explain::Explanation;
use crate::domain::session::stored::Unreadable;
use crate::domain::session::validate::ValidationError;
use crate::ledger;
use crate::store;
use crate::store::StoredSession;

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such session, for this caller.
    #[error("there is no such session")]
    SessionNotFound,
    /// The caller may not do this.
    #[error("the caller may not do this")]
    Forbidden,
    /// A session of that id exists.
    #[error("a session of that id exists")]
    Exists(Box<StoredSession>),
    /// The rules refuse the command, and why in this case.
    #[error("{0}")]
    Refused(Refused, Box<StoredSession>, Explanation),
    /// The version the caller named is not the newest.
    #[error("the session has moved on")]
    Stale(Box<StoredSession>),
    /// Other writers were faster until the time was up.
    #[error("too many wrote to the session at once")]
    Contended(Box<StoredSession>),
    /// The session to be created makes no sense.
    #[error(transparent)]
    InvalidSession(#[from] ValidationError),
    /// A part of the request is not valid.
    #[error("{pointer} {detail}")]
    Invalid {
        /// JSON pointer to the part.
        pointer: &'static str,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// The session would take more room than one may.
    #[error(
        "the session would take {bytes} bytes as it is stored, and may take {most}: shorten its metadata, or let fewer take part"
    )]
    TooLarge {
        /// What it would take.
        bytes: usize,
        /// What it may take.
        most: usize,
    },
    /// Turns of the session to be created would advance by themselves too fast.
    #[error("must be at least {least_ms} where turns advance by themselves")]
    AdvancesTooFast {
        /// The shortest cycle.
        least_ms: i64,
    },
    /// The idempotency key was used with another body.
    #[error("the idempotency key was used with another body")]
    IdempotencyMismatch,
    /// The store cannot be reached; nothing was written.
    #[error("the store is away")]
    StoreUnavailable(#[source] store::Error),
    /// The store did not say what became of a write.
    #[error("it is not known what became of a write")]
    OutcomeUnknown(#[source] store::Error),
    /// The ledger failed.
    #[error("the ledger is away")]
    LedgerUnavailable(#[source] ledger::Error),
    /// A query to the ledger took too long.
    #[error("the ledger was asked for more than it can find in three seconds: narrow it down")]
    TooLong,
    /// The tenant has as many queries to the ledger under way as it may.
    #[error("the tenant has as many questions under way as one tenant may")]
    Busy,
    /// The ledger does not have it yet, and the time is up.
    #[error("the ledger does not hold it yet")]
    LedgerBehind,
    /// The session must be restored, and the ledger does not have its newest version yet.
    #[error("the ledger does not hold yet what was committed before")]
    Restoring,
    /// The write happened, but is not known to outlive this process.
    #[error("the write is not known to be durable")]
    NotDurable,
    /// What is stored cannot be read by this release.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl From<ledger::Error> for Error {
    fn from(error: ledger::Error) -> Self {
        match error {
            ledger::Error::TooLong => Self::TooLong,
            ledger::Error::Busy => Self::Busy,
            ledger::Error::Unavailable(_) | ledger::Error::ReadOnly | ledger::Error::Refused(_) => {
                Self::LedgerUnavailable(error)
            }
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable(_) => Self::StoreUnavailable(error),
            store::Error::Unknown(_) => Self::OutcomeUnknown(error),
            store::Error::Unreadable(unreadable) => Self::Unreadable(unreadable),
        }
    }
}

impl Error {
    /// When a retry makes sense, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::StoreUnavailable(error) => error.retry_after(),
            Self::LedgerUnavailable(error) => error.retry_after(),
            _ => None,
        }
    }

    /// Whether something is broken, rather than refused. An open breaker has logged that
    /// already, once for all callers.
    pub fn is_failure(&self) -> bool {
        self.retry_after().is_none()
            && matches!(
                self,
                Self::StoreUnavailable(_) | Self::OutcomeUnknown(_) | Self::LedgerUnavailable(_) | Self::Unreadable(_)
            )
    }
}
