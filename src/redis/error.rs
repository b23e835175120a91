//! What an error says of the command it came instead of.

use fred::error::{Error, ErrorKind};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// It was not sent, or turned away: nothing happened.
    #[error("Redis was not asked, or declined")]
    NotApplied(#[source] Source),
    /// It was sent. Whether it happened is not known.
    #[error("Redis did not answer")]
    Indeterminate(#[source] Source),
}

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What a server says before it has touched anything: it is not ready, may not write,
/// is full, busy, not the one to ask, or does not know the caller.
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
    /// What the client library's error says.
    #[must_use]
    pub fn of(error: Error) -> Self {
        if is_unsent(&error) || is_declined(&error) {
            Self::not_applied(error)
        } else {
            Self::Indeterminate(error.into())
        }
    }

    /// Of what could not have had an effect.
    #[must_use]
    pub fn not_applied(error: Error) -> Self {
        Self::NotApplied(error.into())
    }

    /// What the server said of one command among several.
    #[must_use]
    pub fn from_reply(text: &str) -> Self {
        Self::of(Error::new(ErrorKind::Unknown, text.to_owned()))
    }

    /// The same once more, for another who asked with the first.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        match self {
            Self::NotApplied(source) => Self::NotApplied(source.to_string().into()),
            Self::Indeterminate(source) => Self::Indeterminate(source.to_string().into()),
        }
    }

    /// An answer that nobody expected.
    #[must_use]
    pub fn protocol() -> Self {
        Self::Indeterminate("the answer makes no sense".into())
    }

    /// What went wrong.
    #[must_use]
    pub fn into_source(self) -> Source {
        match self {
            Self::NotApplied(source) | Self::Indeterminate(source) => source,
        }
    }
}

fn is_unsent(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Backpressure | ErrorKind::Routing | ErrorKind::Config | ErrorKind::Url)
}

/// Its keys are not there, or not all of them, because they move to another server.
pub(super) fn is_moving(error: &Error) -> bool {
    let code = error.details().split_whitespace().next().unwrap_or_default();
    // The library does not say in which of these ways it was sent elsewhere.
    ["MOVED", "ASK", "TRYAGAIN"].contains(&code) || error.details() == "Too many redirections."
}

/// Before version 7, what a command within a script was answered with stands at the end.
/// A script of ours that is declined has written nothing: the first of its writes was.
fn is_declined(error: &Error) -> bool {
    let details = error.details();
    let within = details.rsplit_once(": -").map(|(_, answer)| answer);
    let code = |text: &str| text.split_whitespace().next().is_some_and(|code| NOT_APPLIED_PREFIXES.contains(&code));
    code(details) || within.is_some_and(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_certainly_did_not_happen_is_called_undone() {
        for (kind, details, is_undone) in [
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
            let failure = RedisError::of(Error::new(kind, details));
            assert_eq!(matches!(failure, RedisError::NotApplied(_)), is_undone, "{details}");
        }
    }
}
