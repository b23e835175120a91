//! Spans in which no caller could act on a session.

use serde::{Deserialize, Serialize};

use super::{Session, Status};
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

impl Session {
    /// Pauses the session at the start of the outage, which is not charged. A session that had
    /// ended before stays as it is: settling that is a write of its own.
    pub(super) fn freeze_for_outage(&mut self, outage: Outage) {
        let Outage { from: alive, until } = outage;
        let mut then = self.clone();
        then.settle(alive);
        if then.is_in_grace(alive) {
            then.expire_running();
        }
        if then.status == Status::Pending && then.is_due(until) {
            then.settle_start();
        }
        if then.status == Status::Running {
            then.charge_all(alive);
            then.stand_still("outage");
            then.outage = Some(outage);
            *self = then;
        }
    }

    /// A start that fell into the outage happens, but its clock stands still.
    fn settle_start(&mut self) {
        if let Some(at) = self.starts_at {
            self.begin(at);
        }
    }
}
