//! A refusal on its way to the caller: a problem document, and how each is made.

use std::time::Duration;

use super::command::{COMMANDS, ParseError};
use super::error_code::Code;
use super::json::{JsonError, MAX_DEPTH};
use super::problem::Problem;

/// What a handler answers when it does not do as asked.
#[derive(Debug)]
pub struct ApiError(pub Box<Problem>);

/// When to try again, where waiting helps and nobody knows how long.
const RETRY_AFTER_MS: u64 = 500;

const LEAST_RETRY_AFTER_MS: u64 = 50;

impl ApiError {
    /// A problem with nothing more to say.
    pub fn of(code: Code) -> Self {
        Self(Box::new(Problem::new(code, None)))
    }

    /// A problem, and what is the matter in this case.
    pub fn with_detail(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, Some(detail.into()))))
    }

    /// One part of the request is not valid.
    pub fn invalid(pointer: impl AsRef<str>, detail: impl Into<String>) -> Self {
        Self::at(Code::Invalid, pointer, detail)
    }

    /// A problem with one part of the request.
    pub fn at(code: Code, pointer: impl AsRef<str>, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::at(code, pointer.as_ref(), detail.into())))
    }

    /// The same, without the snapshot that a refusal shows.
    pub fn without_session(mut self) -> Self {
        self.0.session = None;
        self
    }

    /// Waiting helps.
    pub fn unavailable(code: Code) -> Self {
        Self::unavailable_for(code, None)
    }

    /// The same problem, with what is the matter in this case.
    pub fn with_cause(mut self, detail: String) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Waiting helps, and for how long may be known.
    pub fn unavailable_for(code: Code, retry_after: Option<Duration>) -> Self {
        let mut problem = Problem::new(code, None);
        let ms = retry_after.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        // A caller that comes back at once would only find the same.
        problem.retry_after_ms = Some(ms.map_or(RETRY_AFTER_MS, |ms| ms.max(LEAST_RETRY_AFTER_MS)));
        Self(Box::new(problem))
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
