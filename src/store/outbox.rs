//! The outbox: entries that were committed and are not in the ledger yet.

mod memory;
mod redis;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::partition::Partition;
use crate::domain::entry::Entry;

pub use memory::MemoryOutbox;
pub use redis::RedisOutbox;
pub(in crate::store) use redis::pack;

/// An entry's place in its outbox; within a partition and a store generation, later ones are
/// larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The partition of the outbox; none where one outbox serves all.
    pub partition: Option<Partition>,
    /// The store generation it was assigned in.
    pub generation: u64,
    /// Its number: in Redis, the milliseconds and the sequence number of the entry's name in
    /// the stream.
    pub number: (u64, u64),
}

/// An entry that waits for the ledger.
#[derive(Debug, Clone)]
pub struct OutboxEntry {
    /// Its place.
    pub id: EntryId,
    /// The entry.
    pub entry: Arc<Entry>,
}

/// The size of an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Entries.
    pub entries: u64,
    /// Their size, roughly.
    pub bytes: u64,
}

/// The outbox did not answer; its entries are still there.
#[derive(Debug, thiserror::Error)]
#[error("failed to reach the outbox")]
pub struct OutboxError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The entries of some partitions, each in the order they were committed.
///
/// One consumer reads a partition. An entry stays until it is acknowledged: after a
/// consumer dies, the next one reads the same again. While the outbox is too large, bodies
/// are shed, oldest first: never a session's newest, never a link.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// The oldest entries that are not acknowledged, those of a partition in order, at
    /// most `max`. Waits until there is one, but no longer than `timeout`; then none.
    async fn oldest(&self, max: usize, timeout: Duration) -> Result<Vec<OutboxEntry>, OutboxError>;

    /// Removes entries that `oldest` returned, the oldest first. Repeating it changes nothing.
    async fn acknowledge(&self, done: &[OutboxEntry]) -> Result<(), OutboxError>;

    /// The size of an outbox.
    async fn backlog(&self) -> Result<Backlog, OutboxError>;
}
