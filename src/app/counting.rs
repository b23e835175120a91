//! Commands, counted by what came of them.

use super::asked::Answer;
use super::error::Error;
use crate::telemetry::metrics;

/// A command was decided; a create and a clone are commands as well.
pub fn decided(command: &'static str, outcome: Result<&Answer, &Error>) {
    metrics::commanded(command, said(outcome));
}

/// One that was answered before has done nothing this time.
const fn said(outcome: Result<&Answer, &Error>) -> &'static str {
    match outcome {
        Ok(Answer { replayed: Some(_), .. }) => "replayed",
        Ok(_) => "applied",
        Err(Error::Stale(_) | Error::Contended(_)) => "conflict",
        Err(
            Error::Refused(..)
            | Error::Exists(_)
            | Error::Fault(_)
            | Error::AdvancesTooFast { .. }
            | Error::Forbidden
            | Error::NoSession
            | Error::Mismatch
            | Error::Invalid { .. }
            | Error::TooLarge { .. },
        ) => "refused",
        Err(_) => "failed",
    }
}
