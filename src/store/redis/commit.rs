//! Writes: what is sent, and what is made of the answer, or of none.

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
use crate::domain::entry::{IDEMPOTENCY_TTL_MS, IdempotencyRecord};
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::domain::session::{Session, Status};
use crate::redis::{Argument, RedisError, Reply};
use crate::store::keys;
use crate::store::keys::Keys;
use crate::store::outbox::pack;
use crate::store::partition::Partition;
use crate::store::{Commit, Committed, Error, StoredSession};

/// A write is sent so many times at most: once more after no answer, and once more
/// after each life that had ended. The operation number makes it one write.
const MAX_TRIES: usize = 4;

/// A session's newest operations are remembered, so many of them.
const REMEMBERED_OPERATIONS: u64 = 16;

/// How many texts a write is told in, and what those take that are of much the same length always.
const MAX_ARGS: usize = 19;
const ARGS_CAPACITY: usize = 1_024;

/// Why a write may have happened, and in which life that was.
type Indeterminate = (RedisError, Generation);

/// Writes, and does not give up before it knows, or has asked twice in vain.
pub async fn commit(lives: &Generations, together: &CommitBatcher, commit: Commit) -> Result<Committed, Error> {
    let (session, head) = (lives.keys().session(&commit.key), commit.entry.link.digest());
    let partition = session.partition;
    let (keys, arguments) = encode(&commit, head, &session)?;
    let mut doubt: Option<Indeterminate> = None;
    for _ in 0..MAX_TRIES {
        let life = match lives.of(partition).await {
            Ok(life) => life,
            Err(failure) => return Err(given_up(doubt, failure)),
        };
        if commit.base.is_none() && doubt.as_ref().is_some_and(|(_, then)| *then != life) {
            return Err(given_up(doubt, stale_generation()));
        }
        let given = std::iter::once(Argument::from(life.text.clone())).chain(arguments.iter().cloned()).collect();
        let answer = together.ask(keys.clone(), given).await;
        match answer.map(|answer| lives.check_reply(&life, partition, answer)) {
            Ok(FencedReply::Answered(answer)) => return interpret(&commit, head, answer, (partition, &life), doubt),
            Ok(FencedReply::Gone) if commit.base.is_none() => return Err(given_up(doubt, stale_generation())),
            Ok(FencedReply::Gone) => {}
            Err(failure @ RedisError::Indeterminate(_)) if doubt.is_none() => doubt = Some((failure, life)),
            Err(failure) => return Err(given_up(doubt, failure)),
        }
    }
    Err(given_up(doubt, RedisError::NotApplied("the store goes from life to life".into())))
}

/// The first version of a session that the store has lost must not be written again: the
/// ledger may hold it, and what came after. Who asks anew looks there first.
fn stale_generation() -> RedisError {
    RedisError::NotApplied("the store has begun another life, and may have lost such a session".into())
}

fn given_up(doubt: Option<Indeterminate>, failure: RedisError) -> Error {
    match (doubt, failure) {
        (Some((why, _)), _) | (None, why @ RedisError::Indeterminate(_)) => Error::Unknown(why.into()),
        (None, why @ RedisError::NotApplied(_)) => Error::Unavailable(why.into()),
    }
}

fn interpret(
    commit: &Commit,
    head: Digest,
    answer: Reply,
    (partition, life): (Partition, &Generation),
    doubt: Option<Indeterminate>,
) -> Result<Committed, Error> {
    // What may have happened in a life that is over may be lost, or in the ledger.
    if answer.tag != "stored" && doubt.as_ref().is_some_and(|(_, then)| then != life) {
        return Err(given_up(doubt, stale_generation()));
    }
    let held = |header: &Value, body: &Value| decode::stored_session(header, body, partition, life);
    match (answer.tag.as_str(), &*answer.fields) {
        ("stored", [ticket]) => {
            let ticket = Some(decode::entry_id(ticket, partition, life)?);
            Ok(Committed::Stored(StoredSession {
                session: Arc::clone(&commit.session),
                head,
                entry_id: ticket,
                needs_restore: false,
            }))
        }
        ("stale", [header, body]) => match (held(header, body)?, doubt) {
            (newer, Some((why, _))) if is_beyond_memory(commit, &newer) => Err(Error::Unknown(why.into())),
            (newer, _) => Ok(Committed::Stale(newer)),
        },
        ("repeated", [answered, header, body]) => {
            let key = commit.entry.idempotency.map_or(Digest::NONE, |repeat| repeat.key);
            let answered = answered.clone().convert().map_err(|_| RedisError::protocol())?;
            Ok(Committed::Repeated(decode::idempotency_record(key, &answered)?, held(header, body)?))
        }
        ("missing", []) => Ok(Committed::Missing),
        _ => Err(decode::invalid_reply(answer)),
    }
}

/// Whether so much was written since that this write may be among it and forgotten.
fn is_beyond_memory(commit: &Commit, newer: &StoredSession) -> bool {
    let base = commit.base.map_or(0, |base| base.version);
    newer.session.position.version.saturating_sub(base) > REMEMBERED_OPERATIONS
}

/// What the script is told of a write, behind the life: keys, and arguments.
fn encode(commit: &Commit, head: Digest, named: &keys::Session<'_>) -> Result<(Vec<Key>, Vec<Argument>), Error> {
    let Commit { operation, base, session, frames, entry, .. } = commit;
    let body = entry.body.clone().ok_or_else(|| Error::Unavailable("a write without a body".into()))?;
    let position = session.position.to_string();
    let mut texts = ArgBuffer::with_capacity(ARGS_CAPACITY + frames.len() + entry.change.len(), MAX_ARGS);
    let keys = named.written();
    for name in &keys {
        texts.put(name);
    }
    texts.put(&[URL_SAFE_NO_PAD.encode(operation.to_be_bytes())]);
    texts.put(base.map(|base| base.to_string()).as_slice());
    texts.put(&[&position]);
    texts.put(&[may_expire(session), " ", &head.to_string()]);
    texts.put(&[&named.member]);
    texts.put(session.due_at.map(|at| at.as_ms().to_string()).as_slice());
    texts.put(&named.frames());
    texts.put(&keys::announcement(&position, frames));
    texts.put(&named.wake());
    texts.with(|all| pack(entry, all));
    texts.put(entry.idempotency.map(|repeat| *repeat.key.as_bytes()).as_slice());
    texts.put(answered(commit).map(|answered| decode::encode_record(&answered)).as_slice());
    let mut texts = texts.split();
    let keys = texts.by_ref().take(keys.len()).map(Key::from).collect();
    Ok((keys, texts.chain([body]).map(Argument::from).collect()))
}

/// What a repeat will be answered with.
fn answered(commit: &Commit) -> Option<IdempotencyRecord> {
    let Commit { session, entry, .. } = commit;
    let (position, at, change) = (session.position, entry.link.at, entry.change.clone());
    entry.idempotency.map(|repeat| IdempotencyRecord { repeat, position, at, change })
}

/// Whether nothing will happen to it by itself: then it may be let go when it has been idle.
fn may_expire(session: &Session) -> &'static str {
    if session.status == Status::Running || session.due_at.is_some() { "0" } else { "1" }
}

/// The keys of a restoring.
pub fn restore_keys(keys: &Keys, key: &SessionKey) -> Vec<String> {
    let [answers, earlier] = keys.answers(key);
    vec![keys.state(key), keys.due(Partition::of(key)), answers, earlier]
}

/// What a restoring is told.
pub fn restore(
    key: &SessionKey,
    over: Option<Position>,
    held: &StoredSession,
    answered: &[IdempotencyRecord],
    idle_ms: i64,
) -> Vec<Argument> {
    let session = &held.session;
    let answers = answered.iter().flat_map(|each| {
        [Bytes::copy_from_slice(each.repeat.key.as_bytes()).into(), decode::encode_record(each).into()]
    });
    let nothing = || Value::from("");
    let front = [
        over.map_or_else(nothing, |over| over.to_string().into()),
        session.position.to_string().into(),
        held.head.to_string().into(),
        Bytes::from(session.stored()).into(),
        may_expire(session).into(),
        key.to_string().into(),
        session.due_at.map_or_else(nothing, |at| at.as_ms().to_string().into()),
        idle_ms.to_string().into(),
        IDEMPOTENCY_TTL_MS.to_string().into(),
    ];
    front.into_iter().chain(answers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::fixtures::{NOW, START, after, commit, created, key};

    /// A write on the first version, and what is said where the newest is `version` and
    /// its outcome was in doubt.
    fn said(version: u64) -> Result<Committed, Error> {
        let (key, session) = (key("a"), created(&key("a")));
        let held =
            StoredSession { session: Arc::new(session), head: Digest::NONE, entry_id: None, needs_restore: false };
        let write = commit(&key, Some(&held), after(&held, &START, NOW), None);
        let life = Generation::parse("7-run-1").unwrap();
        let mut newest = (*write.session).clone();
        newest.position.version = version;
        let header = format!("1 0 {} 7 {} - .", Digest::NONE, newest.position);
        let parts = vec![header.into(), Bytes::from(newest.stored()).into()];
        let answer = Reply { tag: "stale".to_owned(), fields: parts };
        let doubt = Some((RedisError::protocol(), life.clone()));
        interpret(&write, write.entry.link.digest(), answer, (Partition::of(&key), &life), doubt)
    }

    #[test]
    fn what_may_be_done_and_forgotten_is_not_said_to_be_undone() {
        assert!(matches!(said(1 + REMEMBERED_OPERATIONS), Ok(Committed::Stale(_))));
        assert!(matches!(said(2 + REMEMBERED_OPERATIONS), Err(Error::Unknown(_))));
    }
}
