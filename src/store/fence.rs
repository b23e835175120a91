//! A fence: whoever has lost the ledger to another deployment writes nothing any more, and
//! answers nothing either, since what it holds may have gone on elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What all parts of a process look at; open unless somebody has said otherwise.
#[derive(Debug, Clone, Default)]
pub struct Fence(Arc<AtomicU8>);

/// Whose the ledger is, as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerOwner {
    /// This deployment's.
    Us = 0,
    /// Nobody could be asked so far.
    Unknown = 1,
    /// Another's.
    Other = 2,
}

/// It is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another deployment has taken the ledger")]
pub struct Fenced;

impl Fence {
    /// Whether one may go on with sessions.
    pub fn check(&self) -> Result<(), Fenced> {
        if self.owner() == LedgerOwner::Other as u8 { Err(Fenced) } else { Ok(()) }
    }

    /// Whether one may write to the ledger: what waits for it loses nothing by waiting.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.owner() == LedgerOwner::Us as u8
    }

    /// From now on, that is known.
    pub fn set(&self, known: LedgerOwner) {
        self.0.store(known as u8, Ordering::Relaxed);
    }

    fn owner(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}
