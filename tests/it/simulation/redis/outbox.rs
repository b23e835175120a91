//! The outbox of an instance: of the partitions that are its own to audit.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use synckairos::store::Now;
use synckairos::store::outbox::{Backlog, Outbox, OutboxEntry, OutboxError};
use synckairos::store::partition::{Partition, Partitions};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::generations::Generations;
use super::server::Server;
use crate::simulation::link::{Failure, Link};

/// What waits for the ledger.
pub struct SimulatedOutbox {
    generations: Generations,
    owned: watch::Receiver<Partitions>,
    stirred: Arc<Notify>,
}

impl SimulatedOutbox {
    /// `number` is the instance's, for the server; `owned` says what is its own.
    pub fn new(server: Server, link: Link, number: u64, owned: watch::Receiver<Partitions>, now: Now) -> Self {
        let stirred = Arc::new(Notify::new());
        server.stir(number, link.clone(), Arc::clone(&stirred));
        Self { generations: Generations::new(server, link, now), owned, stirred }
    }

    async fn gather(&self, max: usize) -> Result<Vec<OutboxEntry>, OutboxError> {
        let owned = *self.owned.borrow();
        let gathered = self.generations.ask_of(owned, move |state, partition, generation| {
            state.image.partitions[&partition].oldest(partition, generation, max)
        });
        let mut gathered = gathered.await.map_err(unavailable)?.concat();
        gathered.truncate(max);
        Ok(gathered)
    }

    /// What was given in another generation has another name in this one, and comes again.
    async fn let_go(&self, partition: Partition, done: Vec<OutboxEntry>) -> Result<(), Failure> {
        let generation = self.generations.of(partition).await?;
        let done: Vec<_> = done.into_iter().filter(|each| each.id.generation == generation.number).collect();
        let acknowledged = self.generations.ask_in(&generation, partition, move |state, _| {
            let now = state.now();
            if let Some(kept) = state.image.partitions.get_mut(&partition) {
                for each in &done {
                    kept.acknowledge(each.id.number, now);
                }
            }
        });
        acknowledged.await.map(drop)
    }
}

fn unavailable(failure: Failure) -> OutboxError {
    OutboxError(format!("{failure:?}").into())
}

#[async_trait]
impl Outbox for SimulatedOutbox {
    async fn oldest(&self, max: usize, patience: Duration) -> Result<Vec<OutboxEntry>, OutboxError> {
        let until = Instant::now() + patience;
        loop {
            let waiting = self.gather(max).await?;
            if !waiting.is_empty() || timeout_at(until, self.stirred.notified()).await.is_err() {
                return Ok(waiting);
            }
        }
    }

    async fn acknowledge(&self, done: &[OutboxEntry]) -> Result<(), OutboxError> {
        for partition in Partition::all() {
            let of_it = done.iter().filter(|each| each.id.partition == Some(partition));
            let some: Vec<_> = of_it.cloned().collect();
            if !some.is_empty() {
                self.let_go(partition, some).await.map_err(unavailable)?;
            }
        }
        Ok(())
    }

    async fn backlog(&self) -> Result<Backlog, OutboxError> {
        Ok(Backlog::default())
    }
}
