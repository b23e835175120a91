//! Why a command failed, and its exit code: 1 for a failure, 2 for bad usage.

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
    /// An invalid command line, or a call for help.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// A setting that cannot be used.
    #[error(transparent)]
    Settings(#[from] config::Error),
    /// A setting that is not UTF-8.
    #[error("{0} must be UTF-8")]
    NotUnicode(&'static str),
    /// A settings file that cannot be read.
    #[error("failed to read {}", file.display())]
    SettingsFile {
        /// The file.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An invalid lifetime of a token.
    #[error("--ttl must be a number and s, m, h or d, such as 90s or 1h, and at most ten years")]
    Ttl,
    /// A token without a key to sign it with.
    #[error("failed to sign: JWT_SECRET is not set")]
    NoSigningKey(#[from] NoSigningKey),
    /// Logging cannot start.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// The server cannot serve.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// The ledger failed.
    #[error("failed to use the ledger")]
    Ledger(#[from] ledger::Error),
    /// No ledger file: a command that looks after one creates none.
    #[error(
        "there is no ledger at {}: give the DATABASE_URL or DATA_DIR that the service has, in the environment or as a flag",
        .0.display()
    )]
    NoLedger(PathBuf),
    /// Digests that no dead letter has.
    #[error("{0} of the digests are no dead letter's")]
    NoSuchLetter(usize),
    /// Dead letters that the ledger refused again.
    #[error("{0} were refused again, and stay where they are")]
    StillRefused(usize),
    /// A file of vectors that cannot be read.
    #[error("failed to read {}", file.display())]
    Vectors {
        /// The file.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Vectors that the rules of this release do not satisfy.
    #[error("{0} vectors do not hold")]
    VectorsFailed(usize),
    /// The instance is not ready.
    #[error("{path} answered {status}")]
    NotReady {
        /// The path that was asked.
        path: &'static str,
        /// The status of the answer.
        status: u16,
    },
    /// The instance does not answer with HTTP.
    #[error("no answer from {0}")]
    NoAnswer(std::net::SocketAddr),
    /// An invalid identifier.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The system refused something.
    #[error("failed to use the system")]
    System(#[from] io::Error),
}

impl Failure {
    /// Tells the caller on standard error (help on standard output) and gives the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            Self::Usage(usage) => {
                // Nothing is left to do if even this cannot be written.
                let _ = usage.print();
                u8::try_from(usage.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
            }
            failure => {
                // A terminal that is gone may be the reason for the stop.
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
            | Self::Server(server::Error::Tls(_))
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
    fn a_failure_is_reported_with_its_causes() {
        let failure = Failure::SettingsFile { file: "a.toml".into(), source: io::Error::other("no such disk") };
        assert_eq!(failure.chain(), "failed to read a.toml: no such disk");
        assert_eq!(failure.code(), 2);
        assert_eq!(Failure::NotReady { path: "/ready", status: 503 }.code(), 1);
    }
}
