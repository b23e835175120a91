//! What was committed and is not in the ledger yet.

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

/// An entry's place in its outbox; within a partition and a life of the store, later
/// ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Whose outbox; none where one holds the entries of all.
    pub partition: Option<Partition>,
    /// The life of the store it was given in.
    pub generation: u64,
    /// Its number there: in Redis, the milliseconds of the entry's name in the stream,
    /// then what comes after them.
    pub number: (u64, u64),
}

/// An entry that waits for the ledger.
#[derive(Debug, Clone)]
pub struct OutboxEntry {
    /// Its place.
    pub id: EntryId,
    /// What waits.
    pub entry: Arc<Entry>,
}

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Entries.
    pub entries: u64,
    /// What they hold, roughly.
    pub bytes: u64,
}

/// The outbox did not answer; what it holds is still there.
#[derive(Debug, thiserror::Error)]
#[error("failed to reach the outbox")]
pub struct Unavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The entries of some partitions, each in the order they were committed.
///
/// One consumer reads a partition. An entry stays until it is acknowledged, so that a
/// consumer that dies is followed by one that reads the same again. While more
/// is held than allowed, bodies are shed, oldest first: never a session's
/// newest, never a link.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// The oldest entries that are not acknowledged, those of a partition in order, at
    /// most `max`. Waits until there is one, but no longer than `patience`; then none.
    async fn oldest(&self, max: usize, patience: Duration) -> Result<Vec<OutboxEntry>, Unavailable>;

    /// Lets go of entries that `oldest` gave, the oldest first. Asking again changes nothing.
    async fn acknowledge(&self, done: &[OutboxEntry]) -> Result<(), Unavailable>;

    /// How much waits.
    async fn backlog(&self) -> Result<Backlog, Unavailable>;
}
