//! Waiting until the ledger holds something.
//!
//! Who waits asks Redis what waits longest, and again after a pause. One asks at a time
//! for a partition, and its answer is for all who wait there: so it costs at most two
//! hundred small scripts a second for each partition in which somebody waits, however
//! many they are.

use std::sync::{Mutex as Brief, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep;

use super::RedisStore;
use crate::store::Error;
use crate::store::outbox::Ticket;
use crate::store::partition::PARTITIONS;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(5);

/// How far the ledger is, by partition.
pub struct Following([Place; PARTITIONS]);

#[derive(Default)]
struct Place {
    /// Held by the one who asks.
    asking: Mutex<()>,
    known: Brief<Known>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Known {
    /// The newest that anybody waits for.
    wanted: Option<Ticket>,
    /// The ledger holds everything up to here.
    recorded: Option<Ticket>,
}

impl Default for Following {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Place::default()))
    }
}

impl Following {
    /// Returns once the entry with that place has left its outbox.
    pub async fn until_recorded(&self, store: &RedisStore, ticket: Ticket) -> Result<(), Error> {
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
            let first = store.waiting(partition).await?.map(|(first, _)| first);
            if store.lives.of(partition).await?.number != ticket.life {
                return Err(Error::Unknown("the store life it was written in has ended".into()));
            }
            let is_recorded = place.update(|known| {
                known.learn(first, wanted);
                known.holds(ticket)
            });
            if is_recorded {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }
}

impl Place {
    /// A panic elsewhere cannot leave it half changed: nothing in here panics in between.
    fn update<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn holds(&self, ticket: Ticket) -> bool {
        self.recorded.is_some_and(|recorded| recorded.life == ticket.life && recorded >= ticket)
    }

    /// All that is before the first that waits is recorded; where none waits, all that was wanted.
    fn learn(&mut self, first: Option<Ticket>, wanted: Option<Ticket>) {
        let recorded = match first {
            Some(first) => before(first),
            None => wanted,
        };
        self.recorded = self.recorded.max(recorded);
    }
}

fn before(ticket: Ticket) -> Option<Ticket> {
    let number = match ticket.number {
        (0, 0) => return None,
        (ms, 0) => (ms - 1, u64::MAX),
        (ms, count) => (ms, count - 1),
    };
    Some(Ticket { number, ..ticket })
}
