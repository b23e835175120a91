//! Which format of stored sessions an instance writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// The newest format that every live member can read. The membership keeps it up to date, so
/// reading it costs one load.
#[derive(Debug, Clone)]
pub struct WriteFormat(Arc<AtomicU16>);

impl WriteFormat {
    /// That format, until the membership sets another.
    pub fn new(format: u16) -> Self {
        Self(Arc::new(format.into()))
    }

    /// The format to write now.
    pub fn get(&self) -> u16 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, format: u16) {
        self.0.store(format, Ordering::Relaxed);
    }
}
