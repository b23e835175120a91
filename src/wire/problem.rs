//! Problem documents (RFC 9457), and the one table of every code.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::session::command::Refused;

macro_rules! codes {
    ($($code:ident $text:literal $status:literal $title:literal,)*) => {
        /// Why something did not happen: stable, and never given another meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the table beside each code says what it means")]
        pub enum Code { $($code,)* }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// As on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text,)* }
            }

            /// The HTTP status it goes with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$code => $status,)* }
            }

            /// What it means, in a line.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)* }
            }
        }
    };
}

codes! {
    Malformed "malformed" 400 "The request cannot be read",
    Unauthenticated "unauthenticated" 401 "A valid token is needed",
    TokenExpired "token_expired" 401 "The token has expired",
    Forbidden "forbidden" 403 "The token does not allow this",
    NotFound "not_found" 404 "There is nothing here",
    SessionNotFound "session_not_found" 404 "There is no such session",
    MethodNotAllowed "method_not_allowed" 405 "That method is not served here",
    NotAcceptable "not_acceptable" 406 "No acceptable form can be served",
    SessionExists "session_exists" 409 "A session of that id exists",
    StaleVersion "stale_version" 409 "The session has moved on",
    Contended "contended" 409 "Too many wrote to the session at once",
    NotRunning "not_running" 409 "The session is not running",
    NotPaused "not_paused" 409 "The session is not paused for that reason",
    AlreadyStarted "already_started" 409 "The session has already started",
    SessionEnded "session_ended" 409 "The session has ended",
    NotActive "not_active" 409 "That participant is not the active one",
    WrongMode "wrong_mode" 409 "The session's mode does not have that command",
    DeadlinePending "deadline_pending" 409 "The clock is at zero and waits for a switch under way",
    ParticipantExpired "participant_expired" 409 "That clock has run out",
    TooLarge "too_large" 413 "The request is too large",
    UnsupportedMediaType "unsupported_media_type" 415 "The body must be JSON",
    Invalid "invalid" 422 "The request is not valid",
    InvalidTimeControl "invalid_time_control" 422 "The time control has no meaning",
    UnknownParticipant "unknown_participant" 422 "There is no such participant",
    UnknownGroup "unknown_group" 422 "There is no such group",
    IdempotencyMismatch "idempotency_mismatch" 422 "The idempotency key was used with another body",
    TooLate "too_late" 422 "Timer commands are not taken late",
    RateLimited "rate_limited" 429 "Too many requests",
    TooManyConnections "too_many_connections" 429 "Too many connections",
    Internal "internal" 500 "Something is broken here",
    NoSigningKey "no_signing_key" 501 "There is no key to sign with",
    StoreUnavailable "store_unavailable" 503 "The store is unavailable",
    LedgerUnavailable "ledger_unavailable" 503 "The ledger is unavailable",
    Restoring "restoring" 503 "The session is being restored",
    NeedsRepair "needs_repair" 503 "The session is stored in a form this release cannot read",
    OutcomeUnknown "outcome_unknown" 503 "It is not known whether the write happened",
    Draining "draining" 503 "The instance is going away",
}

impl From<Refused> for Code {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotRunning => Self::NotRunning,
            Refused::NotPaused => Self::NotPaused,
            Refused::AlreadyStarted => Self::AlreadyStarted,
            Refused::SessionEnded => Self::SessionEnded,
            Refused::NotActive => Self::NotActive,
            Refused::WrongMode => Self::WrongMode,
            Refused::DeadlinePending => Self::DeadlinePending,
            Refused::ParticipantExpired => Self::ParticipantExpired,
            Refused::UnknownParticipant => Self::UnknownParticipant,
            Refused::UnknownGroup => Self::UnknownGroup,
            Refused::InvalidParticipants | Refused::OutOfBounds => Self::Invalid,
            Refused::InvalidTimeControl => Self::InvalidTimeControl,
        }
    }
}

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer to the part.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// Why something did not happen.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    code: &'static str,
    /// Which request it was, for whoever reads the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Part by part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The present snapshot, for a conflict or a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Box<RawValue>>,
    /// When it is worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Where the codes come from.
    #[serde(skip)]
    pub of: Code,
}

impl Problem {
    /// A problem of that code, with what there is to say of this case.
    #[must_use]
    pub fn new(code: Code, detail: Option<String>) -> Self {
        Self {
            kind: format!("urn:synckairos:problem:{}", code.as_str()),
            title: code.title(),
            status: code.status(),
            detail,
            code: code.as_str(),
            request_id: None,
            errors: Vec::new(),
            session: None,
            retry_after_ms: None,
            of: code,
        }
    }

    /// The document.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        // Texts and numbers only: it always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
