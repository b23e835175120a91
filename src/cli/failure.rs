//! Why a command failed, and the exit code that says so: 1 it failed, 2 it was asked wrongly.

use std::io;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::auth::NoSigningKey;
use crate::config;
use crate::domain::id::InvalidId;
use crate::ledger;
use crate::server;
use crate::telemetry;
use crate::telemetry::outage::chain;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A command line that makes no sense; a call for help comes this way too.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// A setting that cannot be used.
    #[error(transparent)]
    Settings(#[from] config::Error),
    /// A setting whose text is no text.
    #[error("{0} must be UTF-8")]
    NotUnicode(&'static str),
    /// A settings file that cannot be read.
    #[error("failed to read {}", file.display())]
    SettingsFile {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An end of a token that is none.
    #[error("--ttl must be a number and s, m, h or d, such as 90s or 1h, and at most ten years")]
    Ttl,
    /// A token without a key to sign it with.
    #[error("failed to sign: JWT_SECRET is not set")]
    NoSigningKey(#[from] NoSigningKey),
    /// Log lines that cannot be written.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// A server that does not serve.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// A ledger that does not do as asked.
    #[error("failed to use the ledger")]
    Ledger(#[from] ledger::Error),
    /// A ledger that is nowhere: a command that looks after one makes none.
    #[error(
        "there is no ledger at {}: give the DATABASE_URL or DATA_DIR that the service has, in the environment or as a flag",
        .0.display()
    )]
    NoLedger(PathBuf),
    /// Digests that no dead letter has.
    #[error("{0} of the digests are no dead letter's")]
    NoSuchLetter(usize),
    /// Dead letters that the ledger would not take this time either.
    #[error("{0} were refused again, and stay where they are")]
    StillRefused(usize),
    /// A file of vectors that cannot be read.
    #[error("failed to read {}", file.display())]
    Vectors {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The rules of this release and a file of vectors differ.
    #[error("{0} vectors do not hold")]
    DoesNotHold(usize),
    /// The instance asked is not ready.
    #[error("{path} answered {status}")]
    NotReady {
        /// What was asked.
        path: &'static str,
        /// What it answered.
        status: u16,
    },
    /// The instance asked does not answer as a server would.
    #[error("no answer from {0}")]
    NoAnswer(std::net::SocketAddr),
    /// An identifier of our own that is none.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The system refused something.
    #[error("failed to use the system")]
    System(#[from] io::Error),
}

impl Failure {
    /// Tells the caller on standard error (help on standard output) and gives the exit code.
    #[must_use]
    pub fn report(self) -> ExitCode {
        match self {
            Self::Usage(usage) => {
                // Nothing is left to do if even this cannot be written.
                let _ = usage.print();
                u8::try_from(usage.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
            }
            failure => {
                // Nobody may be reading: the terminal that is gone is why it stopped.
                let _ = writeln!(io::stderr(), "synckairos: {}", failure.chain());
                ExitCode::from(failure.code())
            }
        }
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Settings(_)
            | Self::NotUnicode(_)
            | Self::SettingsFile { .. }
            | Self::Ttl
            | Self::NoLedger(_) => 2,
            _ => 1,
        }
    }

    fn chain(&self) -> String {
        chain(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_why_all_the_way_down() {
        let failure = Failure::SettingsFile { file: "a.toml".into(), source: io::Error::other("no such disk") };
        assert_eq!(failure.chain(), "failed to read a.toml: no such disk");
        assert_eq!(failure.code(), 2);
        assert_eq!(Failure::NotReady { path: "/ready", status: 503 }.code(), 1);
    }
}
