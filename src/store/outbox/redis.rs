//! The outbox of many instances: a stream for each partition, and the bodies beside it.
//!
//! One consumer owns a partition, so nothing has to be claimed: it takes from the front
//! and lets go of what the ledger holds. Nobody blocks on Redis either: a write into an
//! empty outbox says so on a channel, and what was said while nobody could hear is found
//! by looking, once every patience.

mod entry;
mod shedding;

pub(in crate::store) use self::entry::pack;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fred::types::Value;
use futures::future::try_join_all;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::{Backlog, EntryId, Outbox, OutboxEntry, Unavailable};
use crate::domain::id::SessionKey;
use crate::redis::{PubSub, PubSubEvent, Redis, RedisError};
use crate::store::Now;
use crate::store::keys::Keys;
use crate::store::partition::{PARTITIONS, Partition, Partitions};
use crate::store::redis::{Generation, Generations, SCRIPTS, entry_id};
use crate::telemetry::outage::{LogThrottle, chain};

/// So many entries are let go by one script.
const MAX_READ: usize = 1_000;

/// So many consumers share the partitions of an instance: while one waits for the ledger,
/// another asks Redis.
const CONSUMERS: usize = 2;

static READ_FAILURES: LogThrottle = LogThrottle::new();

/// What waits in Redis for the ledger.
pub struct RedisOutbox {
    lives: Generations,
    listening: PubSub,
    /// Which partitions are read here; nobody else reads them.
    owned: watch::Receiver<Partitions>,
    idle_ms: i64,
    /// Where something may wait. All others were seen empty, and nothing was heard since.
    stirred: Mutex<Partitions>,
    woken: [Notify; CONSUMERS],
    /// How much was last seen to wait, by partition.
    weights: [Size; PARTITIONS],
}

#[derive(Debug, Default)]
struct Size {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl RedisOutbox {
    /// The outbox of the partitions that are owned here at any time, over two connections
    /// of its own. A session is let go when it has been idle for `idle`, the same as the
    /// store says; and by `now` as there a store life begins.
    pub async fn new(
        redis: &Redis,
        keys: Keys,
        owned: watch::Receiver<Partitions>,
        idle: Duration,
        now: Now,
    ) -> Result<Self, RedisError> {
        let listening = PubSub::new(redis.duplicate().await?);
        for partition in Partition::all() {
            // What fails now is tried again as long as it runs.
            let _ = listening.subscribe(keys.wake(partition)).await;
        }
        Ok(Self {
            lives: Generations::new(redis.duplicate().await?, keys, now),
            listening,
            owned,
            idle_ms: i64::try_from(idle.as_millis()).unwrap_or(i64::MAX),
            stirred: Mutex::new(Partitions::ALL),
            woken: std::array::from_fn(|_| Notify::new()),
            weights: std::array::from_fn(|_| Size::default()),
        })
    }

    /// Hears of what comes in, and sheds what is more than `max_bytes`; runs until it is dropped.
    pub async fn run(&self, max_bytes: u64) {
        tokio::join!(self.listening.run(|told| self.hear(told)), self.keep_within(max_bytes));
    }

    fn hear(&self, told: PubSubEvent) {
        let stirred = match told {
            PubSubEvent::Message(channel, _) => self.lives.keys().partition_of_wake(&channel).into_iter().collect(),
            PubSubEvent::Gap => Partitions::ALL,
        };
        self.mark_dirty(stirred);
        self.woken.iter().for_each(Notify::notify_one);
    }

    fn mark_dirty(&self, partitions: Partitions) {
        let mut stirred = self.stirred.lock().unwrap_or_else(PoisonError::into_inner);
        *stirred = stirred.union(partitions);
    }

    /// Where something may wait, of those; who takes it looks there.
    fn take_dirty(&self, of: Partitions) -> Partitions {
        let owned = self.owned.borrow().and(of);
        let mut stirred = self.stirred.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = stirred.and(owned);
        *stirred = stirred.without(owned);
        taken
    }

    /// A consumer of each part of the partitions; they know nothing of each other.
    #[must_use]
    pub fn consumers(self: &Arc<Self>) -> Vec<Arc<dyn Outbox>> {
        let of = |number| Partition::all().filter(|each| each.index() % CONSUMERS == number).collect();
        (0..CONSUMERS)
            .map(|number| Arc::new(Consumer { outbox: Arc::clone(self), number, of: of(number) }) as _)
            .collect()
    }

    async fn oldest_in(
        &self,
        of: Partitions,
        woken: &Notify,
        max: usize,
        patience: Duration,
    ) -> Result<Vec<OutboxEntry>, Unavailable> {
        let until = Instant::now() + patience;
        if patience.is_zero() {
            self.mark_dirty(of);
        }
        loop {
            let waiting = self.read_partitions(of, max).await?;
            if !waiting.is_empty() {
                return Ok(waiting);
            }
            if timeout_at(until, woken.notified()).await.is_err() {
                self.mark_dirty(of);
                return Ok(Vec::new());
            }
        }
    }

    /// The oldest of every partition in which something may wait, each its share.
    async fn read_partitions(&self, of: Partitions, max: usize) -> Result<Vec<OutboxEntry>, Unavailable> {
        let partitions = self.take_dirty(of);
        let share = (max / partitions.iter().count().max(1)).max(1);
        let named = self.lives.keys();
        let keys = |partition| [named.outbox(partition), named.bodies(partition)];
        let arguments = [Value::from(share.to_string())];
        let mut gathered = Vec::new();
        let mut failed = None;
        for asked in self.lives.ask_many(partitions, &SCRIPTS.outbox_read, keys, &arguments).await {
            match asked.answer.and_then(|(lives, parts)| self.read(&asked.partitions, &lives, parts)) {
                Ok(found) => gathered.extend(found),
                Err(failure) => {
                    self.mark_dirty(asked.partitions.into_iter().collect());
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

    fn read(
        &self,
        asked: &[Partition],
        lives: &[Generation],
        parts: Vec<Value>,
    ) -> Result<Vec<OutboxEntry>, RedisError> {
        let mut gathered = Vec::new();
        for ((partition, life), part) in asked.iter().zip(lives).zip(parts) {
            let (waiting, found) = self.read_of(*partition, life, part)?;
            // Others may have left no room for what is there.
            if waiting > 0 {
                self.mark_dirty(Partitions::NONE.with(*partition));
            }
            gathered.extend(found);
        }
        Ok(gathered)
    }

    /// How many wait in a partition, and the oldest of them.
    fn read_of(
        &self,
        partition: Partition,
        life: &Generation,
        part: Value,
    ) -> Result<(u64, Vec<OutboxEntry>), RedisError> {
        let mut parts = part.into_array().into_iter();
        let entries = parts.next().and_then(|entries| entries.as_u64()).ok_or_else(RedisError::protocol)?;
        self.weights[partition.index()].entries.store(entries, Ordering::Relaxed);
        let read = |found: Value| entry::outbox_entry(found, |name| entry_id(name, partition, life));
        let mut waiting = Vec::new();
        for found in parts {
            match read(found) {
                Ok(each) => waiting.push(each),
                Err(unreadable) => {
                    // The rest waits behind it, for a release that can read it.
                    if let Some(times) = READ_FAILURES.next() {
                        let (partition, error) = (partition.index(), chain(&unreadable));
                        tracing::error!(partition, error, times, "an entry is not for this release");
                    }
                    break;
                }
            }
        }
        Ok((entries, waiting))
    }

    /// What one script is told: as much as it may take, and of a cluster one partition.
    fn flatten<'a, T>(&self, parts: &'a [(Partition, &'a [T])]) -> impl Iterator<Item = &'a [(Partition, &'a [T])]> {
        let is_cluster = self.lives.redis().is_cluster();
        let mut entries = 0;
        parts.chunk_by(move |(_, before), (_, after)| {
            entries = if entries == 0 { before.len() } else { entries } + after.len();
            let fits = !is_cluster && entries <= MAX_READ;
            entries = if fits { entries } else { 0 };
            fits
        })
    }

    /// Lets go of entries of some partitions, which stand where one script reaches them.
    async fn acknowledge_in(&self, done: &[(Partition, &[&OutboxEntry])]) -> Result<(), RedisError> {
        let (mut keys, mut arguments) = (Vec::new(), vec![Value::from(self.idle_ms.to_string())]);
        let mut asked = Vec::new();
        for (partition, done) in done {
            let life = self.lives.of(*partition).await?;
            // What was given in another life has another name in this one, and comes again.
            let done: Vec<_> = done.iter().filter(|each| each.id.generation == life.number).copied().collect();
            if !done.is_empty() {
                self.stream_ids(*partition, &life, &done, &mut keys, &mut arguments);
                asked.push((*partition, life));
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let answer = self.lives.redis().ask(&SCRIPTS.outbox_ack, &keys, arguments).await?;
        for ((partition, life), left) in asked.into_iter().zip(answer.fields) {
            match left.as_i64().map(u64::try_from) {
                Some(Ok(left)) => self.weights[partition.index()].entries.store(left, Ordering::Relaxed),
                Some(Err(_)) => self.lives.forget(partition, &life),
                None => return Err(RedisError::protocol()),
            }
        }
        Ok(())
    }

    /// What the script takes of one partition.
    fn stream_ids(
        &self,
        partition: Partition,
        life: &Generation,
        done: &[&OutboxEntry],
        keys: &mut Vec<String>,
        arguments: &mut Vec<Value>,
    ) {
        let named = self.lives.keys();
        let newest: BTreeMap<&SessionKey, EntryId> = done.iter().map(|each| (&each.entry.key, each.id)).collect();
        keys.extend([named.life(partition), named.outbox(partition), named.bodies(partition)]);
        keys.extend(newest.keys().map(|key| named.state(key)));
        let counts = [newest.len(), done.len()].map(|count| count.to_string());
        let tickets = newest.values().copied().chain(done.iter().map(|each| each.id)).map(stream_id);
        let texts = std::iter::once(life.text.to_string()).chain(counts).chain(tickets);
        arguments.extend(texts.map(Value::from));
    }
}

/// An entry's name in the stream.
fn stream_id(ticket: EntryId) -> String {
    let (ms, count) = ticket.number;
    format!("{ms}-{count}")
}

/// The consumer of some partitions.
struct Consumer {
    outbox: Arc<RedisOutbox>,
    number: usize,
    of: Partitions,
}

#[async_trait]
impl Outbox for Consumer {
    async fn oldest(&self, max: usize, patience: Duration) -> Result<Vec<OutboxEntry>, Unavailable> {
        self.outbox.oldest_in(self.of, &self.outbox.woken[self.number], max, patience).await
    }

    async fn acknowledge(&self, done: &[OutboxEntry]) -> Result<(), Unavailable> {
        self.outbox.acknowledge(done).await
    }

    async fn backlog(&self) -> Result<Backlog, Unavailable> {
        self.outbox.backlog().await
    }
}

#[async_trait]
impl Outbox for RedisOutbox {
    async fn oldest(&self, max: usize, patience: Duration) -> Result<Vec<OutboxEntry>, Unavailable> {
        self.oldest_in(Partitions::ALL, &self.woken[0], max, patience).await
    }

    async fn acknowledge(&self, done: &[OutboxEntry]) -> Result<(), Unavailable> {
        let mut by_partition = BTreeMap::<Partition, Vec<&OutboxEntry>>::new();
        for each in done {
            if let Some(partition) = each.id.partition {
                by_partition.entry(partition).or_default().push(each);
            }
        }
        let parts: Vec<(Partition, &[&OutboxEntry])> = by_partition
            .iter()
            .flat_map(|(partition, done)| done.chunks(MAX_READ).map(|some| (*partition, some)))
            .collect();
        let each = self.flatten(&parts).map(|parts| self.acknowledge_in(parts));
        try_join_all(each).await.map_err(|failure| Unavailable(failure.into()))?;
        Ok(())
    }

    async fn backlog(&self) -> Result<Backlog, Unavailable> {
        let owned = self.owned.borrow();
        let sum = |of: fn(&Size) -> &AtomicU64| {
            owned.iter().map(|partition| of(&self.weights[partition.index()]).load(Ordering::Relaxed)).sum()
        };
        Ok(Backlog { entries: sum(|weight| &weight.entries), bytes: sum(|weight| &weight.bytes) })
    }
}
