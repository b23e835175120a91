//! Why a command did not do as asked.

use std::fmt;
use std::process::ExitCode;

pub enum Failure {
    /// What went wrong, in words.
    Message(String),
    /// A signal came; the exit code is the one a shell would give.
    Interrupted(u8),
}

impl Failure {
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Message(_) => ExitCode::FAILURE,
            Self::Interrupted(code) => ExitCode::from(*code),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => f.write_str(message),
            Self::Interrupted(_) => f.write_str("interrupted"),
        }
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Message(message.to_owned())
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Message(error.to_string())
    }
}
