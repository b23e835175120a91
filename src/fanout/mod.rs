//! From the bus to the subscribers of one instance.
//!
//! Each watched session has one bounded ring of updates. A [`Subscription`] is a place in
//! that ring and nothing more, so a subscriber that never reads costs no more than the
//! others. A subscriber whose place is evicted gets the newest state.
//!
//! Pub/sub loses messages, and positions show it. So the hub subscribes first, then reads
//! its [`Source`], then merges by position. It reads again after a gap and in a new epoch,
//! and at intervals it checks silent sessions.

mod health;
mod hub;
mod lock;
mod refresh_state;
mod ring;
mod shared;
mod subscription;
mod tasks;
mod topic;
mod transport;
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
pub use self::transport::Transport;
pub use self::update::{Encoding, Update, UpdateKind};
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::wire::error_code::Code;

/// The newest state of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestState {
    /// Its newest position.
    pub position: Position,
    /// The whole snapshot at that position; meaningless if the session is deleted.
    pub snapshot: Bytes,
    /// Whether that version is the session's deletion.
    pub is_deleted: bool,
}

/// Why the source cannot tell a session's state now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to read the state of a session")]
pub struct Unavailable {
    /// The code that a plain read of the session gets.
    pub code: Code,
    /// When a retry is worthwhile, if a breaker says so.
    pub retry_after: Option<Duration>,
}

impl Unavailable {
    /// The store does not answer.
    pub const STORE: Self = Self { code: Code::StoreUnavailable, retry_after: None };

    /// Whether the failure outlasts a short wait: an outage of the ledger, or a stored form
    /// that this release cannot read. A store that fails over is back within seconds.
    pub const fn is_lasting(&self) -> bool {
        matches!(self.code, Code::LedgerUnavailable | Code::NeedsRepair)
    }
}

/// Reads the newest state: from the store, and from the ledger behind it.
///
/// The answer is at least as new as every write before the call. `None` means that there is
/// no such session, not that the source cannot tell.
#[async_trait]
pub trait Source: Send + Sync {
    /// The newest state of a session.
    async fn newest(&self, key: &SessionKey) -> Result<Option<NewestState>, Unavailable>;
}

/// The bounds of a ring, and the intervals of housekeeping.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most entries of a ring, at least one.
    pub ring_entries: usize,
    /// The most bytes of frames in a ring, unless one entry alone is larger. Encoded copies come
    /// on top.
    pub ring_bytes: usize,
    /// The age at which an entry is evicted: from there on a snapshot is the shorter answer.
    pub ring_age: Duration,
    /// For how long a topic stays subscribed to the bus after its last subscriber left.
    pub linger: Duration,
    /// The interval between two checks of silent sessions against the source.
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
