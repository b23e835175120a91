//! The lock of a sole instance on its data folder and its ledger: two processes would not see
//! each other's writes.

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

/// Between two attempts to lock the folder.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// The data folder, and the ledger if it is a server.
#[derive(Debug)]
pub(super) struct Lock {
    _folder: File,
    ledger: Option<AdvisoryLock>,
}

impl Lock {
    /// Locks the folder, and the ledger if that is a server.
    pub(super) async fn acquire(config: &Config) -> Result<Self, Error> {
        let timeout = config.drain_timeout;
        let folder = lock_folder(&config.data_dir, timeout).await?;
        let ledger = match &config.database {
            Database::Sqlite(_) => None,
            Database::Postgres(address) => {
                let held = AdvisoryLock::acquire(address.as_str(), config.name(), timeout).await?;
                Some(held.ok_or_else(|| Error::InUse(address.shown()))?)
            }
        };
        Ok(Self { _folder: folder, ledger })
    }

    /// Keeps the lock until `last` begins to stop. Another process can take the ledger after the
    /// database was away: then `front` is stopped, because two must not serve.
    pub(super) fn keep(self, last: &Shutdown, front: &Shutdown) {
        let (stop, front) = (last.soft(), front.clone());
        last.spawn("lock", async move {
            let Self { _folder, ledger } = self;
            let Some(lock) = ledger else { return stop.cancelled().await };
            if stop.run_until_cancelled(lock.keep()).await.is_some() {
                tracing::error!("another process has taken the ledger's lock: stopping");
                front.begin();
                stop.cancelled().await;
            }
        });
    }
}

/// Locks the folder until the file is dropped. A restart waits for the old process to finish.
pub(super) async fn lock_folder(folder: &Path, timeout: Duration) -> Result<File, Error> {
    let file = open(folder).map_err(|source| unusable(folder, source))?;
    let until = Instant::now() + timeout;
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
