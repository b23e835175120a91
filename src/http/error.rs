//! From an error to a problem document: the one place where a status is chosen.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::app::StoredSession;
use crate::app::error::Error;
use crate::auth::Denied;
use crate::domain::session::command::Refused;
use crate::domain::session::explain::Explanation;
use crate::domain::time::Timestamp;
use crate::fanout::Unavailable;
use crate::telemetry::outage::{LogThrottle, chain};
use crate::wire::command::{COMMANDS, ParseError};
use crate::wire::json::{JsonError, MAX_DEPTH};
use crate::wire::problem::{Code, Problem, Shown};

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
    pub fn with_detail(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, Some(detail.into()))))
    }

    /// One part of the request is not valid.
    #[must_use]
    pub fn invalid(pointer: impl AsRef<str>, detail: impl Into<String>) -> Self {
        Self::at(Code::Invalid, pointer, detail)
    }

    /// A problem with one part of the request.
    #[must_use]
    pub fn at(code: Code, pointer: impl AsRef<str>, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::at(code, pointer.as_ref(), detail.into())))
    }

    fn with(mut problem: Problem, held: &StoredSession, now: Timestamp) -> Self {
        problem.session = Some(Shown { session: Arc::clone(&held.session), as_of: now });
        Self(Box::new(problem))
    }

    /// The same, without the snapshot that a refusal shows.
    #[must_use]
    pub fn without_session(mut self) -> Self {
        self.0.session = None;
        self
    }

    /// Waiting helps.
    #[must_use]
    pub fn unavailable(code: Code) -> Self {
        Self::unavailable_for(code, None)
    }

    /// The same problem, with what is the matter in this case.
    fn with_cause(mut self, detail: String) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Waiting helps, and for how long may be known.
    fn unavailable_for(code: Code, retry_after: Option<Duration>) -> Self {
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
            Error::SessionNotFound => Self::of(Code::SessionNotFound),
            Error::Forbidden => Self::of(Code::Forbidden),
            Error::Exists(held) => Self::with(Problem::new(Code::SessionExists, None), held, now),
            Error::Refused(why, held, explanation) => Self::with(refused(*why, explanation), held, now),
            Error::Stale(held) => Self::with(stale(held), held, now),
            Error::Contended(held) => Self::with(Problem::new(Code::Contended, None), held, now),
            Error::InvalidSession(fault) if fault.is_contradiction => {
                Self::at(Code::InvalidTimeControl, &fault.pointer, fault.detail)
            }
            Error::InvalidSession(fault) => Self::invalid(&fault.pointer, fault.detail),
            Error::Invalid { pointer, detail } => Self::invalid(pointer, *detail),
            Error::TooLarge { .. } => Self::with_detail(Code::TooLarge, error.to_string()),
            Error::AdvancesTooFast { .. } => {
                Self::at(Code::InvalidTimeControl, "/time_per_cycle_ms", error.to_string())
            }
            Error::IdempotencyMismatch => Self::of(Code::IdempotencyMismatch),
            Error::OutcomeUnknown(_) | Error::NotDurable => Self::unavailable(Code::OutcomeUnknown),
            Error::StoreUnavailable(_) => Self::unavailable_for(Code::StoreUnavailable, error.retry_after()),
            Error::LedgerUnavailable(_) => Self::unavailable_for(Code::LedgerUnavailable, error.retry_after()),
            Error::TooLong => Self::unavailable(Code::LedgerUnavailable).with_cause(error.to_string()),
            Error::Busy => Self::unavailable(Code::RateLimited).with_cause(error.to_string()),
            Error::LedgerBehind => Self::unavailable(Code::LedgerUnavailable),
            Error::Restoring => Self::unavailable(Code::Restoring),
            Error::Unreadable(_) => Self::of(Code::NeedsRepair),
        }
    }
}

fn refused(why: Refused, explanation: &Explanation) -> Problem {
    let Explanation { pointer, detail } = explanation;
    if pointer.is_empty() {
        return Problem::new(why.into(), Some(detail.clone()));
    }
    Problem::at(why.into(), pointer, detail.clone())
}

fn stale(held: &StoredSession) -> Problem {
    let position = held.session.position;
    let said = format!(
        "the session is at version {} (position {position}) by now; {}",
        position.version,
        Code::StaleVersion.advice()
    );
    Problem::new(Code::StaleVersion, Some(said))
}

/// What the store, a write, the ledger and a stored form met: each is told by itself.
static FAILED: [LogThrottle; 4] = [const { LogThrottle::new() }; 4];

const fn kind(error: &Error) -> usize {
    match error {
        Error::StoreUnavailable(_) => 0,
        Error::OutcomeUnknown(_) => 1,
        Error::LedgerUnavailable(_) => 2,
        _ => 3,
    }
}

/// Broken things are told here; the caller sees only the code. Many meet the same in a moment.
pub fn logged(error: &Error) {
    if error.is_failure()
        && let Some(times) = FAILED[kind(error)].next()
    {
        tracing::error!(error = chain(error), times, "use cases failed");
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Expired => Self::of(Code::TokenExpired),
            Denied::Missing => Self::of(Code::Unauthenticated),
            Denied::Invalid => Self::with_detail(
                Code::Unauthenticated,
                "the token is not one that this service signed, or lacks sub, tenant, role or exp; get another",
            ),
            Denied::Misplaced => Self::with_detail(
                Code::Unauthenticated,
                "a token in the query counts only on GET of .../ws, .../events and .../poll, one in a subprotocol only on \
                 a WebSocket upgrade; send it in the header Authorization: Bearer <token>",
            ),
            Denied::Several => Self::with_detail(Code::Unauthenticated, "send one Authorization header, not several"),
        }
    }
}

/// As a plain read of the session says it.
impl From<Unavailable> for ApiError {
    fn from(Unavailable { code, retry_after }: Unavailable) -> Self {
        // Waiting repairs nothing.
        if code == Code::NeedsRepair { Self::of(code) } else { Self::unavailable_for(code, retry_after) }
    }
}

impl From<ParseError> for ApiError {
    fn from(unreadable: ParseError) -> Self {
        match unreadable {
            ParseError::UnknownCommand => Self::invalid("/command", format!("must be one of {}", COMMANDS.join(", "))),
            ParseError::Invalid { pointer, detail } => Self::invalid(pointer, detail),
        }
    }
}

impl From<JsonError> for ApiError {
    fn from(unread: JsonError) -> Self {
        match unread {
            JsonError::Malformed { line, byte } => Self::with_detail(
                Code::Malformed,
                format!("the body is not JSON in UTF-8; see line {line}, byte {byte}"),
            ),
            JsonError::NoObject => Self::invalid("", "must be a JSON object, such as {}"),
            JsonError::TooDeep => Self::invalid("", format!("must not be nested deeper than {MAX_DEPTH} levels")),
            JsonError::Twice { pointer } => Self::invalid(pointer, "must stand there once, not twice"),
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
        response.extensions_mut().insert(LoggedProblem(problem.into()));
        response
    }
}

/// A problem on its way to the outermost layer.
#[derive(Debug, Clone)]
pub(super) struct LoggedProblem(pub std::sync::Arc<Problem>);
