//! The one table of every error code.

use crate::domain::session::command::Refused;

macro_rules! codes {
    ($($code:ident $text:literal $status:literal $title:literal $advice:literal,)*) => {
        /// Why something did not happen: stable, and never given another meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the table beside each code says what it means")]
        pub enum Code { $($code,)* }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// As on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text,)* }
            }

            /// The HTTP status it goes with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$code => $status,)* }
            }

            /// What it means, in a line.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)* }
            }

            /// What to do about it, where there is nothing more to say of the case.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$code => $advice,)* }
            }
        }
    };
}

codes! {
    Malformed "malformed" 400 "The request cannot be read"
        "send well-formed HTTP, and JSON in UTF-8 as the body",
    Unauthenticated "unauthenticated" 401 "A valid token is needed"
        "send a token that this service signed in the header Authorization: Bearer <token>",
    TokenExpired "token_expired" 401 "The token has expired"
        "get a new token and repeat the request with it",
    Forbidden "forbidden" 403 "The token does not allow this"
        "a viewer reads, a participant acts for its own clock, an operator does everything in its tenant; use a token of such a role",
    AddressDenied "address_denied" 403 "The address you call from is not let in"
        "call from another network; an operator of the service or an administrator of the tenant decides which are let in",
    NotFound "not_found" 404 "There is nothing here"
        "check the path; the API stands under /v1, such as /v1/sessions",
    SessionNotFound "session_not_found" 404 "There is no such session"
        "check the id and the token; a session is made by POST /v1/sessions, and shown to its own tenant only",
    MethodNotAllowed "method_not_allowed" 405 "That method is not served here"
        "use one of the methods that the header Allow names",
    NotAcceptable "not_acceptable" 406 "No acceptable form can be served"
        "send no Accept header, or one that takes what this path answers with",
    SessionExists "session_exists" 409 "A session of that id exists"
        "choose another session_id, or leave it out and the server makes one",
    StaleVersion "stale_version" 409 "The session has moved on"
        "look at the present session and decide again",
    Contended "contended" 409 "Too many wrote to the session at once"
        "send the command again",
    NotRunning "not_running" 409 "The session is not running"
        "start or resume the session first",
    NotPaused "not_paused" 409 "The session is not paused for that reason"
        "resume only a session that is paused, for a reason that stands",
    AlreadyStarted "already_started" 409 "The session has already started"
        "reset the session first; it is pending again then",
    SessionEnded "session_ended" 409 "The session has ended"
        "clone the session, or create another one",
    NotActive "not_active" 409 "That participant is not the active one"
        "read who is active, or leave current_participant_id out",
    WrongMode "wrong_mode" 409 "The session's mode does not have that command"
        "use a command that goes with the sync_mode and concurrency of the session",
    DeadlinePending "deadline_pending" 409 "The clock is at zero and waits for a switch under way"
        "wait a moment and read the session again",
    ParticipantExpired "participant_expired" 409 "That clock has run out"
        "give the clock time with adjust first",
    TooLarge "too_large" 413 "The request is too large"
        "send less at a time",
    UnsupportedMediaType "unsupported_media_type" 415 "The body must be JSON"
        "send the body as JSON, with the header Content-Type: application/json",
    Invalid "invalid" 422 "The request is not valid"
        "correct the parts that errors names",
    InvalidTimeControl "invalid_time_control" 422 "The time control has no meaning"
        "change one of the fields that contradict each other",
    UnknownParticipant "unknown_participant" 422 "There is no such participant"
        "name one of the participants of the session",
    UnknownGroup "unknown_group" 422 "There is no such group"
        "name one of the groups of the session",
    IdempotencyMismatch "idempotency_mismatch" 422 "The idempotency key was used with another body"
        "repeat a request with the same body, or use another idempotency key for another one",
    TooLate "too_late" 422 "Timer commands are not taken late"
        "send timer commands when they happen",
    RateLimited "rate_limited" 429 "Too many requests"
        "wait as long as retry_after_ms says, then go on more slowly",
    TooManyConnections "too_many_connections" 429 "Too many connections"
        "close a connection before another is opened",
    Internal "internal" 500 "Something is broken here"
        "report it with the request_id; the log of the service has the cause",
    NoSigningKey "no_signing_key" 501 "There is no key to sign with"
        "start the service with JWT_SECRET; without it nobody needs a token",
    StoreUnavailable "store_unavailable" 503 "The store is unavailable"
        "nothing was changed; repeat the request after retry_after_ms",
    LedgerUnavailable "ledger_unavailable" 503 "The ledger is unavailable"
        "repeat the request after retry_after_ms; a repeat is safe",
    Restoring "restoring" 503 "The session is being restored"
        "repeat the request after retry_after_ms; the session is being read back",
    NeedsRepair "needs_repair" 503 "The session is stored in a form this release cannot read"
        "ask a newer release of the service, or an operator of it",
    OutcomeUnknown "outcome_unknown" 503 "It is not known whether the write happened"
        "read the session, or repeat the request with the same idempotency key, which is safe",
    Draining "draining" 503 "The instance is going away"
        "connect again; another instance answers, or this one after its restart",
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
