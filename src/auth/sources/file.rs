//! Keys in a file: public keys in PEM or as a JSON Web Key Set, or the secret.
//!
//! The whole file is read each time and compared: its time of change may be an old one, and a
//! swapped link has another file behind it.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::report::apply;
use crate::auth::jwks::{NotJwks, Origin};
use crate::auth::key_fault::KeyFaultCounts;
use crate::auth::key_list::KeyList;
use crate::auth::{Authenticator, Key, KeyFault, Source, jwks, pem};
use crate::telemetry::metrics;
use crate::telemetry::outage::chain;

/// The longest file of keys.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Why a file gives no keys.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("failed to read {}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// It is too long.
    #[error("{} is longer than {MAX_FILE_BYTES} bytes", .0.display())]
    TooLong(PathBuf),
    /// It is neither PEM nor a key set.
    #[error("{} is neither PEM (BEGIN PUBLIC KEY) nor a JSON Web Key Set", .0.display())]
    NoKeys(PathBuf),
    /// It looks like JSON, and is no key set.
    #[error("{} is {error}", path.display())]
    NotJwks {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: NotJwks,
    },
    /// Nothing in it can be used.
    #[error(
        "{} has no key that can be used: left out are {left_out}; of a certificate give the public key (openssl x509 \
             -pubkey -noout), RSA needs 2048 bits or more",
        path.display()
    )]
    NoneUsable {
        /// The file.
        path: PathBuf,
        /// What is in it.
        left_out: KeyFaultCounts,
    },
    /// The secret in it cannot be used.
    #[error("the secret in {} cannot be used: it needs at least 32 bytes, 8 of them different ones", .0.display())]
    Secret(PathBuf),
}

impl FileError {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Unreadable(..) => "unreachable",
            Self::TooLong(_) => "too_long",
            _ => "invalid",
        }
    }
}

/// A file of keys.
#[derive(Debug, Clone)]
pub struct KeyFile {
    source: Source,
    path: PathBuf,
    /// What of a secret's file is the secret.
    content: fn(&[u8]) -> &[u8],
}

impl KeyFile {
    /// A file of public keys.
    pub fn public(path: &Path) -> Self {
        Self { source: Source::File, path: path.to_owned(), content: |whole| whole }
    }

    /// The file of the secret, which is `content` of it.
    pub fn secret(path: &Path, content: fn(&[u8]) -> &[u8]) -> Self {
        Self { source: Source::Secret, path: path.to_owned(), content }
    }

    /// The keys in it now.
    pub fn load(&self) -> Result<KeyList, FileError> {
        self.keys(&self.read()?)
    }

    /// Looks at the file at each interval, until it is dropped. A file that cannot be used leaves
    /// the keys in force as they are.
    pub async fn watch(self, authenticator: Arc<Authenticator>, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        loop {
            ticks.tick().await;
            let file = self.clone();
            let Ok(read) = spawn_blocking(move || file.read()).await else { continue };
            let seen = match &read {
                Ok(bytes) => Ok(digest(&SHA256, bytes).as_ref().to_vec()),
                Err(error) => Err(error.as_str()),
            };
            if last.as_ref() != Some(&seen) {
                self.take(read, &authenticator);
                last = Some(seen);
            }
        }
    }

    fn take(&self, read: Result<Vec<u8>, FileError>, authenticator: &Authenticator) {
        let loaded = read.and_then(|bytes| self.keys(&bytes));
        match loaded {
            Ok(list) => apply(authenticator, self.source, list),
            Err(error) => {
                let source = self.source.as_str();
                metrics::count_token_key_load(source, error.as_str());
                tracing::error!(target: "security", source, error = chain(&error), "the keys of tokens stay as they are");
            }
        }
    }

    fn read(&self) -> Result<Vec<u8>, FileError> {
        let unreadable = |error| FileError::Unreadable(self.path.clone(), error);
        // Another kind of file may never end, or never begin.
        if !std::fs::metadata(&self.path).map_err(unreadable)?.is_file() {
            return Err(unreadable(io::Error::other("it is no regular file")));
        }
        let mut bytes = Vec::new();
        let file = File::open(&self.path).map_err(unreadable)?;
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_FILE_BYTES { Err(FileError::TooLong(self.path.clone())) } else { Ok(bytes) }
    }

    fn keys(&self, bytes: &[u8]) -> Result<KeyList, FileError> {
        if self.source == Source::Secret {
            let key = Key::secret((self.content)(bytes)).map_err(|_: KeyFault| FileError::Secret(self.path.clone()))?;
            return Ok(KeyList::of([Ok(key)]));
        }
        let list = self.public_keys(bytes)?;
        let path = self.path.clone();
        match (list.keys.len(), list.left_out.total()) {
            (0, 0) => Err(FileError::NoKeys(path)),
            (0, _) => Err(FileError::NoneUsable { path, left_out: list.left_out }),
            _ => Ok(list),
        }
    }

    fn public_keys(&self, bytes: &[u8]) -> Result<KeyList, FileError> {
        if bytes.trim_ascii_start().starts_with(b"{") {
            let path = self.path.clone();
            return jwks::read(bytes, Origin::File).map_err(|error| FileError::NotJwks { path, error });
        }
        Ok(std::str::from_utf8(bytes).map(pem::read).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    fn load(content: &[u8]) -> Result<usize, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let loaded = KeyFile::public(file.path()).load();
        loaded
            .map(|list| list.keys.len())
            .map_err(|error| error.to_string().replace(file.path().to_str().unwrap(), "F"))
    }

    #[test]
    fn a_file_is_pem_or_a_key_set() {
        let jwks = r#" {"keys": [{"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T"}]}"#;
        assert_eq!((load(PEM.as_bytes()), load(jwks.as_bytes())), (Ok(1), Ok(1)));
        for (content, says) in [
            (&b""[..], "F is neither PEM"),
            (b"hello", "F is neither PEM"),
            (&[0xff, 0xfe], "F is neither PEM"),
            (b"{}", "F is not a JSON Web Key Set"),
            (PEM.replace("PUBLIC", "PRIVATE").as_bytes(), "left out are 1 private_key"),
            (br#"{"keys": [{"kty": "RSA", "n": "AQ", "e": "AQAB"}]}"#, "left out are 1 weak"),
            (&vec![b'x'; 256 * 1024 + 1], "F is longer than 262144 bytes"),
        ] {
            let error = load(content).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let error = KeyFile::public(Path::new("/nowhere")).load().unwrap_err();
        assert!(chain(&error).starts_with("failed to read /nowhere: "), "{}", chain(&error));
        assert!(KeyFile::public(Path::new("/dev/zero")).load().is_err());
    }

    #[test]
    fn an_error_does_not_show_the_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n").unwrap();
        let error = KeyFile::secret(file.path(), |whole| whole).load().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
