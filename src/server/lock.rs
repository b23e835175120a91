//! Embedded, one process serves from a data folder: two would not know of each
//! other's writes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Error;

const TRY_EVERY: Duration = Duration::from_millis(50);

/// Holds the folder until dropped. A restart waits for the old process to finish.
pub(super) async fn hold(folder: &Path, patience: Duration) -> Result<File, Error> {
    let file = open(folder).map_err(|source| unusable(folder, source))?;
    let until = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(TRY_EVERY).await,
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
