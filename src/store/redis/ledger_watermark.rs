//! How far the ledger is, by partition, for callers that wait until it holds an entry.
//!
//! One caller of a partition polls Redis for the oldest entry, on behalf of all who wait
//! there. So waiting costs at most two hundred small scripts a second for each partition,
//! whatever the number of callers.

use std::time::Duration;

use fred::types::Value;
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::sleep;

use super::decode;
use super::fencing::Generations;
use super::scripts::SCRIPTS;
use crate::redis::RedisError;
use crate::store::Error;
use crate::store::outbox::EntryId;
use crate::store::partition::{PARTITIONS, Partition};

/// Between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The watermark of each partition.
pub struct Watermark([PartitionWatermark; PARTITIONS]);

#[derive(Default)]
struct PartitionWatermark {
    /// Locked by the caller that polls.
    polling: AsyncMutex<()>,
    known: Mutex<RecordedUpTo>,
}

#[derive(Debug, Default, Clone, Copy)]
struct RecordedUpTo {
    /// The newest entry that a caller waits for.
    wanted: Option<EntryId>,
    /// The newest entry up to which the ledger holds all.
    recorded: Option<EntryId>,
}

impl Default for Watermark {
    fn default() -> Self {
        Self(std::array::from_fn(|_| PartitionWatermark::default()))
    }
}

impl Watermark {
    /// Returns once that entry has left its outbox.
    pub async fn wait_recorded(&self, generations: &Generations, entry_id: EntryId) -> Result<(), Error> {
        let Some(partition) = entry_id.partition else { return Ok(()) };
        let watermark = &self.0[partition.index()];
        watermark.update(|known| known.wanted = known.wanted.max(Some(entry_id)));
        loop {
            if watermark.update(|known| known.holds(entry_id)) {
                return Ok(());
            }
            let _polling = watermark.polling.lock().await;
            if watermark.update(|known| known.holds(entry_id)) {
                return Ok(());
            }
            // Read before the poll: the reply says nothing of later entries.
            let wanted = watermark.update(|known| known.wanted);
            let first = outbox_bounds(generations, partition).await?.map(|(first, _)| first);
            if generations.of(partition).await?.number != entry_id.generation {
                return Err(Error::Unknown("the store generation it was written in has ended".into()));
            }
            let is_recorded = watermark.update(|known| {
                known.advance(first, wanted);
                known.holds(entry_id)
            });
            if is_recorded {
                return Ok(());
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

impl PartitionWatermark {
    fn update<T>(&self, change: impl FnOnce(&mut RecordedUpTo) -> T) -> T {
        change(&mut self.known.lock())
    }
}

impl RecordedUpTo {
    fn holds(&self, entry_id: EntryId) -> bool {
        self.recorded.is_some_and(|recorded| recorded.generation == entry_id.generation && recorded >= entry_id)
    }

    /// Every entry before the first in the outbox is recorded; if the outbox is empty, all wanted ones.
    fn advance(&mut self, first: Option<EntryId>, wanted: Option<EntryId>) {
        let recorded = match first {
            Some(first) => before(first),
            None => wanted,
        };
        self.recorded = self.recorded.max(recorded);
    }
}

/// The first and the last entry of a partition's outbox.
pub async fn outbox_bounds(
    generations: &Generations,
    partition: Partition,
) -> Result<Option<(EntryId, EntryId)>, Error> {
    let keys = vec![generations.keys().outbox(partition)];
    let (reply, generation) = generations.ask(partition, &SCRIPTS.outbox_bounds, keys, vec![]).await?;
    match reply.tag.as_str() {
        "bounds" => {
            let [first, last]: [Value; 2] = reply.fields.try_into().map_err(|_| RedisError::protocol())?;
            let entry_id = |name: &Value| decode::entry_id(name, partition, &generation);
            Ok(Some((entry_id(&first)?, entry_id(&last)?)))
        }
        "none" => Ok(None),
        _ => Err(decode::invalid_reply(reply)),
    }
}

fn before(entry_id: EntryId) -> Option<EntryId> {
    let number = match entry_id.number {
        (0, 0) => return None,
        (ms, 0) => (ms - 1, u64::MAX),
        (ms, count) => (ms, count - 1),
    };
    Some(EntryId { number, ..entry_id })
}
