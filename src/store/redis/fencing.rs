//! Store lives: a master that went back is noticed before anything is written to it.
//!
//! Every script names the life it believes in and asks the server itself which process
//! it is; in another life it does nothing. So whatever the client library had under way
//! when a connection was lost cannot reach a new master unchecked. It costs a few
//! microseconds of Redis a script, and nothing to get wrong.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fred::bytes_utils::Str;
use fred::types::Value;
use futures::future::{join_all, try_join_all};
use tokio::sync::watch;

use crate::domain::time::Timestamp;
use crate::redis::{Argument, Redis, RedisError, Reply, Script};
use crate::store::Now;
use crate::store::keys::Keys;
use crate::store::partition::{PARTITIONS, Partition, Partitions};
use crate::telemetry::metrics::STORE_GENERATION_CHANGES_TOTAL;

use super::scripts::SCRIPTS;

/// A life that was gone when it was named is asked for anew so many times.
const MAX_TRIES: usize = 3;

/// A partition's store life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Lives of a partition are numbered; later ones are larger.
    pub number: u64,
    /// When it began, by the clock of who noticed that.
    pub began: Timestamp,
    /// As it is stored and named.
    pub text: Str,
}

/// What came of a script that named a life.
#[derive(Debug)]
pub enum FencedReply {
    /// It was that life.
    Answered(Reply),
    /// It was another; nothing was done.
    Gone,
}

/// What came of a script that named the lives of some partitions.
#[derive(Debug)]
pub struct FencedReplies {
    /// Who was asked together.
    pub partitions: Vec<Partition>,
    /// Their lives, and what was answered.
    pub answer: Result<(Vec<Generation>, Vec<Value>), RedisError>,
}

/// The life of each partition, as far as it is known here.
pub struct Generations {
    redis: Arc<Redis>,
    keys: Keys,
    now: Now,
    known: [Mutex<Option<Generation>>; PARTITIONS],
    noticed: watch::Sender<u64>,
}

impl Generations {
    /// Nothing is known yet.
    pub fn new(redis: Redis, keys: Keys, now: Now) -> Self {
        Self {
            redis: Arc::new(redis),
            keys,
            now,
            known: std::array::from_fn(|_| Mutex::default()),
            noticed: watch::channel(0).0,
        }
    }

    /// The connection.
    pub const fn redis(&self) -> &Arc<Redis> {
        &self.redis
    }

    /// What everything is called.
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Counts new lives that took the place of one that was known.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.noticed.subscribe()
    }

    /// The life a partition is in: the one that is known, or else the master's answer.
    pub async fn of(&self, partition: Partition) -> Result<Generation, RedisError> {
        if let Some(life) = self.slot(partition).clone() {
            return Ok(life);
        }
        let now = Argument::from((self.now)().as_ms().to_string());
        let answer = self.redis.run(&SCRIPTS.generation, &[self.keys.life(partition)], vec![now]).await?;
        let life = Generation::parse(&answer.convert::<String>().map_err(|_| RedisError::protocol())?)?;
        *self.slot(partition) = Some(life.clone());
        Ok(life)
    }

    /// Runs a script that takes the life's key and the life before its other keys and arguments.
    pub async fn ask(
        &self,
        partition: Partition,
        script: &Script,
        keys: Vec<String>,
        arguments: Vec<Argument>,
    ) -> Result<(Reply, Generation), RedisError> {
        for _ in 0..MAX_TRIES {
            let life = self.of(partition).await?;
            if let FencedReply::Answered(answer) = self.ask_within(&life, partition, script, &keys, &arguments).await? {
                return Ok((answer, life));
            }
        }
        Err(RedisError::NotApplied("the store goes from life to life".into()))
    }

    /// The same, once, in a life that the caller names.
    pub async fn ask_within(
        &self,
        life: &Generation,
        partition: Partition,
        script: &Script,
        keys: &[String],
        arguments: &[Argument],
    ) -> Result<FencedReply, RedisError> {
        let keys = [&[self.keys.life(partition)], keys].concat();
        let arguments = std::iter::once(Argument::from(life.text.clone())).chain(arguments.iter().cloned()).collect();
        Ok(self.check_reply(life, partition, self.redis.ask(script, &keys, arguments).await?))
    }

    /// What an answer means that was given to whoever named that life.
    pub fn check_reply(&self, life: &Generation, partition: Partition, answer: Reply) -> FencedReply {
        if answer.tag != "life" {
            return FencedReply::Answered(answer);
        }
        self.forget(partition, life);
        FencedReply::Gone
    }

    /// Runs a script that takes of each partition the life's key and `keys`, and their lives
    /// behind its other arguments; what was answered, by who was asked together. It is one
    /// script, but for a cluster, where the keys of a script stand in one slot.
    pub async fn ask_many<const N: usize>(
        &self,
        partitions: Partitions,
        script: &Script,
        keys: impl Fn(Partition) -> [String; N],
        arguments: &[Argument],
    ) -> Vec<FencedReplies> {
        let all: Vec<Partition> = partitions.iter().collect();
        let at_once = if self.redis.is_cluster() { 1 } else { all.len().max(1) };
        let each = all.chunks(at_once).map(async |some| {
            let named =
                some.iter().flat_map(|each| std::iter::once(self.keys.life(*each)).chain(keys(*each))).collect();
            FencedReplies {
                partitions: some.to_vec(),
                answer: self.ask_partitions(some, script, named, arguments).await,
            }
        });
        join_all(each).await
    }

    async fn ask_partitions(
        &self,
        some: &[Partition],
        script: &Script,
        keys: Vec<String>,
        arguments: &[Argument],
    ) -> Result<(Vec<Generation>, Vec<Value>), RedisError> {
        for _ in 0..MAX_TRIES {
            let lives = try_join_all(some.iter().map(|each| self.of(*each))).await?;
            let texts = lives.iter().map(|life| Argument::from(life.text.clone()));
            let answer = self.redis.ask(script, &keys, arguments.iter().cloned().chain(texts).collect()).await?;
            if answer.tag != "life" {
                return Ok((lives, answer.fields));
            }
            for gone in answer.fields.iter().filter_map(|part| usize::try_from(part.as_u64()?).ok()) {
                if let (Some(partition), Some(life)) = (some.get(gone), lives.get(gone)) {
                    self.forget(*partition, life);
                }
            }
        }
        Err(RedisError::NotApplied("the store goes from life to life".into()))
    }

    /// A life that was named is not the one that is lived.
    pub fn forget(&self, partition: Partition, life: &Generation) {
        let mut known = self.slot(partition);
        if known.as_ref() == Some(life) {
            *known = None;
            // Whoever looks at all partitions sums them up.
            tracing::debug!(partition = partition.index(), life = life.number, "a store life has ended");
            metrics::counter!(STORE_GENERATION_CHANGES_TOTAL).increment(1);
            self.noticed.send_modify(|count| *count += 1);
        }
    }

    /// A panic elsewhere cannot leave it half changed: nothing in here panics in between.
    fn slot(&self, partition: Partition) -> MutexGuard<'_, Option<Generation>> {
        self.known[partition.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generation {
    pub(super) fn parse(text: &str) -> Result<Self, RedisError> {
        let mut words = text.splitn(3, '-');
        let number = words.next().and_then(|number| number.parse().ok()).ok_or_else(RedisError::protocol)?;
        let began = words.nth(1).and_then(|began| began.parse().ok()).ok_or_else(RedisError::protocol)?;
        Ok(Self { number, began: Timestamp::from_ms(began), text: text.into() })
    }
}
