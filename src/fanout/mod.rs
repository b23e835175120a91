//! From the bus to those who watch, inside one instance.
//!
//! Each watched session has one bounded ring of what was told of it. A
//! [`Subscription`] is a place in that ring and nothing more, so a subscriber that
//! never reads costs what the others cost; who falls off gets the newest state.
//!
//! Pub/sub loses messages and positions tell: the hub listens first, then reads its
//! [`Source`], then merges by position. After a gap, a hole or a new epoch it reads
//! again, and now and then it reads anyway.

mod health;
mod hub;
mod lock;
mod refresh_state;
mod ring;
mod shared;
mod subscription;
mod tasks;
mod topic;
mod update;
mod wake_list;
mod warning_edges;
mod warning_plan;
mod work_queue;

#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::health::Health;
pub use self::hub::Hub;
pub use self::shared::HubParts;
pub use self::subscription::{Delivery, EndReason, Subscription};
pub use self::update::{Encoding, Update, UpdateKind};
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::wire::problem::Code;

/// A session as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Its newest position.
    pub position: Position,
    /// The whole snapshot there; of no use where the session is deleted.
    pub snapshot: Bytes,
    /// Whether that version is its deletion.
    pub is_deleted: bool,
}

/// Where a session stands cannot be learned now, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to read where a session stands")]
pub struct Unavailable {
    /// What a plain read of the session is answered with.
    pub code: Code,
    /// When it is worth asking again, where a breaker has said so.
    pub retry_after: Option<Duration>,
}

impl Unavailable {
    /// The store does not answer.
    pub const STORE: Self = Self { code: Code::StoreUnavailable, retry_after: None };

    /// Whether the failure outlasts a short wait: an outage of the ledger, or a stored form
    /// that this release cannot read. A store that fails over is back within seconds.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        matches!(self.code, Code::LedgerUnavailable | Code::NeedsRepair)
    }
}

/// Where the truth is read: the store, and the ledger behind it.
///
/// What it gives is at least as new as everything that was written before it was
/// asked. `None` says that there is no such session, not that it is not known.
#[async_trait]
pub trait Source: Send + Sync {
    /// The session as it stands now.
    async fn newest(&self, key: &SessionKey) -> Result<Option<Newest>, Unavailable>;
}

/// How much is kept and how often is looked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A ring holds so many entries, and at least one.
    pub ring_entries: usize,
    /// A ring holds frames of so many bytes, unless one entry alone is larger; what
    /// transports have written of them comes on top.
    pub ring_bytes: usize,
    /// What is older serves no one: a snapshot is the shorter answer.
    pub ring_age: Duration,
    /// The instance goes on listening for so long after the last subscriber left.
    pub linger: Duration,
    /// Between two checks of what is remembered against what is stored.
    pub position_check: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ring_entries: 256,
            ring_bytes: 64 * 1024,
            ring_age: Duration::from_mins(2),
            linger: Duration::from_mins(1),
            position_check: Duration::from_secs(5),
        }
    }
}
