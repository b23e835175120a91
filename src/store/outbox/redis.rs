//! The outbox of many instances: a stream for each partition, and the bodies beside it.
//!
//! One consumer owns a partition, so no entry has to be claimed: the consumer reads the
//! oldest entries and removes those that the ledger holds. No command blocks in Redis: a
//! write into an empty outbox wakes the consumer by a channel. A consumer that misses that
//! message finds the entry by a read, after each timeout.

mod entry;
mod shedding;

pub(in crate::store) use self::entry::pack;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fred::types::Value;
use futures::future::try_join_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::{Backlog, EntryId, Outbox, OutboxEntry, OutboxError};
use crate::domain::id::SessionKey;
use crate::redis::{PubSub, PubSubEvent, Redis, RedisError};
use crate::store::Now;
use crate::store::keys::Keys;
use crate::store::partition::{PARTITIONS, Partition, Partitions};
use crate::store::redis::{Generation, Generations, SCRIPTS, entry_id};
use crate::telemetry::outage::{LogThrottle, chain};

/// Entries that one script acknowledges.
const MAX_BATCH_ENTRIES: usize = 1_000;

/// Consumers that share the partitions of an instance: while one waits for the ledger,
/// another reads from Redis.
const CONSUMER_COUNT: usize = 2;

static READ_FAILURES: LogThrottle = LogThrottle::new();

/// The entries in Redis that the ledger does not hold yet.
pub struct RedisOutbox {
    generations: Generations,
    pubsub: PubSub,
    /// The partitions that this instance alone reads.
    owned: watch::Receiver<Partitions>,
    idle_ms: i64,
    /// Partitions that may have entries. All others were empty, and sent no message since.
    dirty: Mutex<Partitions>,
    wakes: [Notify; CONSUMER_COUNT],
    /// The size last seen, by partition.
    sizes: [Size; PARTITIONS],
}

#[derive(Debug, Default)]
struct Size {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl RedisOutbox {
    /// The outbox of the partitions that this instance owns at any time, over two connections
    /// of its own. `idle` and `now` are those of the store: the TTL of an idle session, and
    /// the clock by which a generation starts.
    pub async fn new(
        redis: &Redis,
        keys: Keys,
        owned: watch::Receiver<Partitions>,
        idle: Duration,
        now: Now,
    ) -> Result<Self, RedisError> {
        let pubsub = PubSub::new(redis.duplicate().await?);
        for partition in Partition::all() {
            // A failed subscription is retried while it runs.
            let _ = pubsub.subscribe(keys.wake(partition)).await;
        }
        Ok(Self {
            generations: Generations::new(redis.duplicate().await?, keys, now),
            pubsub,
            owned,
            idle_ms: i64::try_from(idle.as_millis()).unwrap_or(i64::MAX),
            dirty: Mutex::new(Partitions::ALL),
            wakes: std::array::from_fn(|_| Notify::new()),
            sizes: std::array::from_fn(|_| Size::default()),
        })
    }

    /// Receives wakes, and sheds bodies past `max_bytes`; runs until it is dropped.
    pub async fn run(&self, max_bytes: u64) {
        tokio::join!(self.pubsub.run(|event| self.receive(event)), self.keep_within(max_bytes));
    }

    fn receive(&self, event: PubSubEvent) {
        let dirty = match event {
            PubSubEvent::Message(channel, _) => {
                self.generations.keys().partition_of_wake(&channel).into_iter().collect()
            }
            PubSubEvent::Gap => Partitions::ALL,
        };
        self.mark_dirty(dirty);
        self.wakes.iter().for_each(Notify::notify_one);
    }

    fn mark_dirty(&self, partitions: Partitions) {
        let mut dirty = self.dirty.lock();
        *dirty = dirty.union(partitions);
    }

    /// Those of the partitions that may have entries; the caller must read them.
    fn take_dirty(&self, of: Partitions) -> Partitions {
        let owned = self.owned.borrow().and(of);
        let mut dirty = self.dirty.lock();
        let taken = dirty.and(owned);
        *dirty = dirty.without(owned);
        taken
    }

    /// The consumers, each of its own part of the partitions.
    pub fn consumers(self: &Arc<Self>) -> Vec<Arc<dyn Outbox>> {
        let of = |number| Partition::all().filter(|each| each.index() % CONSUMER_COUNT == number).collect();
        (0..CONSUMER_COUNT)
            .map(|number| Arc::new(Consumer { outbox: Arc::clone(self), number, of: of(number) }) as _)
            .collect()
    }

    async fn oldest_in(
        &self,
        of: Partitions,
        wake: &Notify,
        max: usize,
        timeout: Duration,
    ) -> Result<Vec<OutboxEntry>, OutboxError> {
        let until = Instant::now() + timeout;
        if timeout.is_zero() {
            self.mark_dirty(of);
        }
        loop {
            let entries = self.read_partitions(of, max).await?;
            if !entries.is_empty() {
                return Ok(entries);
            }
            if timeout_at(until, wake.notified()).await.is_err() {
                self.mark_dirty(of);
                return Ok(Vec::new());
            }
        }
    }

    /// The oldest entries of every dirty partition, each its share.
    async fn read_partitions(&self, of: Partitions, max: usize) -> Result<Vec<OutboxEntry>, OutboxError> {
        let partitions = self.take_dirty(of);
        let share = (max / partitions.iter().count().max(1)).max(1);
        let names = self.generations.keys();
        let keys = |partition| [names.outbox(partition), names.bodies(partition)];
        let arguments = [Value::from(share.to_string())];
        let mut entries = Vec::new();
        let mut failure = None;
        for replies in self.generations.ask_many(partitions, &SCRIPTS.outbox_read, keys, &arguments).await {
            match replies.reply.and_then(|(generations, fields)| self.read(&replies.partitions, &generations, fields)) {
                Ok(found) => entries.extend(found),
                Err(error) => {
                    self.mark_dirty(replies.partitions.into_iter().collect());
                    failure = Some(error);
                }
            }
        }
        entries.truncate(max);
        match failure {
            Some(error) if entries.is_empty() => Err(OutboxError(error.into())),
            // A master that is away does not hold up the others.
            _ => Ok(entries),
        }
    }

    fn read(
        &self,
        partitions: &[Partition],
        generations: &[Generation],
        fields: Vec<Value>,
    ) -> Result<Vec<OutboxEntry>, RedisError> {
        let mut entries = Vec::new();
        for ((partition, generation), field) in partitions.iter().zip(generations).zip(fields) {
            let (count, found) = self.decode(*partition, generation, field)?;
            // The reply may have had no room for all of them.
            if count > 0 {
                self.mark_dirty(Partitions::NONE.with(*partition));
            }
            entries.extend(found);
        }
        Ok(entries)
    }

    /// The count of a partition's entries, and the oldest of them.
    fn decode(
        &self,
        partition: Partition,
        generation: &Generation,
        field: Value,
    ) -> Result<(u64, Vec<OutboxEntry>), RedisError> {
        let mut parts = field.into_array().into_iter();
        let count = parts.next().and_then(|count| count.as_u64()).ok_or_else(RedisError::protocol)?;
        self.sizes[partition.index()].entries.store(count, Ordering::Relaxed);
        let mut entries = Vec::new();
        for part in parts {
            match entry::outbox_entry(part, |name| entry_id(name, partition, generation)) {
                Ok(entry) => entries.push(entry),
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
        Ok((count, entries))
    }

    /// Splits the work into scripts: each as much as it may take, on a cluster one partition.
    fn batches<'a, T>(&self, parts: &'a [(Partition, &'a [T])]) -> impl Iterator<Item = &'a [(Partition, &'a [T])]> {
        let is_cluster = self.generations.redis().is_cluster();
        let mut entries = 0;
        parts.chunk_by(move |(_, before), (_, after)| {
            entries = if entries == 0 { before.len() } else { entries } + after.len();
            let fits = !is_cluster && entries <= MAX_BATCH_ENTRIES;
            entries = if fits { entries } else { 0 };
            fits
        })
    }

    /// Acknowledges entries of some partitions by one script.
    async fn acknowledge_batch(&self, done: &[(Partition, &[&OutboxEntry])]) -> Result<(), RedisError> {
        let (mut keys, mut arguments) = (Vec::new(), vec![Value::from(self.idle_ms.to_string())]);
        let mut named = Vec::new();
        for (partition, done) in done {
            let generation = self.generations.of(*partition).await?;
            // An entry of an earlier generation has another id in this one, and is read again.
            let done: Vec<_> = done.iter().filter(|each| each.id.generation == generation.number).copied().collect();
            if !done.is_empty() {
                self.stream_ids(*partition, &generation, &done, &mut keys, &mut arguments);
                named.push((*partition, generation));
            }
        }
        if named.is_empty() {
            return Ok(());
        }
        let reply = self.generations.redis().ask(&SCRIPTS.outbox_ack, &keys, arguments).await?;
        for ((partition, generation), left) in named.into_iter().zip(reply.fields) {
            match left.as_i64().map(u64::try_from) {
                Some(Ok(left)) => self.sizes[partition.index()].entries.store(left, Ordering::Relaxed),
                Some(Err(_)) => self.generations.forget(partition, &generation),
                None => return Err(RedisError::protocol()),
            }
        }
        Ok(())
    }

    /// Adds the script's keys and arguments of one partition.
    fn stream_ids(
        &self,
        partition: Partition,
        generation: &Generation,
        done: &[&OutboxEntry],
        keys: &mut Vec<String>,
        arguments: &mut Vec<Value>,
    ) {
        let names = self.generations.keys();
        let newest: BTreeMap<&SessionKey, EntryId> = done.iter().map(|each| (&each.entry.key, each.id)).collect();
        keys.extend([names.generation(partition), names.outbox(partition), names.bodies(partition)]);
        keys.extend(newest.keys().map(|key| names.state(key)));
        let counts = [newest.len(), done.len()].map(|count| count.to_string());
        let ids = newest.values().copied().chain(done.iter().map(|each| each.id)).map(stream_id);
        let texts = std::iter::once(generation.text.to_string()).chain(counts).chain(ids);
        arguments.extend(texts.map(Value::from));
    }
}

/// An entry's name in the stream.
fn stream_id(entry_id: EntryId) -> String {
    let (ms, count) = entry_id.number;
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
    async fn oldest(&self, max: usize, timeout: Duration) -> Result<Vec<OutboxEntry>, OutboxError> {
        self.outbox.oldest_in(self.of, &self.outbox.wakes[self.number], max, timeout).await
    }

    async fn acknowledge(&self, done: &[OutboxEntry]) -> Result<(), OutboxError> {
        self.outbox.acknowledge(done).await
    }

    async fn backlog(&self) -> Result<Backlog, OutboxError> {
        self.outbox.backlog().await
    }
}

#[async_trait]
impl Outbox for RedisOutbox {
    async fn oldest(&self, max: usize, timeout: Duration) -> Result<Vec<OutboxEntry>, OutboxError> {
        self.oldest_in(Partitions::ALL, &self.wakes[0], max, timeout).await
    }

    async fn acknowledge(&self, done: &[OutboxEntry]) -> Result<(), OutboxError> {
        let mut by_partition = BTreeMap::<Partition, Vec<&OutboxEntry>>::new();
        for each in done {
            if let Some(partition) = each.id.partition {
                by_partition.entry(partition).or_default().push(each);
            }
        }
        let parts: Vec<(Partition, &[&OutboxEntry])> = by_partition
            .iter()
            .flat_map(|(partition, done)| done.chunks(MAX_BATCH_ENTRIES).map(|some| (*partition, some)))
            .collect();
        let batches = self.batches(&parts).map(|batch| self.acknowledge_batch(batch));
        try_join_all(batches).await.map_err(|error| OutboxError(error.into()))?;
        Ok(())
    }

    async fn backlog(&self) -> Result<Backlog, OutboxError> {
        let owned = self.owned.borrow();
        let sum = |of: fn(&Size) -> &AtomicU64| {
            owned.iter().map(|partition| of(&self.sizes[partition.index()]).load(Ordering::Relaxed)).sum()
        };
        Ok(Backlog { entries: sum(|size| &size.entries), bytes: sum(|size| &size.bytes) })
    }
}
