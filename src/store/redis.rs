//! The store of many instances: Redis.
//!
//! Its keys. Each begins with the name of the deployment (`sk` here) and the tag of its partition in
//! braces (`p07` here):
//!
//! | key | content |
//! | --- | --- |
//! | `sk:{p07}:life` | the store generation: `<number>-<run id of the master>-<start in ms>` |
//! | `sk:{p07}:state:<tenant>/<session>` | a hash: `h` is a header of position and newest operations, `b` the stored session |
//! | `sk:{p07}:answers:<tenant>/<session>` | idempotency records by key; `answers-old` holds the earlier ones |
//! | `sk:{p07}:due` | sessions by due time |
//! | `sk:{p07}:outbox` | a stream of links and changes that the ledger does not hold yet |
//! | `sk:{p07}:bodies` | the stored sessions of those entries, by entry id |
//! | `sk:{clock}` | cluster time less the master's: `offset_ms`, for the process `run_id` |
//!
//! Its channels: `sk:{p07}:frames:<tenant>/<session>` announces a write, `sk:{p07}:wake` the
//! first entry in an empty outbox.
//!
//! A write is one script, and so one round trip. A state has no TTL while its session runs,
//! is due, or has a newest version that the ledger does not hold. Then it expires when idle.

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
use crate::domain::id::SessionKey;
use crate::domain::idempotency::{IDEMPOTENCY_TTL_MS, IdempotencyRecord};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::redis::{Argument, Redis, RedisError, Script};

pub use self::time::{MasterTime, RedisTime};

pub(super) use self::decode::entry_id;
pub(super) use self::fencing::{Generation, Generations};
pub(super) use self::scripts::SCRIPTS;

/// Sessions in Redis.
pub struct RedisStore {
    generations: Generations,
    batcher: CommitBatcher,
    watermark: Watermark,
    idle_ms: i64,
}

impl RedisStore {
    /// A store over a connection of its own, under those names. A session expires once it has
    /// been idle for `idle`. A generation starts when it is noticed, by `now`.
    pub fn new(redis: Redis, keys: Keys, idle: Duration, now: Now) -> Self {
        let idle_ms = i64::try_from(idle.as_millis()).unwrap_or(i64::MAX);
        let generations = Generations::new(redis, keys, now);
        let batcher = CommitBatcher::new(Arc::clone(generations.redis()));
        Self { generations, batcher, watermark: Watermark::default(), idle_ms }
    }

    /// Counts the new generations that were noticed. After each, running sessions must be
    /// swept, and watched ones read again.
    pub fn generation_changes(&self) -> watch::Receiver<u64> {
        self.generations.changes()
    }

    const fn keys(&self) -> &Keys {
        self.generations.keys()
    }

    async fn read_with(
        &self,
        key: &SessionKey,
        script: &Script,
        arguments: Vec<Argument>,
    ) -> Result<Option<StoredSession>, Error> {
        let partition = Partition::of(key);
        let keys = vec![self.keys().state(key)];
        let (reply, generation) = self.generations.ask(partition, script, keys, arguments).await?;
        match (reply.tag.as_str(), &*reply.fields) {
            ("found", [header, body]) => decode::stored_session(header, body, partition, &generation).map(Some),
            ("missing", []) => Ok(None),
            _ => Err(decode::invalid_reply(reply)),
        }
    }

    /// Without a TTL, if `idle_ms` is empty.
    async fn set_ttl(&self, key: &SessionKey, at: Position, idle_ms: String) -> Result<(), Error> {
        let (keys, arguments) = (vec![self.keys().state(key)], [at.to_string(), idle_ms].map(Value::from).into());
        let (reply, _) = self.generations.ask(Partition::of(key), &SCRIPTS.retain, keys, arguments).await?;
        if reply.tag == "done" { Ok(()) } else { Err(decode::invalid_reply(reply)) }
    }
}

/// The failure of a request that may be repeated, whatever its outcome.
impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        Self::Unavailable(error.into())
    }
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn read(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        self.read_with(key, &SCRIPTS.read, Vec::new()).await
    }

    async fn read_watched(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        self.read_with(key, &SCRIPTS.read_watched, vec![self.idle_ms.to_string().into()]).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        commit::commit(&self.generations, &self.batcher, commit).await
    }

    async fn restore(
        &self,
        key: &SessionKey,
        over: Option<Position>,
        session: StoredSession,
        records: Vec<IdempotencyRecord>,
    ) -> Result<StoredSession, Error> {
        let partition = Partition::of(key);
        let arguments = commit::restore(key, over, &session, &records, self.idle_ms);
        let keys = commit::restore_keys(self.keys(), key);
        let (reply, generation) = self.generations.ask(partition, &SCRIPTS.restore, keys, arguments).await?;
        match (reply.tag.as_str(), &*reply.fields) {
            ("stored", []) => Ok(session),
            ("found", [header, body]) => decode::stored_session(header, body, partition, &generation),
            _ => Err(decode::invalid_reply(reply)),
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
        for replies in self.generations.ask_many(partitions, &SCRIPTS.due, keys, &arguments).await {
            due.extend(decode::due(replies.reply?.1)?);
        }
        due.sort_unstable();
        due.truncate(limit);
        Ok(due)
    }

    async fn idempotency_record(&self, key: &SessionKey, repeat: &Digest) -> Result<Option<IdempotencyRecord>, Error> {
        let arguments = vec![Bytes::copy_from_slice(repeat.as_bytes()).into()];
        let keys = self.keys().answers(key);
        match self.generations.redis().run(&SCRIPTS.idempotency_get, &keys, arguments).await? {
            Value::Null => Ok(None),
            record => decode::idempotency_record(*repeat, &record).map(Some),
        }
    }

    async fn remember_answer(&self, key: &SessionKey, record: IdempotencyRecord) -> Result<IdempotencyRecord, Error> {
        let repeat = record.key.key;
        let arguments = vec![
            IDEMPOTENCY_TTL_MS.to_string().into(),
            Bytes::copy_from_slice(repeat.as_bytes()).into(),
            decode::encode_record(&record).into(),
        ];
        let keys = self.keys().answers(key).to_vec();
        let (reply, _) = self.generations.ask(Partition::of(key), &SCRIPTS.idempotency_set, keys, arguments).await?;
        match (reply.tag.as_str(), &*reply.fields) {
            ("answered", [record]) => decode::idempotency_record(repeat, record),
            _ => Err(decode::invalid_reply(reply)),
        }
    }

    async fn generation_started_at(&self, key: &SessionKey) -> Result<Timestamp, Error> {
        Ok(self.generations.of(Partition::of(key)).await?.started_at)
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(self.generations.redis().ping().await?)
    }
}

#[async_trait]
impl LedgerProgress for RedisStore {
    async fn retain(&self, key: &SessionKey, at: Position) -> Result<(), Error> {
        self.set_ttl(key, at, String::new()).await
    }

    async fn release(&self, key: &SessionKey, at: Position) -> Result<(), Error> {
        self.set_ttl(key, at, self.idle_ms.to_string()).await
    }

    async fn outbox_tail(&self, key: &SessionKey) -> Result<Option<EntryId>, Error> {
        Ok(outbox_bounds(&self.generations, Partition::of(key)).await?.map(|(_, last)| last))
    }

    async fn wait_recorded(&self, entry_id: EntryId) -> Result<(), Error> {
        self.watermark.wait_recorded(&self.generations, entry_id).await
    }

    /// Commits outlive this process.
    async fn wait_for_ledger(&self) {}
}
