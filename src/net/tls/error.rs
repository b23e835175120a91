//! Why the files of TLS cannot be used.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// One of the files, by the setting that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFile {
    /// The setting.
    pub setting: &'static str,
    /// Where it is.
    pub path: PathBuf,
}

impl fmt::Display for TlsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.setting, self.path.display())
    }
}

/// Why the files of TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that cannot be read.
    #[error("failed to read {file}")]
    Read {
        /// The file.
        file: TlsFile,
        /// The system's error.
        source: io::Error,
    },
    /// A file without certificates.
    #[error("{0} must hold certificates in PEM")]
    NoCertificate(TlsFile),
    /// A file without a key.
    #[error("{0} must hold a private key in PEM without a passphrase: PKCS #8, PKCS #1 or SEC 1")]
    NoKey(TlsFile),
    /// A key of another certificate.
    #[error("the key in {key} is not that of the first certificate in {chain}")]
    KeyMismatch {
        /// The file of the key.
        key: TlsFile,
        /// The file of the certificate.
        chain: TlsFile,
    },
    /// A certificate that cannot be read.
    #[error("{0} holds what is no X.509 certificate")]
    NotX509(TlsFile),
    /// What the library refuses.
    #[error("{file} cannot be used: {source}")]
    Unfit {
        /// The file.
        file: TlsFile,
        /// The library's error.
        source: rustls::Error,
    },
    /// Authorities that the library refuses.
    #[error("{file} cannot be used: {reason}")]
    UnfitAuthorities {
        /// The file.
        file: TlsFile,
        /// What the library says.
        reason: String,
    },
}
