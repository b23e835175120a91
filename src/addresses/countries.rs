//! The country of an address, from a file in MaxMind's format, read again when it changes.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use maxminddb::{Reader, path};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::telemetry::metrics::GEOIP_LOADS_TOTAL;
use crate::telemetry::outage::chain;

/// Between two looks at the file.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Larger files are refused: the largest with countries alone takes a tenth of it.
const MAX_BYTES: u64 = 256 << 20;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CountriesError {
    /// It cannot be read.
    #[error("failed to read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// It is larger than any such file.
    #[error("failed to read {0}: it has {1} bytes, and may have {MAX_BYTES}")]
    TooLarge(PathBuf, u64),
    /// It is no such file, or it is damaged.
    #[error("failed to read {0} as a country database in MaxMind's format (.mmdb)")]
    Format(PathBuf, #[source] maxminddb::MaxMindDbError),
}

/// Countries by address.
pub struct Countries {
    file: PathBuf,
    reader: ArcSwap<Reader<Vec<u8>>>,
}

impl Countries {
    /// Those of a file.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn open(file: &Path) -> Result<Self, CountriesError> {
        Ok(Self { file: file.to_owned(), reader: ArcSwap::from_pointee(load(file)?) })
    }

    /// The country of an address, as two capital letters; `None` where the file has none.
    pub fn country(&self, address: IpAddr) -> Option<String> {
        let reader = self.reader.load();
        let found = reader.lookup(address.to_canonical()).ok()?;
        let code = found.decode_path::<&str>(&path!["country", "iso_code"]).ok().flatten();
        code.map(str::to_owned)
    }

    /// Reads the file again whenever it changes; runs until it is dropped. A file that cannot be
    /// used leaves the one before in force.
    pub async fn run(self: Arc<Self>) {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What was read before the first look may have changed already.
        let mut read = None;
        loop {
            looks.tick().await;
            let seen = state(&self.file);
            if read.as_ref().is_none_or(|read| *read != seen) {
                read = Some(seen);
                self.reload().await;
            }
        }
    }

    async fn reload(&self) {
        let file = self.file.clone();
        let outcome = match spawn_blocking(move || load(&file)).await {
            Ok(Ok(reader)) => {
                self.reader.store(Arc::new(reader));
                tracing::debug!(file = %self.file.display(), "countries were read");
                "loaded"
            }
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "the country file cannot be used: the one before stays in force");
                "failed"
            }
            Err(error) => {
                tracing::error!(%error, "failed to read the country file: the one before stays in force");
                "failed"
            }
        };
        metrics::counter!(GEOIP_LOADS_TOTAL, "outcome" => outcome).increment(1);
    }
}

/// What changes with each writing of a file; no two files that can be read have the same.
fn state(file: &Path) -> impl PartialEq + Send + use<> {
    std::fs::metadata(file).ok().map(|about| (about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
}

fn load(file: &Path) -> Result<Reader<Vec<u8>>, CountriesError> {
    let unreadable = |error| CountriesError::Read(file.to_owned(), error);
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > MAX_BYTES {
        return Err(CountriesError::TooLarge(file.to_owned(), size));
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let unusable = |error| CountriesError::Format(file.to_owned(), error);
    let reader = Reader::from_source(bytes).map_err(unusable)?;
    reader.verify().map_err(unusable)?;
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = include_bytes!("../../tests/golden/countries.mmdb");

    fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn each_address_has_its_country() {
        let file = written(FILE);
        let countries = Countries::open(file.path()).unwrap();
        for (address, expected) in [
            ("192.0.2.7", Some("FR")),
            ("::ffff:192.0.2.7", Some("FR")),
            ("198.51.100.1", Some("US")),
            ("2001:db8:1::5", Some("DE")),
            ("127.0.0.1", None),
            ("2001:db8:2::1", None),
        ] {
            assert_eq!(countries.country(address.parse().unwrap()).as_deref(), expected, "{address}");
        }
    }

    #[tokio::test]
    async fn a_broken_file_leaves_the_one_before_in_force() {
        let file = written(FILE);
        let countries = Countries::open(file.path()).unwrap();
        for broken in [&b""[..], b"nonsense", &FILE[..FILE.len() / 2]] {
            std::fs::write(file.path(), broken).unwrap();
            countries.reload().await;
            assert_eq!(countries.country([192, 0, 2, 7].into()).as_deref(), Some("FR"));
            assert!(Countries::open(file.path()).is_err());
        }
        std::fs::remove_file(file.path()).unwrap();
        countries.reload().await;
        assert!(countries.country([192, 0, 2, 7].into()).is_some());
    }
}
