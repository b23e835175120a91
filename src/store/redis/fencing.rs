//! Fencing by store generation: a master that went back is noticed before anything is written to it.
//!
//! Every script names the generation it believes in and asks the server which process it
//! is; in another generation it does nothing. So no command that was under way when a
//! connection was lost reaches a new master unchecked. A check costs Redis a few
//! microseconds a script.

use std::sync::Arc;

use fred::bytes_utils::Str;
use fred::types::Value;
use futures::future::{join_all, try_join_all};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::domain::time::Timestamp;
use crate::redis::{Argument, Redis, RedisError, Reply, Script};
use crate::store::Now;
use crate::store::keys::Keys;
use crate::store::partition::{PARTITIONS, Partition, Partitions};
use crate::telemetry::metrics::STORE_GENERATION_CHANGES_TOTAL;

use super::scripts::SCRIPTS;

/// How often a script is run anew after its generation turned out to be over.
const MAX_ATTEMPTS: usize = 3;

/// A partition's store generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Generations of a partition are numbered; later ones are larger.
    pub number: u64,
    /// When it began, by the clock of the instance that noticed it.
    pub started_at: Timestamp,
    /// As it is stored and named.
    pub text: Str,
}

/// The outcome of a script that named a generation.
#[derive(Debug)]
pub enum FencedReply {
    /// The generation was right.
    Current(Reply),
    /// It was another; nothing was done.
    Stale,
}

/// The outcome of a script that named the generations of some partitions.
#[derive(Debug)]
pub struct FencedReplies {
    /// The partitions of this script.
    pub partitions: Vec<Partition>,
    /// Their generations, and the reply.
    pub reply: Result<(Vec<Generation>, Vec<Value>), RedisError>,
}

/// The generation of each partition, as far as this instance knows.
pub struct Generations {
    redis: Arc<Redis>,
    keys: Keys,
    now: Now,
    known: [Mutex<Option<Generation>>; PARTITIONS],
    changes: watch::Sender<u64>,
}

impl Generations {
    /// Nothing is known yet.
    pub fn new(redis: Redis, keys: Keys, now: Now) -> Self {
        Self {
            redis: Arc::new(redis),
            keys,
            now,
            known: std::array::from_fn(|_| Mutex::default()),
            changes: watch::channel(0).0,
        }
    }

    /// The connection.
    pub const fn redis(&self) -> &Arc<Redis> {
        &self.redis
    }

    /// The names of the deployment's keys.
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Counts new generations that replaced a known one.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The generation of a partition: the known one, or else the master's answer.
    pub async fn of(&self, partition: Partition) -> Result<Generation, RedisError> {
        if let Some(generation) = self.slot(partition).clone() {
            return Ok(generation);
        }
        let now = Argument::from((self.now)().as_ms().to_string());
        let reply = self.redis.run(&SCRIPTS.generation, &[self.keys.generation(partition)], vec![now]).await?;
        let generation = Generation::parse(&reply.convert::<String>().map_err(|_| RedisError::protocol())?)?;
        *self.slot(partition) = Some(generation.clone());
        Ok(generation)
    }

    /// Runs a script that takes the generation's key and the generation before its other keys and arguments.
    pub async fn ask(
        &self,
        partition: Partition,
        script: &Script,
        keys: Vec<String>,
        arguments: Vec<Argument>,
    ) -> Result<(Reply, Generation), RedisError> {
        let keys = [vec![self.keys.generation(partition)], keys].concat();
        for _ in 0..MAX_ATTEMPTS {
            let generation = self.of(partition).await?;
            let named = std::iter::once(Argument::from(generation.text.clone()));
            let reply = self.redis.ask(script, &keys, named.chain(arguments.iter().cloned()).collect()).await?;
            if let FencedReply::Current(reply) = self.check_reply(&generation, partition, reply) {
                return Ok((reply, generation));
            }
        }
        Err(unstable())
    }

    /// Tells a reply to a script that named that generation from a refusal of it.
    pub fn check_reply(&self, generation: &Generation, partition: Partition, reply: Reply) -> FencedReply {
        if reply.tag != "fenced" {
            return FencedReply::Current(reply);
        }
        self.forget(partition, generation);
        FencedReply::Stale
    }

    /// Runs a script that takes of each partition the generation's key and `keys`, and the
    /// generations behind its other arguments. It is one script; on a cluster it is one a
    /// partition, as the keys of a script stand in one slot.
    pub async fn ask_many<const N: usize>(
        &self,
        partitions: Partitions,
        script: &Script,
        keys: impl Fn(Partition) -> [String; N],
        arguments: &[Argument],
    ) -> Vec<FencedReplies> {
        let all: Vec<Partition> = partitions.iter().collect();
        let batch = if self.redis.is_cluster() { 1 } else { all.len().max(1) };
        let replies = all.chunks(batch).map(async |some| {
            let keys =
                some.iter().flat_map(|each| std::iter::once(self.keys.generation(*each)).chain(keys(*each))).collect();
            FencedReplies { partitions: some.to_vec(), reply: self.ask_batch(some, script, keys, arguments).await }
        });
        join_all(replies).await
    }

    async fn ask_batch(
        &self,
        partitions: &[Partition],
        script: &Script,
        keys: Vec<String>,
        arguments: &[Argument],
    ) -> Result<(Vec<Generation>, Vec<Value>), RedisError> {
        for _ in 0..MAX_ATTEMPTS {
            let generations = try_join_all(partitions.iter().map(|each| self.of(*each))).await?;
            let texts = generations.iter().map(|generation| Argument::from(generation.text.clone()));
            let reply = self.redis.ask(script, &keys, arguments.iter().cloned().chain(texts).collect()).await?;
            if reply.tag != "fenced" {
                return Ok((generations, reply.fields));
            }
            for stale in reply.fields.iter().filter_map(|field| usize::try_from(field.as_u64()?).ok()) {
                if let (Some(partition), Some(generation)) = (partitions.get(stale), generations.get(stale)) {
                    self.forget(*partition, generation);
                }
            }
        }
        Err(unstable())
    }

    /// That generation is over.
    pub fn forget(&self, partition: Partition, generation: &Generation) {
        let mut known = self.slot(partition);
        if known.as_ref() == Some(generation) {
            *known = None;
            // The server logs one warning for all partitions.
            tracing::debug!(partition = partition.index(), generation = generation.number, "a store generation ended");
            metrics::counter!(STORE_GENERATION_CHANGES_TOTAL).increment(1);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    fn slot(&self, partition: Partition) -> MutexGuard<'_, Option<Generation>> {
        self.known[partition.index()].lock()
    }
}

fn unstable() -> RedisError {
    RedisError::NotApplied("the store generation changed at every attempt".into())
}

impl Generation {
    pub(super) fn parse(text: &str) -> Result<Self, RedisError> {
        let mut words = text.splitn(3, '-');
        let number = words.next().and_then(|number| number.parse().ok()).ok_or_else(RedisError::protocol)?;
        let started_at = words.nth(1).and_then(|ms| ms.parse().ok()).ok_or_else(RedisError::protocol)?;
        Ok(Self { number, started_at: Timestamp::from_ms(started_at), text: text.into() })
    }
}
