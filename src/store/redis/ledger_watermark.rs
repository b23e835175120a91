//! Waiting until the ledger holds something.
//!
//! Who waits asks Redis what waits longest, and again after a pause. One asks at a time
//! for a partition, and its answer is for all who wait there: so it costs at most two
//! hundred small scripts a second for each partition in which somebody waits, however
//! many they are.

use std::sync::{Mutex as Brief, PoisonError};
use std::time::Duration;

use fred::types::Value;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::decode;
use super::fencing::Generations;
use super::scripts::SCRIPTS;
use crate::redis::RedisError;
use crate::store::Error;
use crate::store::outbox::EntryId;
use crate::store::partition::{PARTITIONS, Partition};

/// Between two questions.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How far the ledger is, by partition.
pub struct Watermark([PartitionWatermark; PARTITIONS]);

#[derive(Default)]
struct PartitionWatermark {
    /// Held by the one who asks.
    asking: Mutex<()>,
    known: Brief<RecordedUpTo>,
}

#[derive(Debug, Default, Clone, Copy)]
struct RecordedUpTo {
    /// The newest that anybody waits for.
    wanted: Option<EntryId>,
    /// The ledger holds everything up to here.
    recorded: Option<EntryId>,
}

impl Default for Watermark {
    fn default() -> Self {
        Self(std::array::from_fn(|_| PartitionWatermark::default()))
    }
}

impl Watermark {
    /// Returns once the entry with that place has left its outbox.
    pub async fn wait_recorded(&self, lives: &Generations, ticket: EntryId) -> Result<(), Error> {
        let Some(partition) = ticket.partition else { return Ok(()) };
        let place = &self.0[partition.index()];
        place.update(|known| known.wanted = known.wanted.max(Some(ticket)));
        loop {
            if place.update(|known| known.holds(ticket)) {
                return Ok(());
            }
            let _alone = place.asking.lock().await;
            if place.update(|known| known.holds(ticket)) {
                return Ok(());
            }
            // What was given out before the question is what the answer is about.
            let wanted = place.update(|known| known.wanted);
            let first = outbox_bounds(lives, partition).await?.map(|(first, _)| first);
            if lives.of(partition).await?.number != ticket.generation {
                return Err(Error::Unknown("the store life it was written in has ended".into()));
            }
            let is_recorded = place.update(|known| {
                known.advance(first, wanted);
                known.holds(ticket)
            });
            if is_recorded {
                return Ok(());
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

impl PartitionWatermark {
    /// A panic elsewhere cannot leave it half changed: nothing in here panics in between.
    fn update<T>(&self, change: impl FnOnce(&mut RecordedUpTo) -> T) -> T {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RecordedUpTo {
    fn holds(&self, ticket: EntryId) -> bool {
        self.recorded.is_some_and(|recorded| recorded.generation == ticket.generation && recorded >= ticket)
    }

    /// All that is before the first that waits is recorded; where none waits, all that was wanted.
    fn advance(&mut self, first: Option<EntryId>, wanted: Option<EntryId>) {
        let recorded = match first {
            Some(first) => before(first),
            None => wanted,
        };
        self.recorded = self.recorded.max(recorded);
    }
}

/// The first and the last entry of a partition's outbox.
pub async fn outbox_bounds(lives: &Generations, partition: Partition) -> Result<Option<(EntryId, EntryId)>, Error> {
    let keys = vec![lives.keys().outbox(partition)];
    let (reply, life) = lives.ask(partition, &SCRIPTS.outbox_bounds, keys, vec![]).await?;
    match reply.tag.as_str() {
        "waiting" => {
            let [first, last]: [Value; 2] = reply.fields.try_into().map_err(|_| RedisError::protocol())?;
            let entry_id = |name: &Value| decode::entry_id(name, partition, &life);
            Ok(Some((entry_id(&first)?, entry_id(&last)?)))
        }
        "none" => Ok(None),
        _ => Err(decode::invalid_reply(reply)),
    }
}

fn before(ticket: EntryId) -> Option<EntryId> {
    let number = match ticket.number {
        (0, 0) => return None,
        (ms, 0) => (ms - 1, u64::MAX),
        (ms, count) => (ms, count - 1),
    };
    Some(EntryId { number, ..ticket })
}
