//! From an error to a problem document: the one place where a status is chosen.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::app::Held;
use crate::app::error::Error;
use crate::auth::Denied;
use crate::domain::session::Status;
use crate::domain::time::Timestamp;
use crate::wire::command::Unreadable;
use crate::wire::frame;
use crate::wire::problem::{Code, FieldError, Problem};

/// What a handler answers when it does not do as asked.
#[derive(Debug)]
pub struct ApiError(pub Box<Problem>);

/// When to try again, where waiting helps and nobody knows how long.
const RETRY_AFTER_MS: u64 = 500;

const LEAST_RETRY_AFTER_MS: u64 = 50;

impl ApiError {
    /// A problem with nothing more to say.
    #[must_use]
    pub fn of(code: Code) -> Self {
        Self(Box::new(Problem::new(code, None)))
    }

    /// A problem, and what is the matter in this case.
    #[must_use]
    pub fn saying(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, Some(detail.into()))))
    }

    /// One part of the request is not valid.
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::at(Code::Invalid, pointer.into(), detail.into())
    }

    fn at(code: Code, pointer: String, detail: String) -> Self {
        let said = if pointer.is_empty() { detail.clone() } else { format!("{pointer} {detail}") };
        let mut problem = Problem::new(code, Some(said));
        problem.errors.push(FieldError { pointer, detail });
        Self(Box::new(problem))
    }

    fn with(code: Code, detail: String, held: &Held, now: Timestamp) -> Self {
        let mut problem = Problem::new(code, Some(detail));
        problem.session = frame::raw_snapshot(&held.session, now);
        Self(Box::new(problem))
    }

    /// Waiting helps.
    #[must_use]
    pub fn away(code: Code) -> Self {
        Self::away_for(code, None)
    }

    /// Waiting helps, and for how long may be known.
    fn away_for(code: Code, retry_after: Option<Duration>) -> Self {
        let mut problem = Problem::new(code, None);
        let ms = retry_after.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        // A caller that comes back at once would only find the same.
        problem.retry_after_ms = Some(ms.map_or(RETRY_AFTER_MS, |ms| ms.max(LEAST_RETRY_AFTER_MS)));
        Self(Box::new(problem))
    }

    /// The problem of a use case, the present snapshot shown as of `now`.
    #[must_use]
    pub fn from_app(error: &Error, now: Timestamp) -> Self {
        match error {
            Error::NoSession => Self::of(Code::SessionNotFound),
            Error::Forbidden => Self::of(Code::Forbidden),
            // The name is taken, but what was there is not shown any more.
            Error::Exists(held) if held.session.status == Status::Deleted => Self::of(Code::SessionExists),
            Error::Exists(held) => Self::with(Code::SessionExists, error.to_string(), held, now),
            Error::Refused(why, held) => Self::with((*why).into(), why.to_string(), held, now),
            Error::Stale(held) => Self::with(Code::StaleVersion, error.to_string(), held, now),
            Error::Contended(held) => Self::with(Code::Contended, error.to_string(), held, now),
            Error::Fault(fault) if fault.is_contradiction => {
                Self::at(Code::InvalidTimeControl, fault.pointer.clone(), fault.detail.to_owned())
            }
            Error::Fault(fault) => Self::invalid(&fault.pointer, fault.detail),
            Error::Invalid { pointer, detail } => Self::invalid(*pointer, *detail),
            Error::Mismatch => Self::of(Code::IdempotencyMismatch),
            Error::Unknown(_) | Error::NotDurable => Self::away(Code::OutcomeUnknown),
            Error::StoreAway(_) => Self::away_for(Code::StoreUnavailable, error.retry_after()),
            Error::LedgerAway(_) => Self::away_for(Code::LedgerUnavailable, error.retry_after()),
            Error::NotRecorded => Self::away(Code::LedgerUnavailable),
            Error::Restoring => Self::away(Code::Restoring),
            Error::Unreadable(_) => Self::of(Code::NeedsRepair),
        }
    }
}

/// Broken things are told here, once; the caller sees only the code.
pub fn logged(error: &Error) {
    if error.is_failure() {
        tracing::error!(error = error as &dyn std::error::Error, "a use case failed");
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Expired => Self::of(Code::TokenExpired),
            _ => Self::of(Code::Unauthenticated),
        }
    }
}

impl From<Unreadable> for ApiError {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::UnknownCommand => Self::invalid("/command", "is no command"),
            Unreadable::Invalid { pointer, detail } => Self::invalid(pointer, detail),
        }
    }
}

impl IntoResponse for ApiError {
    /// The body is written by the outermost layer, which knows the request's id.
    fn into_response(self) -> Response {
        let problem = self.0;
        let mut response = StatusCode::from_u16(problem.of.status()).unwrap_or_default().into_response();
        if problem.of.status() == 401 {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(ms) = problem.retry_after_ms {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
        }
        response.extensions_mut().insert(Told(problem.into()));
        response
    }
}

/// A problem on its way to the outermost layer.
#[derive(Debug, Clone)]
pub(super) struct Told(pub std::sync::Arc<Problem>);
