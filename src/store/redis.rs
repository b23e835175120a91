//! The store of many instances: Redis.
//!
//! Its keys, each with what the deployment is called before it (`sk` here) and the tag of its
//! partition in braces (`p07` here):
//!
//! | key | what it holds |
//! | --- | --- |
//! | `sk:{p07}:life` | the store life: `<number>-<run id of the master>-<when it began>` |
//! | `sk:{p07}:state:<tenant>/<session>` | a hash: in `h` a line that says where the session is and what was done lately, in `b` the session as it is stored |
//! | `sk:{p07}:answers:<tenant>/<session>` | idempotency keys and what they were answered with; `answers-old` those before |
//! | `sk:{p07}:due` | sessions by when something will happen to them |
//! | `sk:{p07}:outbox` | what waits for the ledger: links and changes, a stream |
//! | `sk:{p07}:bodies` | the stored sessions that belong to those, by their place |
//! | `sk:{clock}` | cluster time less the master's: `offset_ms`, for the process `run_id` |
//!
//! Told on `sk:{p07}:frames:<tenant>/<session>`: a write. Told on `sk:{p07}:wake`:
//! something waits for the ledger, and nothing did before.
//!
//! A write is one script, and so one round trip. A state has no end while its session
//! runs or something will happen to it, nor before the ledger holds its newest version;
//! then it goes when it has been idle for long.

mod arg_buffer;
mod batch;
mod commit;
mod decode;
mod fencing;
mod ledger_watermark;
mod scripts;
mod time;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fred::types::Value;
use tokio::sync::watch;

use self::batch::CommitBatcher;
use self::ledger_watermark::{Watermark, outbox_bounds};
use super::keys::Keys;
use super::outbox::EntryId;
use super::partition::{Partition, Partitions};
use super::{Commit, Committed, Error, LedgerProgress, Now, SessionStore, StoredSession};
use crate::domain::chain::Digest;
use crate::domain::entry::{IDEMPOTENCY_TTL_MS, IdempotencyRecord};
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::redis::{Argument, Redis, RedisError, Script};

pub use self::time::{MasterTime, RedisTime};

pub(super) use self::decode::entry_id;
pub(super) use self::fencing::{Generation, Generations};
pub(super) use self::scripts::SCRIPTS;

/// Sessions in Redis.
pub struct RedisStore {
    lives: Generations,
    together: CommitBatcher,
    following: Watermark,
    idle_ms: i64,
}

impl RedisStore {
    /// A store over a connection of its own, under those names. What has been idle for `idle` is let go; a
    /// store life begins when it is noticed, by `now`.
    #[must_use]
    pub fn new(redis: Redis, keys: Keys, idle: Duration, now: Now) -> Self {
        let idle_ms = i64::try_from(idle.as_millis()).unwrap_or(i64::MAX);
        let lives = Generations::new(redis, keys, now);
        let together = CommitBatcher::new(Arc::clone(lives.redis()));
        Self { lives, together, following: Watermark::default(), idle_ms }
    }

    /// Counts the new lives that were noticed: whatever is running should be looked
    /// after, and everything that is watched read again.
    #[must_use]
    pub fn generation_changes(&self) -> watch::Receiver<u64> {
        self.lives.changes()
    }

    const fn keys(&self) -> &Keys {
        self.lives.keys()
    }

    async fn read_with(
        &self,
        key: &SessionKey,
        script: &Script,
        arguments: Vec<Argument>,
    ) -> Result<Option<StoredSession>, Error> {
        let partition = Partition::of(key);
        let (answer, life) = self.lives.ask(partition, script, vec![self.keys().state(key)], arguments).await?;
        match (answer.tag.as_str(), &*answer.fields) {
            ("held", [header, body]) => decode::stored_session(header, body, partition, &life).map(Some),
            ("missing", []) => Ok(None),
            _ => Err(decode::invalid_reply(answer)),
        }
    }

    /// For good, or for `idle` once it has been idle.
    async fn keep_for(&self, key: &SessionKey, at: Position, idle: String) -> Result<(), Error> {
        let arguments = [at.to_string(), idle].map(Value::from).into();
        let asked = self.lives.ask(Partition::of(key), &SCRIPTS.retain, vec![self.keys().state(key)], arguments);
        let (answer, _) = asked.await?;
        if answer.tag == "done" { Ok(()) } else { Err(decode::invalid_reply(answer)) }
    }
}

/// A question that came to nothing: it may be asked again, whatever became of it.
impl From<RedisError> for Error {
    fn from(failure: RedisError) -> Self {
        Self::Unavailable(failure.into())
    }
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn read(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        self.read_with(key, &SCRIPTS.read, Vec::new()).await
    }

    async fn read_watched(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        let idle = vec![self.idle_ms.to_string().into()];
        self.read_with(key, &SCRIPTS.read_watched, idle).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        commit::commit(&self.lives, &self.together, commit).await
    }

    async fn restore(
        &self,
        key: &SessionKey,
        over: Option<Position>,
        held: StoredSession,
        answered: Vec<IdempotencyRecord>,
    ) -> Result<StoredSession, Error> {
        let partition = Partition::of(key);
        let arguments = commit::restore(key, over, &held, &answered, self.idle_ms);
        let keys = commit::restore_keys(self.keys(), key);
        let (answer, life) = self.lives.ask(partition, &SCRIPTS.restore, keys, arguments).await?;
        match (answer.tag.as_str(), &*answer.fields) {
            ("stored", []) => Ok(held),
            ("held", [header, body]) => decode::stored_session(header, body, partition, &life),
            _ => Err(decode::invalid_reply(answer)),
        }
    }

    async fn due(
        &self,
        partitions: Partitions,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, SessionKey)>, Error> {
        let arguments = [until.as_ms().to_string(), limit.to_string()].map(Value::from);
        let keys = |partition| [self.keys().due(partition)];
        let mut due = Vec::new();
        for asked in self.lives.ask_many(partitions, &SCRIPTS.due, keys, &arguments).await {
            due.extend(decode::due(asked.answer?.1)?);
        }
        due.sort_unstable();
        due.truncate(limit);
        Ok(due)
    }

    async fn idempotency_record(&self, key: &SessionKey, repeat: &Digest) -> Result<Option<IdempotencyRecord>, Error> {
        let field = Bytes::copy_from_slice(repeat.as_bytes());
        let answer = self
            .lives
            .redis()
            .run(&SCRIPTS.idempotency_get, &self.keys().answers(key), vec![field.clone().into()])
            .await?;
        match answer {
            Value::Null => Ok(None),
            answer => {
                Ok(Some(decode::idempotency_record(*repeat, &answer.convert().map_err(|_| RedisError::protocol())?)?))
            }
        }
    }

    async fn remember_answer(&self, key: &SessionKey, answered: IdempotencyRecord) -> Result<IdempotencyRecord, Error> {
        let repeat = answered.repeat.key;
        let arguments = vec![
            IDEMPOTENCY_TTL_MS.to_string().into(),
            Bytes::copy_from_slice(repeat.as_bytes()).into(),
            decode::encode_record(&answered).into(),
        ];
        let keys = self.keys().answers(key).to_vec();
        let (answer, _) = self.lives.ask(Partition::of(key), &SCRIPTS.idempotency_set, keys, arguments).await?;
        match (answer.tag.as_str(), &*answer.fields) {
            ("answered", [standing]) => {
                decode::idempotency_record(repeat, &standing.clone().convert().map_err(|_| RedisError::protocol())?)
            }
            _ => Err(decode::invalid_reply(answer)),
        }
    }

    async fn generation_started_at(&self, key: &SessionKey) -> Result<Timestamp, Error> {
        Ok(self.lives.of(Partition::of(key)).await?.began)
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(self.lives.redis().ping().await?)
    }
}

#[async_trait]
impl LedgerProgress for RedisStore {
    async fn retain(&self, key: &SessionKey, at: Position) -> Result<(), Error> {
        self.keep_for(key, at, String::new()).await
    }

    async fn release(&self, key: &SessionKey, at: Position) -> Result<(), Error> {
        self.keep_for(key, at, self.idle_ms.to_string()).await
    }

    async fn outbox_tail(&self, key: &SessionKey) -> Result<Option<EntryId>, Error> {
        Ok(outbox_bounds(&self.lives, Partition::of(key)).await?.map(|(_, last)| last))
    }

    async fn wait_recorded(&self, ticket: EntryId) -> Result<(), Error> {
        self.following.wait_recorded(&self.lives, ticket).await
    }

    /// What is committed outlives this process.
    async fn wait_for_ledger(&self) {}
}
