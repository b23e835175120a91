//! Commits: their encoding, and what a reply or its absence means.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use fred::types::{Key, Value};

use super::arg_buffer::ArgBuffer;
use super::batch::CommitBatcher;
use super::decode;
use super::fencing::{FencedReply, Generation, Generations};
use crate::domain::chain::Digest;
use crate::domain::id::SessionKey;
use crate::domain::idempotency::{IDEMPOTENCY_TTL_MS, IdempotencyRecord};
use crate::domain::position::Position;
use crate::domain::session::{Session, Status};
use crate::redis::{Argument, RedisError, Reply};
use crate::store::keys;
use crate::store::keys::Keys;
use crate::store::outbox::pack;
use crate::store::partition::Partition;
use crate::store::{Commit, Committed, Error, StoredSession};

/// How often a write is sent at most: once more after no reply, and once more after each
/// generation that was over. The operation number makes it one write.
const MAX_ATTEMPTS: usize = 4;

/// How many operations of a session are remembered, the newest first.
const MAX_REMEMBERED_OPERATIONS: u64 = 16;

/// The arguments of a write, and the bytes of those whose length hardly varies.
const MAX_ARGS: usize = 19;
const ARGS_CAPACITY: usize = 1_024;

/// Why a write may have happened, and in which generation.
type Indeterminate = (RedisError, Generation);

/// Writes, and gives up only once the outcome is known or two attempts had no reply.
pub async fn commit(generations: &Generations, batcher: &CommitBatcher, commit: Commit) -> Result<Committed, Error> {
    let (names, head) = (generations.keys().session(&commit.key), commit.entry.link.digest());
    let partition = names.partition;
    let (keys, arguments) = encode(&commit, head, &names)?;
    let mut doubt: Option<Indeterminate> = None;
    for _ in 0..MAX_ATTEMPTS {
        let generation = match generations.of(partition).await {
            Ok(generation) => generation,
            Err(error) => return Err(give_up(doubt, error)),
        };
        if commit.base.is_none() && doubt.as_ref().is_some_and(|(_, then)| *then != generation) {
            return Err(give_up(doubt, stale_generation()));
        }
        let named = std::iter::once(Argument::from(generation.text.clone()));
        let reply = batcher.ask(keys.clone(), named.chain(arguments.iter().cloned()).collect()).await;
        match reply.map(|reply| generations.check_reply(&generation, partition, reply)) {
            Ok(FencedReply::Current(reply)) => return interpret(&commit, head, reply, (partition, &generation), doubt),
            Ok(FencedReply::Stale) if commit.base.is_none() => return Err(give_up(doubt, stale_generation())),
            Ok(FencedReply::Stale) => {}
            Err(error @ RedisError::Indeterminate(_)) if doubt.is_none() => doubt = Some((error, generation)),
            Err(error) => return Err(give_up(doubt, error)),
        }
    }
    Err(give_up(doubt, RedisError::NotApplied("the store generation changed at every attempt".into())))
}

/// A first version must not be written again in a new generation: the store may have lost
/// the session, and the ledger may hold it. The caller's next request looks there first.
fn stale_generation() -> RedisError {
    RedisError::NotApplied("the store began a new generation, and may have lost such a session".into())
}

fn give_up(doubt: Option<Indeterminate>, error: RedisError) -> Error {
    match (doubt, error) {
        (Some((why, _)), _) | (None, why @ RedisError::Indeterminate(_)) => Error::Unknown(why.into()),
        (None, why @ RedisError::NotApplied(_)) => Error::Unavailable(why.into()),
    }
}

fn interpret(
    commit: &Commit,
    head: Digest,
    reply: Reply,
    (partition, generation): (Partition, &Generation),
    doubt: Option<Indeterminate>,
) -> Result<Committed, Error> {
    // A write that may have happened in an earlier generation may be lost, or in the ledger.
    if reply.tag != "stored" && doubt.as_ref().is_some_and(|(_, then)| then != generation) {
        return Err(give_up(doubt, stale_generation()));
    }
    let session_of = |header: &Value, body: &Value| decode::stored_session(header, body, partition, generation);
    match (reply.tag.as_str(), &*reply.fields) {
        ("stored", [name]) => Ok(Committed::Stored(StoredSession {
            session: Arc::clone(&commit.session),
            head,
            entry_id: Some(decode::entry_id(name, partition, generation)?),
            needs_restore: false,
        })),
        ("stale", [header, body]) => match (session_of(header, body)?, doubt) {
            (newer, Some((why, _))) if is_beyond_memory(commit, &newer) => Err(Error::Unknown(why.into())),
            (newer, _) => Ok(Committed::Stale(newer)),
        },
        ("repeated", [record, header, body]) => {
            let key = commit.entry.idempotency.map_or(Digest::NONE, |repeat| repeat.key);
            Ok(Committed::Repeated(decode::idempotency_record(key, record)?, session_of(header, body)?))
        }
        ("missing", []) => Ok(Committed::Missing),
        _ => Err(decode::invalid_reply(reply)),
    }
}

/// Whether the session has had so many writes since that this one may be among them and forgotten.
fn is_beyond_memory(commit: &Commit, newer: &StoredSession) -> bool {
    let base = commit.base.map_or(0, |base| base.version);
    newer.session.position.version.saturating_sub(base) > MAX_REMEMBERED_OPERATIONS
}

/// The keys and the arguments of a write, without the generation.
fn encode(commit: &Commit, head: Digest, names: &keys::SessionNames<'_>) -> Result<(Vec<Key>, Vec<Argument>), Error> {
    let Commit { operation, base, session, frames, entry, .. } = commit;
    let body = entry.body.clone().ok_or_else(|| Error::Unavailable("a write without a body".into()))?;
    let position = session.position.to_string();
    let mut buffer = ArgBuffer::with_capacity(ARGS_CAPACITY + frames.len() + entry.change.len(), MAX_ARGS);
    let keys = names.written();
    for name in &keys {
        buffer.put(name);
    }
    buffer.put(&[URL_SAFE_NO_PAD.encode(operation.to_be_bytes())]);
    buffer.put(base.map(|base| base.to_string()).as_slice());
    buffer.put(&[&position]);
    buffer.put(&[expiry_flag(session), " ", &head.to_string()]);
    buffer.put(&[&names.member]);
    buffer.put(session.due_at.map(|at| at.as_ms().to_string()).as_slice());
    buffer.put(&names.frames());
    buffer.put(&keys::announcement(&position, frames));
    buffer.put(&names.wake());
    buffer.with(|bytes| pack(entry, bytes));
    buffer.put(entry.idempotency.map(|repeat| *repeat.key.as_bytes()).as_slice());
    buffer.put(idempotency_record(commit).map(|record| decode::encode_record(&record)).as_slice());
    let mut arguments = buffer.split();
    let keys = arguments.by_ref().take(keys.len()).map(Key::from).collect();
    Ok((keys, arguments.chain([body]).map(Argument::from).collect()))
}

/// What a repeat of the write is answered with.
fn idempotency_record(commit: &Commit) -> Option<IdempotencyRecord> {
    let Commit { session, entry, .. } = commit;
    let (position, at, change) = (session.position, entry.link.at, entry.change.clone());
    entry.idempotency.map(|key| IdempotencyRecord { key, position, at, change })
}

/// `1` if the session may expire when idle, as nothing will happen to it by itself; else `0`.
fn expiry_flag(session: &Session) -> &'static str {
    if session.status == Status::Running || session.due_at.is_some() { "0" } else { "1" }
}

/// The keys of a restore.
pub fn restore_keys(keys: &Keys, key: &SessionKey) -> Vec<String> {
    let [answers, earlier] = keys.answers(key);
    vec![keys.state(key), keys.due(Partition::of(key)), answers, earlier]
}

/// The arguments of a restore.
pub fn restore(
    key: &SessionKey,
    over: Option<Position>,
    restored: &StoredSession,
    records: &[IdempotencyRecord],
    idle_ms: i64,
) -> Vec<Argument> {
    let session = &restored.session;
    let records = records.iter().flat_map(|record| {
        [Bytes::copy_from_slice(record.key.key.as_bytes()).into(), decode::encode_record(record).into()]
    });
    let nothing = || Value::from("");
    let front = [
        over.map_or_else(nothing, |over| over.to_string().into()),
        session.position.to_string().into(),
        restored.head.to_string().into(),
        Bytes::from(session.stored()).into(),
        expiry_flag(session).into(),
        key.to_string().into(),
        session.due_at.map_or_else(nothing, |at| at.as_ms().to_string().into()),
        idle_ms.to_string().into(),
        IDEMPOTENCY_TTL_MS.to_string().into(),
    ];
    front.into_iter().chain(records).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::fixtures::{NOW, START, after, commit, created, key};

    /// The result of a write on the first version, whose outcome was in doubt, where the
    /// newest is `version`.
    fn result_at(version: u64) -> Result<Committed, Error> {
        let (key, session) = (key("a"), created(&key("a")));
        let first =
            StoredSession { session: Arc::new(session), head: Digest::NONE, entry_id: None, needs_restore: false };
        let write = commit(&key, Some(&first), after(&first, &START, NOW), None);
        let generation = Generation::parse("7-run-1").unwrap();
        let mut newest = (*write.session).clone();
        newest.position.version = version;
        let header = format!("1 0 {} 7 {} - .", Digest::NONE, newest.position);
        let fields = vec![header.into(), Bytes::from(newest.stored()).into()];
        let reply = Reply { tag: "stale".to_owned(), fields };
        let doubt = Some((RedisError::protocol(), generation.clone()));
        interpret(&write, write.entry.link.digest(), reply, (Partition::of(&key), &generation), doubt)
    }

    #[test]
    fn a_write_that_may_be_done_and_forgotten_is_unknown() {
        assert!(matches!(result_at(1 + MAX_REMEMBERED_OPERATIONS), Ok(Committed::Stale(_))));
        assert!(matches!(result_at(2 + MAX_REMEMBERED_OPERATIONS), Err(Error::Unknown(_))));
    }
}
