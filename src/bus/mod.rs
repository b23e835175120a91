//! Frames between instances: at most once, and said so.
//!
//! Only the store announces, in the same step in which it writes. Whoever listens
//! may miss a frame, and tells by the positions.

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
    /// Whose write it was.
    pub key: SessionKey,
    /// The position it made.
    pub position: Position,
    /// Its frames, one a line.
    pub frames: Bytes,
}

/// What an instance hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusEvent {
    /// A write was announced.
    Message(Message),
    /// Something may have been missed: everything watched must be checked.
    Gap,
}

/// One instance's ear.
///
/// After `listen` returns, every write to that session is heard, in order, until
/// the ear is closed, cut off, or overrun; the last two are told by a
/// [`BusEvent::Gap`].
#[async_trait]
pub trait Bus: Send + Sync {
    /// Hear of a session's writes from now on.
    async fn subscribe(&self, key: &SessionKey) -> Result<(), BusUnavailable>;

    /// Hear no more of it.
    async fn unsubscribe(&self, key: &SessionKey);

    /// What is heard; taken once, by whoever hands it on. Bounded: when it is
    /// full, what comes is dropped and a gap is told.
    fn events(&self) -> Option<mpsc::Receiver<BusEvent>>;
}

/// Whether anybody listens, in whichever instance: somebody watches there, or did a moment ago.
#[async_trait]
pub trait Audience: Send + Sync {
    /// Whether a session is listened to.
    async fn has_subscribers(&self, key: &SessionKey) -> Result<bool, BusUnavailable>;
}

/// The bus cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("failed to reach the bus")]
pub struct BusUnavailable;
