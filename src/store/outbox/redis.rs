//! The outbox of many instances: a stream for each partition, and the bodies beside it.
//!
//! One consumer owns a partition, so nothing has to be claimed: it takes from the front
//! and lets go of what the ledger holds. Nobody blocks on Redis either: a write into an
//! empty outbox says so on a channel, and what was said while nobody could hear is found
//! by looking, once every patience.

mod entry;
mod shedding;

pub(in crate::store) use self::entry::packed;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fred::types::Value;
use futures::future::{join_all, try_join_all};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::{Backlog, Outbox, Ticket, Unavailable, Waiting};
use crate::domain::id::SessionKey;
use crate::redis::{Failure, Listening, Redis, Told};
use crate::store::Now;
use crate::store::keys;
use crate::store::partition::{PARTITIONS, Partition, Partitions};
use crate::store::redis::{Asked, Lives, SCRIPTS, ticket};

/// So many entries of a partition are let go by one script.
const AT_ONCE: usize = 1_000;

/// What waits in Redis for the ledger.
pub struct RedisOutbox {
    lives: Lives,
    listening: Listening,
    /// Which partitions are read here; nobody else reads them.
    owned: watch::Receiver<Partitions>,
    idle_ms: i64,
    /// Where something may wait. All others were seen empty, and nothing was heard since.
    stirred: Mutex<Partitions>,
    woken: Notify,
    /// How much was last seen to wait, by partition.
    weights: [Weight; PARTITIONS],
}

#[derive(Debug, Default)]
struct Weight {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl RedisOutbox {
    /// The outbox of the partitions that are owned here at any time, over two connections
    /// of its own. A session is let go when it has been idle for `idle`, the same as the
    /// store says; and by `now` as there a store life begins.
    pub async fn new(
        redis: &Redis,
        owned: watch::Receiver<Partitions>,
        idle: Duration,
        now: Now,
    ) -> Result<Self, Failure> {
        let listening = Listening::new(redis.another().await?);
        for partition in Partition::all() {
            // What fails now is tried again as long as it runs.
            let _ = listening.listen(keys::wake(partition)).await;
        }
        Ok(Self {
            lives: Lives::new(redis.another().await?, now),
            listening,
            owned,
            idle_ms: i64::try_from(idle.as_millis()).unwrap_or(i64::MAX),
            stirred: Mutex::new(Partitions::ALL),
            woken: Notify::new(),
            weights: std::array::from_fn(|_| Weight::default()),
        })
    }

    /// Hears of what comes in, and sheds what is more than `max_bytes`; runs until it is dropped.
    pub async fn run(&self, max_bytes: u64) {
        tokio::join!(self.listening.run(|told| self.hear(told)), self.keep_within(max_bytes));
    }

    fn hear(&self, told: Told) {
        let stirred = match told {
            Told::Message(channel, _) => keys::partition_of_wake(&channel).into_iter().collect(),
            Told::Gap => Partitions::ALL,
        };
        self.stir(stirred);
        self.woken.notify_one();
    }

    fn stir(&self, partitions: Partitions) {
        let mut stirred = self.stirred.lock().unwrap_or_else(PoisonError::into_inner);
        *stirred = stirred.union(partitions);
    }

    /// Where something may wait; who takes it looks there.
    fn take_stirred(&self) -> Partitions {
        let owned = *self.owned.borrow();
        let mut stirred = self.stirred.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = stirred.and(owned);
        *stirred = stirred.without(owned);
        taken
    }

    /// The oldest of every partition in which something may wait, each its share.
    async fn gather(&self, max: usize) -> Result<Vec<Waiting>, Unavailable> {
        let partitions = self.take_stirred();
        let share = (max / partitions.iter().count().max(1)).max(1);
        let all = join_all(partitions.iter().map(|partition| self.oldest_in(partition, share))).await;
        let mut gathered = Vec::new();
        let mut failed = None;
        for (partition, found) in partitions.iter().zip(all) {
            match found {
                Ok(found) if found.is_empty() => {}
                Ok(found) => {
                    self.stir(Partitions::NONE.with(partition));
                    gathered.extend(found);
                }
                Err(failure) => {
                    self.stir(Partitions::NONE.with(partition));
                    failed = Some(failure);
                }
            }
        }
        gathered.truncate(max);
        match failed {
            Some(failure) if gathered.is_empty() => Err(Unavailable(failure.into())),
            // A master that is away does not hold up the others.
            _ => Ok(gathered),
        }
    }

    async fn oldest_in(&self, partition: Partition, max: usize) -> Result<Vec<Waiting>, Failure> {
        let keys = vec![keys::outbox(partition), keys::bodies(partition)];
        let count = Value::from(max.to_string());
        let (answer, life) = self.lives.ask(partition, &SCRIPTS.oldest, keys, vec![count]).await?;
        let mut parts = answer.parts.into_iter();
        let entries = parts.next().and_then(|entries| entries.as_u64()).ok_or_else(Failure::garbled)?;
        self.weights[partition.index()].entries.store(entries, Ordering::Relaxed);
        let read = |found: Value| entry::waiting(found, |name| ticket(name, partition, &life));
        let mut waiting = Vec::new();
        for found in parts {
            match read(found) {
                Ok(each) => waiting.push(each),
                Err(unreadable) => {
                    // The rest waits behind it, for a release that can read it.
                    let error = &unreadable as &dyn std::error::Error;
                    tracing::error!(partition = partition.index(), error, "an entry is not for this release");
                    break;
                }
            }
        }
        Ok(waiting)
    }

    async fn let_all_go(&self, partition: Partition, done: &[&Waiting]) -> Result<(), Failure> {
        for some in done.chunks(AT_ONCE) {
            self.let_go(partition, some).await?;
        }
        Ok(())
    }

    async fn let_go(&self, partition: Partition, done: &[&Waiting]) -> Result<(), Failure> {
        let life = self.lives.of(partition).await?;
        let mut newest = BTreeMap::<&SessionKey, Ticket>::new();
        // What was given in another life has another name in this one, and comes again.
        let done: Vec<_> = done.iter().filter(|each| each.ticket.life == life.number).collect();
        newest.extend(done.iter().map(|each| (&each.entry.key, each.ticket)));
        if done.is_empty() {
            return Ok(());
        }
        let states = newest.keys().map(|key| keys::state(key));
        let keys: Vec<_> = [keys::outbox(partition), keys::bodies(partition)].into_iter().chain(states).collect();
        let tickets = newest.values().copied().chain(done.iter().map(|each| each.ticket)).map(name);
        let arguments: Vec<Value> = std::iter::once(self.idle_ms.to_string()).chain(tickets).map(Value::from).collect();
        let asked = self.lives.ask_in(&life, partition, &SCRIPTS.acknowledge, &keys, &arguments).await?;
        if let Asked::Answered(answer) = asked {
            self.weights[partition.index()].entries.store(answer.only()?, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// An entry's name in the stream.
fn name(ticket: Ticket) -> String {
    let (ms, count) = ticket.number;
    format!("{ms}-{count}")
}

#[async_trait]
impl Outbox for RedisOutbox {
    async fn oldest(&self, max: usize, patience: Duration) -> Result<Vec<Waiting>, Unavailable> {
        let until = Instant::now() + patience;
        if patience.is_zero() {
            self.stir(Partitions::ALL);
        }
        loop {
            let waiting = self.gather(max).await?;
            if !waiting.is_empty() {
                return Ok(waiting);
            }
            if timeout_at(until, self.woken.notified()).await.is_err() {
                self.stir(Partitions::ALL);
                return Ok(Vec::new());
            }
        }
    }

    async fn acknowledge(&self, done: &[Waiting]) -> Result<(), Unavailable> {
        let mut by_partition = BTreeMap::<Partition, Vec<&Waiting>>::new();
        for each in done {
            if let Some(partition) = each.ticket.partition {
                by_partition.entry(partition).or_default().push(each);
            }
        }
        let each = by_partition.iter().map(|(partition, done)| self.let_all_go(*partition, done));
        try_join_all(each).await.map_err(|failure| Unavailable(failure.into()))?;
        Ok(())
    }

    async fn backlog(&self) -> Result<Backlog, Unavailable> {
        let owned = self.owned.borrow();
        let sum = |of: fn(&Weight) -> &AtomicU64| {
            owned.iter().map(|partition| of(&self.weights[partition.index()]).load(Ordering::Relaxed)).sum()
        };
        Ok(Backlog { entries: sum(|weight| &weight.entries), bytes: sum(|weight| &weight.bytes) })
    }
}
