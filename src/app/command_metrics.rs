//! Counts commands by their outcome.

use super::error::Error;
use super::request::CommandResult;
use crate::telemetry::metrics;

/// Counts a command; a create and a clone are commands as well.
pub fn count(command: &'static str, outcome: Result<&CommandResult, &Error>) {
    metrics::count_command(command, outcome_label(outcome));
}

/// The outcome as the metric names it. A repeat has changed nothing.
const fn outcome_label(outcome: Result<&CommandResult, &Error>) -> &'static str {
    match outcome {
        Ok(CommandResult { replayed: Some(_), .. }) => "replayed",
        Ok(_) => "applied",
        Err(Error::Contended(_)) => "contended",
        Err(
            Error::Refused(..)
            | Error::Stale(_)
            | Error::Exists(_)
            | Error::InvalidSession(_)
            | Error::AdvancesTooFast { .. }
            | Error::Forbidden
            | Error::SessionNotFound
            | Error::IdempotencyMismatch
            | Error::Invalid { .. }
            | Error::TooLarge { .. },
        ) => "refused",
        Err(_) => "failed",
    }
}
