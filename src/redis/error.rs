//! Whether a failed command may have been applied.

use fred::error::{Error, ErrorKind};

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// It was not sent, or was rejected: nothing happened.
    #[error("the command was not sent, or Redis rejected it")]
    NotApplied(#[source] Source),
    /// It was sent. Whether it happened is not known.
    #[error("Redis did not answer")]
    Indeterminate(#[source] Source),
}

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The errors that a server answers before any effect: it is not ready, read-only, full,
/// busy, not the owner of the keys, or does not know the caller.
const NOT_APPLIED_PREFIXES: &[&str] = &[
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "NOREPLICAS",
    "MISCONF",
    "OOM",
    "BUSY",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "CROSSSLOT",
    "NOAUTH",
    "WRONGPASS",
    "NOSCRIPT",
    "NORUNID",
];

impl RedisError {
    /// From an error of the client library.
    pub fn of(error: Error) -> Self {
        if is_unsent(&error) || is_rejected(&error) {
            Self::not_applied(error)
        } else {
            Self::Indeterminate(error.into())
        }
    }

    /// From an error that came before any effect.
    pub fn not_applied(error: Error) -> Self {
        Self::NotApplied(error.into())
    }

    /// From the error that a server gave for one command of a script.
    pub fn from_reply(text: &str) -> Self {
        Self::of(Error::new(ErrorKind::Unknown, text.to_owned()))
    }

    /// A copy, for another caller of the same batch.
    pub fn duplicate(&self) -> Self {
        match self {
            Self::NotApplied(source) => Self::NotApplied(source.to_string().into()),
            Self::Indeterminate(source) => Self::Indeterminate(source.to_string().into()),
        }
    }

    /// An unexpected answer.
    pub fn protocol() -> Self {
        Self::Indeterminate("the answer makes no sense".into())
    }

    /// The cause.
    pub fn into_source(self) -> Source {
        match self {
            Self::NotApplied(source) | Self::Indeterminate(source) => source,
        }
    }
}

fn is_unsent(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Backpressure | ErrorKind::Routing | ErrorKind::Config | ErrorKind::Url)
}

/// Whether its keys, or some of them, are moving to another server.
pub(super) fn is_moving(error: &Error) -> bool {
    let code = error.details().split_whitespace().next().unwrap_or_default();
    // The library does not say which of these redirections it was.
    ["MOVED", "ASK", "TRYAGAIN"].contains(&code) || error.details() == "Too many redirections."
}

/// Before version 7, the error of a command within a script stands at the end. A script of
/// ours that is rejected has written nothing, as its first write was.
fn is_rejected(error: &Error) -> bool {
    let details = error.details();
    let in_script = details.rsplit_once(": -").map(|(_, error)| error);
    let code = |text: &str| text.split_whitespace().next().is_some_and(|code| NOT_APPLIED_PREFIXES.contains(&code));
    code(details) || in_script.is_some_and(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_before_any_effect_are_not_applied() {
        for (kind, details, is_not_applied) in [
            (ErrorKind::Unknown, "OOM command not allowed when used memory > 'maxmemory'.", true),
            (ErrorKind::Unknown, "LOADING Redis is loading the dataset in memory", true),
            (ErrorKind::Cluster, "MOVED 1 127.0.0.1:1", true),
            (ErrorKind::Routing, "Too many redirections.", true),
            (ErrorKind::Backpressure, "Max command queue length exceeded.", true),
            (ErrorKind::Unknown, "ERR user_script:12: bad argument", false),
            (
                ErrorKind::Unknown,
                "ERR Error running script (call to f_1): @user_script:57: -OOM command not allowed",
                true,
            ),
            (ErrorKind::Timeout, "Request timed out.", false),
            (ErrorKind::Canceled, "Connection closed unexpectedly.", false),
            (ErrorKind::IO, "Connection reset by peer", false),
        ] {
            let error = RedisError::of(Error::new(kind, details));
            assert_eq!(matches!(error, RedisError::NotApplied(_)), is_not_applied, "{details}");
        }
    }
}
