//! Problem documents (RFC 9457), and the one table of every code.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::snapshot::Snapshot;
use crate::domain::session::Session;
use crate::domain::session::command::Refused;
use crate::domain::time::Timestamp;

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

            /// What to do about it, where there is nothing more to say of the case.
            #[must_use]
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

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer to the part.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// A session as a problem shows it.
#[derive(Debug, Clone)]
pub struct ShownSession {
    session: Arc<Session>,
    as_of: Timestamp,
}

impl ShownSession {
    /// A session as of its last change, until [`Problem::show_as_of`] says when it is shown.
    #[must_use]
    pub fn of(session: &Arc<Session>) -> Self {
        Self { session: Arc::clone(session), as_of: session.updated_at }
    }
}

impl Serialize for ShownSession {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Snapshot::of(&self.session, self.as_of).serialize(serializer)
    }
}

/// Why something did not happen.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    /// What is the matter in this case, or what to do.
    pub detail: Cow<'static, str>,
    code: &'static str,
    /// The id of the request, as the log has it.
    pub request_id: String,
    /// Part by part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The present snapshot, for a conflict or a refusal. It is written only when the document is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<ShownSession>,
    /// When it is worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Where the codes come from.
    #[serde(skip)]
    pub of: Code,
}

impl Problem {
    /// A problem of that code, with what there is to say of this case; else what to do.
    #[must_use]
    pub fn new(code: Code, detail: Option<String>) -> Self {
        let detail = detail.filter(|detail| !detail.is_empty());
        Self {
            kind: format!("urn:synckairos:problem:{}", code.as_str()),
            title: code.title(),
            status: code.status(),
            detail: detail.map_or(Cow::Borrowed(code.advice()), Cow::Owned),
            code: code.as_str(),
            request_id: String::new(),
            errors: Vec::new(),
            session: None,
            retry_after_ms: None,
            of: code,
        }
    }

    /// A problem with one part of the request, named by its JSON pointer.
    #[must_use]
    pub fn at(code: Code, pointer: &str, detail: String) -> Self {
        let pointer = shortened(pointer);
        let said = if pointer.is_empty() { detail.clone() } else { format!("{pointer} {detail}") };
        let mut problem = Self::new(code, Some(said));
        problem.errors.push(FieldError { pointer, detail });
        problem
    }

    /// The header fields that go with it.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let challenge = (self.status == 401).then(|| ("www-authenticate", "Bearer".to_owned()));
        let retry_after = self.retry_after_ms.map(|ms| ("retry-after", ms.div_ceil(1_000).to_string()));
        challenge.into_iter().chain(retry_after)
    }

    /// The answer is written at `now`: the session is shown as of then.
    pub fn show_as_of(&mut self, now: Timestamp) {
        if let Some(shown) = &mut self.session {
            shown.as_of = now;
        }
    }

    /// The document.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        // Texts and numbers only: it always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A caller's text is shown up to here, or it would come back several times as long.
const MAX_SHOWN: usize = 64;

/// A pointer whose parts are cut where they are long.
fn shortened(pointer: &str) -> String {
    if pointer.len() <= MAX_SHOWN {
        return pointer.to_owned();
    }
    pointer.split('/').map(cut).collect::<Vec<_>>().join("/")
}

/// The beginning of a text that may be long.
#[must_use]
pub fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_advice_of_its_own() {
        for code in Code::ALL {
            let problem = Problem::new(*code, None);
            assert!(!problem.detail.is_empty() && problem.detail != code.title(), "{code:?}");
            let others = Code::ALL.iter().filter(|other| other.advice() == code.advice());
            assert_eq!(others.count(), 1, "{code:?}");
        }
    }

    #[test]
    fn a_long_name_in_a_pointer_is_cut() {
        let long = "\u{e9}".repeat(60_000);
        let problem = Problem::at(Code::Invalid, &format!("/participants/0/{long}"), "is wrong".to_owned());
        assert!(problem.json().len() < 1_000, "{}", problem.json().len());
        let pointer = &problem.errors[0].pointer;
        assert_eq!(pointer.chars().count(), "/participants/0/".len() + MAX_SHOWN + 3);
    }
}
