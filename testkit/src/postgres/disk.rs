//! A small disk under a server, for tests that fill it.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A disk in memory, mounted over a folder and small enough to be filled.
pub(super) struct Disk(PathBuf);

impl Disk {
    /// # Panics
    /// Only root may mount.
    pub(super) fn over(folder: &Path, mib: u32) -> Self {
        let size = format!("size={mib}m,mode=755");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output().unwrap();
        assert!(done.status.success(), "no small disk: {}", String::from_utf8_lossy(&done.stderr));
        Self(folder.to_owned())
    }

    /// Removes what [`fill`](Self::fill) wrote.
    pub(super) fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Writes until nothing more fits.
    pub(super) fn fill(&self) {
        let mut file = File::options().append(true).create(true).open(self.ballast()).unwrap();
        let block = [0; 4096];
        let error = loop {
            if let Err(error) = file.write_all(&block) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Processes of the server may hold a file for a moment; the name goes at once.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
