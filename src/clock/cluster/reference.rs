//! What a cluster clock needs of the store: its time, and an offset kept beside it.

use async_trait::async_trait;

/// An offset that an instance claimed, and for which process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOffset {
    /// Which process of the reference it is for.
    pub run_id: String,
    /// Cluster time less the reference's time, in microseconds.
    pub offset_us: i64,
}

/// The answer of the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Which process answered: another one has another clock.
    pub run_id: String,
    /// Its time, in microseconds since the Unix epoch.
    pub server_us: i64,
    /// The offset stored beside it.
    pub stored: Option<StoredOffset>,
}

/// The one clock that all instances follow.
#[async_trait]
pub trait Reference: Send + Sync {
    /// Reads its time and the offset stored beside it, in one round trip, all at one instant.
    async fn exchange(&self) -> Result<Reading, ReferenceUnavailable>;

    /// Stores `new`, if the stored offset is still `seen` and the process that answers is
    /// the one `new` is for; otherwise changes nothing. After an error either may have
    /// happened; the next exchange tells.
    async fn claim(&self, seen: Option<&StoredOffset>, new: &StoredOffset) -> Result<(), ReferenceUnavailable>;
}

/// The reference does not answer, or not in time.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the reference clock")]
pub struct ReferenceUnavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);
