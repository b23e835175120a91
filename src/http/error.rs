//! From an error to a problem document: the one place where a status is chosen.

use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::app::StoredSession;
use crate::app::administration::AdministrationError;
use crate::app::error::Error;
use crate::auth::Denied;
use crate::domain::session::command::Refused;
use crate::domain::session::explain::Explanation;
use crate::telemetry::outage::{LogThrottle, chain};
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;
use crate::wire::problem::{Problem, ShownSession};

impl From<Error> for ApiError {
    /// The problem of a use case. What is broken is logged here, once; the caller sees only the code.
    fn from(error: Error) -> Self {
        log(&error);
        match &error {
            Error::SessionNotFound => Self::of(Code::SessionNotFound),
            Error::Forbidden => Self::of(Code::Forbidden),
            Error::Exists(held) => showing(Problem::new(Code::SessionExists, None), held),
            Error::Refused(why, held, explanation) => showing(refused(*why, explanation), held),
            Error::Stale(held) => showing(stale(held), held),
            Error::Contended(held) => showing(Problem::new(Code::Contended, None), held),
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

impl From<AdministrationError> for ApiError {
    fn from(error: AdministrationError) -> Self {
        match error {
            AdministrationError::Stale(revision) => Self::with_detail(
                Code::StaleVersion,
                format!("the settings are at revision {revision} by now; look at them and decide again"),
            ),
            AdministrationError::IdempotencyMismatch => Self::of(Code::IdempotencyMismatch),
            AdministrationError::TooManyRevocations => Self::invalid(
                "",
                "cannot be added: 10000 revocations stand in the tenant; delete some, or revoke tokens by their sub",
            ),
            AdministrationError::NoSuchRevocation => {
                Self::with_detail(Code::NotFound, "no revocation of that id stands in the tenant")
            }
            AdministrationError::Read(error) => Error::from(error).into(),
            // A breaker, or a server that accepts no connection, has written nothing.
            AdministrationError::Write(error) if error.retry_after().is_some() || error.is_away() => {
                Error::from(error).into()
            }
            AdministrationError::Write(_) => Self::unavailable(Code::OutcomeUnknown),
        }
    }
}

fn showing(mut problem: Problem, held: &StoredSession) -> ApiError {
    problem.session = Some(ShownSession::of(&held.session));
    ApiError(Box::new(problem))
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

/// Failures of the store, of a write, of the ledger and of a stored form: each is logged by itself.
static FAILED: [LogThrottle; 4] = [const { LogThrottle::new() }; 4];

const fn kind(error: &Error) -> usize {
    match error {
        Error::StoreUnavailable(_) => 0,
        Error::OutcomeUnknown(_) => 1,
        Error::LedgerUnavailable(_) => 2,
        _ => 3,
    }
}

/// Many requests meet the same failure in a moment.
fn log(error: &Error) {
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
                "a token in the query counts only on GET of .../ws, .../events and .../poll, a ticket on the first two, one in \
                 a subprotocol only on a WebSocket upgrade; send it in the header Authorization: Bearer <token>",
            ),
            Denied::Revoked => Self::with_detail(
                Code::Unauthenticated,
                "the token was revoked by an administrator of its tenant; get another",
            ),
            Denied::Ticket => Self::with_detail(
                Code::Unauthenticated,
                "the ticket was used, has ended, or was never issued; get another by POST /v1/tickets",
            ),
            Denied::Unknown => Self::unavailable(Code::LedgerUnavailable).with_cause(
                "it is not known yet which tokens are revoked; repeat the request after retry_after_ms".to_owned(),
            ),
            Denied::Several => Self::with_detail(Code::Unauthenticated, "send one Authorization header, not several"),
        }
    }
}

impl IntoResponse for ApiError {
    /// The body is written by the outermost layer, which knows the request's id.
    fn into_response(self) -> Response {
        let problem = self.0;
        let mut response = StatusCode::from_u16(problem.of.status()).unwrap_or_default().into_response();
        for (name, value) in problem.headers() {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response.extensions_mut().insert(PendingProblem(problem.into()));
        response
    }
}

/// A problem on its way to the outermost layer.
#[derive(Debug, Clone)]
pub(super) struct PendingProblem(pub std::sync::Arc<Problem>);
