//! A fence: a process that has lost the ledger to another deployment neither writes nor reads
//! sessions any more, as they may have gone on elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Shared by all parts of a process; open until it is set.
#[derive(Debug, Clone, Default)]
pub struct Fence(Arc<AtomicU8>);

/// The owner of the ledger, as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerOwner {
    /// This deployment's.
    Us = 0,
    /// The ledger could not be asked so far.
    Unknown = 1,
    /// Another's.
    Other = 2,
}

/// The fence is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another deployment has taken the ledger")]
pub struct Fenced;

impl Fence {
    /// Fails if sessions may be neither read nor written.
    pub fn check(&self) -> Result<(), Fenced> {
        if self.owner() == LedgerOwner::Other as u8 { Err(Fenced) } else { Ok(()) }
    }

    /// Whether entries may be written to the ledger; they lose nothing by waiting.
    pub fn may_write(&self) -> bool {
        self.owner() == LedgerOwner::Us as u8
    }

    /// Sets the known owner.
    pub fn set(&self, owner: LedgerOwner) {
        self.0.store(owner as u8, Ordering::Relaxed);
    }

    fn owner(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}
