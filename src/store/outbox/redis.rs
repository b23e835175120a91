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

use super::{Backlog, Outbox, Ticket, Unavailable, Waiting};
use crate::domain::id::SessionKey;
use crate::redis::{Failure, Listening, Redis, Told};
use crate::store::Now;
use crate::store::keys::Keys;
use crate::store::partition::{PARTITIONS, Partition, Partitions};
use crate::store::redis::{Life, Lives, SCRIPTS, ticket};
use crate::telemetry::outage::{Repeats, chain};

/// So many entries are let go by one script.
const AT_ONCE: usize = 1_000;

/// So many consumers share the partitions of an instance: while one waits for the ledger,
/// another asks Redis.
const LANES: usize = 2;

static UNREADABLE: Repeats = Repeats::none();

/// What waits in Redis for the ledger.
pub struct RedisOutbox {
    lives: Lives,
    listening: Listening,
    /// Which partitions are read here; nobody else reads them.
    owned: watch::Receiver<Partitions>,
    idle_ms: i64,
    /// Where something may wait. All others were seen empty, and nothing was heard since.
    stirred: Mutex<Partitions>,
    woken: [Notify; LANES],
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
        keys: Keys,
        owned: watch::Receiver<Partitions>,
        idle: Duration,
        now: Now,
    ) -> Result<Self, Failure> {
        let listening = Listening::new(redis.another().await?);
        for partition in Partition::all() {
            // What fails now is tried again as long as it runs.
            let _ = listening.listen(keys.wake(partition)).await;
        }
        Ok(Self {
            lives: Lives::new(redis.another().await?, keys, now),
            listening,
            owned,
            idle_ms: i64::try_from(idle.as_millis()).unwrap_or(i64::MAX),
            stirred: Mutex::new(Partitions::ALL),
            woken: std::array::from_fn(|_| Notify::new()),
            weights: std::array::from_fn(|_| Weight::default()),
        })
    }

    /// Hears of what comes in, and sheds what is more than `max_bytes`; runs until it is dropped.
    pub async fn run(&self, max_bytes: u64) {
        tokio::join!(self.listening.run(|told| self.hear(told)), self.keep_within(max_bytes));
    }

    fn hear(&self, told: Told) {
        let stirred = match told {
            Told::Message(channel, _) => self.lives.keys().partition_of_wake(&channel).into_iter().collect(),
            Told::Gap => Partitions::ALL,
        };
        self.stir(stirred);
        self.woken.iter().for_each(Notify::notify_one);
    }

    fn stir(&self, partitions: Partitions) {
        let mut stirred = self.stirred.lock().unwrap_or_else(PoisonError::into_inner);
        *stirred = stirred.union(partitions);
    }

    /// Where something may wait, of those; who takes it looks there.
    fn take_stirred(&self, of: Partitions) -> Partitions {
        let owned = self.owned.borrow().and(of);
        let mut stirred = self.stirred.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = stirred.and(owned);
        *stirred = stirred.without(owned);
        taken
    }

    /// A consumer of each part of the partitions; they know nothing of each other.
    #[must_use]
    pub fn lanes(self: &Arc<Self>) -> Vec<Arc<dyn Outbox>> {
        let of = |number| Partition::all().filter(|each| each.index() % LANES == number).collect();
        (0..LANES).map(|number| Arc::new(Lane { outbox: Arc::clone(self), number, of: of(number) }) as _).collect()
    }

    async fn oldest_of(
        &self,
        of: Partitions,
        woken: &Notify,
        max: usize,
        patience: Duration,
    ) -> Result<Vec<Waiting>, Unavailable> {
        let until = Instant::now() + patience;
        if patience.is_zero() {
            self.stir(of);
        }
        loop {
            let waiting = self.gather(of, max).await?;
            if !waiting.is_empty() {
                return Ok(waiting);
            }
            if timeout_at(until, woken.notified()).await.is_err() {
                self.stir(of);
                return Ok(Vec::new());
            }
        }
    }

    /// The oldest of every partition in which something may wait, each its share.
    async fn gather(&self, of: Partitions, max: usize) -> Result<Vec<Waiting>, Unavailable> {
        let partitions = self.take_stirred(of);
        let share = (max / partitions.iter().count().max(1)).max(1);
        let named = self.lives.keys();
        let keys = |partition| [named.outbox(partition), named.bodies(partition)];
        let arguments = [Value::from(share.to_string())];
        let mut gathered = Vec::new();
        let mut failed = None;
        for asked in self.lives.ask_of(partitions, &SCRIPTS.oldest, keys, &arguments).await {
            match asked.answer.and_then(|(lives, parts)| self.read(&asked.partitions, &lives, parts)) {
                Ok(found) => gathered.extend(found),
                Err(failure) => {
                    self.stir(asked.partitions.into_iter().collect());
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

    fn read(&self, asked: &[Partition], lives: &[Life], parts: Vec<Value>) -> Result<Vec<Waiting>, Failure> {
        let mut gathered = Vec::new();
        for ((partition, life), part) in asked.iter().zip(lives).zip(parts) {
            let (waiting, found) = self.read_of(*partition, life, part)?;
            // Others may have left no room for what is there.
            if waiting > 0 {
                self.stir(Partitions::NONE.with(*partition));
            }
            gathered.extend(found);
        }
        Ok(gathered)
    }

    /// How many wait in a partition, and the oldest of them.
    fn read_of(&self, partition: Partition, life: &Life, part: Value) -> Result<(u64, Vec<Waiting>), Failure> {
        let mut parts = part.into_array().into_iter();
        let entries = parts.next().and_then(|entries| entries.as_u64()).ok_or_else(Failure::garbled)?;
        self.weights[partition.index()].entries.store(entries, Ordering::Relaxed);
        let read = |found: Value| entry::waiting(found, |name| ticket(name, partition, life));
        let mut waiting = Vec::new();
        for found in parts {
            match read(found) {
                Ok(each) => waiting.push(each),
                Err(unreadable) => {
                    // The rest waits behind it, for a release that can read it.
                    if let Some(times) = UNREADABLE.next() {
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
    fn together<'a, T>(&self, parts: &'a [(Partition, &'a [T])]) -> impl Iterator<Item = &'a [(Partition, &'a [T])]> {
        let is_cluster = self.lives.redis().is_cluster();
        let mut entries = 0;
        parts.chunk_by(move |(_, before), (_, after)| {
            entries = if entries == 0 { before.len() } else { entries } + after.len();
            let fits = !is_cluster && entries <= AT_ONCE;
            entries = if fits { entries } else { 0 };
            fits
        })
    }

    /// Lets go of entries of some partitions, which stand where one script reaches them.
    async fn let_go(&self, done: &[(Partition, &[&Waiting])]) -> Result<(), Failure> {
        let (mut keys, mut arguments) = (Vec::new(), vec![Value::from(self.idle_ms.to_string())]);
        let mut asked = Vec::new();
        for (partition, done) in done {
            let life = self.lives.of(*partition).await?;
            // What was given in another life has another name in this one, and comes again.
            let done: Vec<_> = done.iter().filter(|each| each.ticket.life == life.number).copied().collect();
            if !done.is_empty() {
                self.name_all(*partition, &life, &done, &mut keys, &mut arguments);
                asked.push((*partition, life));
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let answer = self.lives.redis().ask(&SCRIPTS.acknowledge, &keys, arguments).await?;
        for ((partition, life), left) in asked.into_iter().zip(answer.parts) {
            match left.as_i64().map(u64::try_from) {
                Some(Ok(left)) => self.weights[partition.index()].entries.store(left, Ordering::Relaxed),
                Some(Err(_)) => self.lives.forget(partition, &life),
                None => return Err(Failure::garbled()),
            }
        }
        Ok(())
    }

    /// What the script takes of one partition.
    fn name_all(
        &self,
        partition: Partition,
        life: &Life,
        done: &[&Waiting],
        keys: &mut Vec<String>,
        arguments: &mut Vec<Value>,
    ) {
        let named = self.lives.keys();
        let newest: BTreeMap<&SessionKey, Ticket> = done.iter().map(|each| (&each.entry.key, each.ticket)).collect();
        keys.extend([named.life(partition), named.outbox(partition), named.bodies(partition)]);
        keys.extend(newest.keys().map(|key| named.state(key)));
        let counts = [newest.len(), done.len()].map(|count| count.to_string());
        let tickets = newest.values().copied().chain(done.iter().map(|each| each.ticket)).map(name);
        let texts = std::iter::once(life.text.to_string()).chain(counts).chain(tickets);
        arguments.extend(texts.map(Value::from));
    }
}

/// An entry's name in the stream.
fn name(ticket: Ticket) -> String {
    let (ms, count) = ticket.number;
    format!("{ms}-{count}")
}

/// The consumer of some partitions.
struct Lane {
    outbox: Arc<RedisOutbox>,
    number: usize,
    of: Partitions,
}

#[async_trait]
impl Outbox for Lane {
    async fn oldest(&self, max: usize, patience: Duration) -> Result<Vec<Waiting>, Unavailable> {
        self.outbox.oldest_of(self.of, &self.outbox.woken[self.number], max, patience).await
    }

    async fn acknowledge(&self, done: &[Waiting]) -> Result<(), Unavailable> {
        self.outbox.acknowledge(done).await
    }

    async fn backlog(&self) -> Result<Backlog, Unavailable> {
        self.outbox.backlog().await
    }
}

#[async_trait]
impl Outbox for RedisOutbox {
    async fn oldest(&self, max: usize, patience: Duration) -> Result<Vec<Waiting>, Unavailable> {
        self.oldest_of(Partitions::ALL, &self.woken[0], max, patience).await
    }

    async fn acknowledge(&self, done: &[Waiting]) -> Result<(), Unavailable> {
        let mut by_partition = BTreeMap::<Partition, Vec<&Waiting>>::new();
        for each in done {
            if let Some(partition) = each.ticket.partition {
                by_partition.entry(partition).or_default().push(each);
            }
        }
        let parts: Vec<(Partition, &[&Waiting])> = by_partition
            .iter()
            .flat_map(|(partition, done)| done.chunks(AT_ONCE).map(|some| (*partition, some)))
            .collect();
        let each = self.together(&parts).map(|parts| self.let_go(parts));
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
