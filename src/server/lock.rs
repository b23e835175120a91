//! Embedded, one process serves from a data folder and records in a ledger: two would
//! not know of each other's writes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::Error;
use crate::config::{Config, Database};
use crate::ledger::postgres::AdvisoryLock;
use crate::shutdown::Shutdown;

const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// What this process alone may use.
#[derive(Debug)]
pub(super) struct Lock {
    _folder: File,
    ledger: Option<AdvisoryLock>,
}

impl Lock {
    /// Takes the folder, and the ledger where that is a server.
    pub(super) async fn hold(config: &Config) -> Result<Self, Error> {
        let patience = config.drain_timeout;
        let folder = hold(&config.data_dir, patience).await?;
        let ledger = match &config.database {
            Database::Sqlite(_) => None,
            Database::Postgres(address) => {
                let held = AdvisoryLock::acquire(address.as_str(), config.name(), patience).await?;
                Some(held.ok_or_else(|| Error::InUse(address.shown()))?)
            }
        };
        Ok(Self { _folder: folder, ledger })
    }

    /// Holds on to it until `last` begins to stop. If another process takes the ledger, which it
    /// can after the database was away, `front` is stopped: two must not serve.
    pub(super) fn keep(self, last: &Shutdown, front: &Shutdown) {
        let (stop, front) = (last.soft(), front.clone());
        last.spawn("lock", async move {
            let Self { _folder, ledger } = self;
            let Some(alone) = ledger else { return stop.cancelled().await };
            if stop.run_until_cancelled(alone.keep()).await.is_some() {
                tracing::error!("another process has taken the ledger's lock: stopping");
                front.begin();
                stop.cancelled().await;
            }
        });
    }
}

/// Holds the folder until dropped. A restart waits for the old process to finish.
pub(super) async fn hold(folder: &Path, patience: Duration) -> Result<File, Error> {
    let file = open(folder).map_err(|source| unusable(folder, source))?;
    let until = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(RETRY_INTERVAL).await,
            Err(TryLockError::WouldBlock) => return Err(Error::InUse(folder.display().to_string())),
            Err(TryLockError::Error(source)) => return Err(unusable(folder, source)),
        }
    }
}

fn open(folder: &Path) -> io::Result<File> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"))
}

fn unusable(folder: &Path, source: io::Error) -> Error {
    Error::Folder { folder: folder.display().to_string(), source }
}
