//! Frames between instances, delivered at most once.
//!
//! Only the store announces, in the same step in which it writes. A receiver may miss a
//! frame, and notices by the positions.

pub mod memory;
pub mod redis;

#[cfg(test)]
mod contract;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::domain::id::SessionKey;
use crate::domain::position::Position;

/// The frames of one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The session that was written.
    pub key: SessionKey,
    /// The position after the write.
    pub position: Position,
    /// Its frames, one on each line.
    pub frames: Bytes,
}

/// What an instance receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusEvent {
    /// A write was announced.
    Message(Message),
    /// A write may have been missed: every watched session must be checked.
    Gap,
}

/// One instance's end of the bus.
///
/// After `subscribe` returns, every write to that session arrives, in order, until the
/// receiver is dropped, disconnected or overrun. A [`BusEvent::Gap`] reports the last two.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Receives a session's writes from now on.
    async fn subscribe(&self, key: &SessionKey) -> Result<(), BusUnavailable>;

    /// Receives no more of them.
    async fn unsubscribe(&self, key: &SessionKey);

    /// The receiver; `None` after the first call. It is bounded: while it is full, messages are
    /// dropped, and a gap follows.
    fn events(&self) -> Option<mpsc::Receiver<BusEvent>>;
}

/// Knows whether any instance is subscribed to a session: it has a subscriber there, or had one a moment ago.
#[async_trait]
pub trait Audience: Send + Sync {
    /// Whether any instance is subscribed to the session.
    async fn has_subscribers(&self, key: &SessionKey) -> Result<bool, BusUnavailable>;
}

/// The bus cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("failed to reach the bus")]
pub struct BusUnavailable;
