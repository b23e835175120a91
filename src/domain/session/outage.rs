//! Spans in which no caller could act on a session.

use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;

/// A shorter outage is charged as usual.
pub const OUTAGE_MS: i64 = 5_000;

/// A span without an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// The last heartbeat before it.
    pub from: Timestamp,
    /// The first heartbeat after it.
    pub until: Timestamp,
}

/// Why no caller could act on a session for a while.
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
            Self::Outage(span) | Self::Stop(span) => *span,
        }
    }

    pub(super) const fn least_ms(&self) -> i64 {
        match self {
            Self::Outage(_) => OUTAGE_MS,
            Self::Stop(_) => 0,
        }
    }
}
