//! Spans in which nobody could act on a session.

use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;

/// A shorter absence is charged as usual.
pub const OUTAGE_MS: i64 = 5_000;

/// A span in which no instance was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// The last proof of life before it.
    pub from: Timestamp,
    /// When somebody was there again.
    pub until: Timestamp,
}

/// Why nobody could act on a session for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// Something failed: charged as usual, unless it was long.
    Outage(Outage),
    /// The one process that serves was stopped in order, and started again: never charged.
    Stop(Outage),
}

impl Gap {
    /// The span.
    #[must_use]
    pub const fn outage(&self) -> Outage {
        match self {
            Self::Outage(absence) | Self::Stop(absence) => *absence,
        }
    }

    pub(super) const fn least_ms(&self) -> i64 {
        match self {
            Self::Outage(_) => OUTAGE_MS,
            Self::Stop(_) => 0,
        }
    }
}
