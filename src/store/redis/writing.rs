//! Writes: what is sent, and what is made of the answer, or of none.

use std::sync::Arc;

use bytes::Bytes;
use fred::types::Value;

use super::answer;
use super::lives::{Asked, Life, Lives};
use super::scripts::SCRIPTS;
use crate::domain::chain::Digest;
use crate::domain::entry::{ANSWERED_MS, Answered, Entry};
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::domain::session::{Session, Status};
use crate::redis::{Answer, Argument, Failure};
use crate::store::keys;
use crate::store::partition::Partition;
use crate::store::{Commit, Committed, Error, Held};

/// A write is sent so many times at most: once more after no answer, and once more
/// after each life that had ended. The operation number makes it one write.
const TRIES: usize = 4;

/// Why a write may have happened, and in which life that was.
type Doubt = (Failure, Life);

/// Writes, and does not give up before it knows, or has asked twice in vain.
pub async fn commit(lives: &Lives, commit: Commit, idle_ms: i64) -> Result<Committed, Error> {
    let partition = Partition::of(&commit.key);
    let keys = commit_keys(&commit.key, partition);
    let arguments = commit_arguments(&commit, partition, lives.redis().is_cluster(), idle_ms)?;
    let mut doubt: Option<Doubt> = None;
    for _ in 0..TRIES {
        let life = match lives.of(partition).await {
            Ok(life) => life,
            Err(failure) => return Err(given_up(doubt, failure)),
        };
        if commit.base.is_none() && doubt.as_ref().is_some_and(|(_, then)| *then != life) {
            return Err(given_up(doubt, another_life()));
        }
        match lives.ask_in(&life, partition, &SCRIPTS.commit, &keys, &arguments).await {
            Ok(Asked::Answered(answer)) => return decided(&commit, answer, partition, &life, doubt),
            Ok(Asked::Gone) if commit.base.is_none() => return Err(given_up(doubt, another_life())),
            Ok(Asked::Gone) => {}
            Err(failure @ Failure::Unknown(_)) if doubt.is_none() => doubt = Some((failure, life)),
            Err(failure) => return Err(given_up(doubt, failure)),
        }
    }
    Err(given_up(doubt, Failure::Undone("the store goes from life to life".into())))
}

/// The first version of a session that the store has lost must not be written again: the
/// ledger may hold it, and what came after. Who asks anew looks there first.
fn another_life() -> Failure {
    Failure::Undone("the store has begun another life, and may have lost such a session".into())
}

fn given_up(doubt: Option<Doubt>, failure: Failure) -> Error {
    match (doubt, failure) {
        (Some((why, _)), _) | (None, why @ Failure::Unknown(_)) => Error::Unknown(why.into()),
        (None, why @ Failure::Undone(_)) => Error::Unavailable(why.into()),
    }
}

fn decided(
    commit: &Commit,
    mut answer: Answer,
    partition: Partition,
    life: &Life,
    doubt: Option<Doubt>,
) -> Result<Committed, Error> {
    // What may have happened in a life that is over may be lost, or in the ledger.
    if answer.word != "stored"
        && let Some((why, _)) = doubt.filter(|(_, then)| then != life)
    {
        return Err(Error::Unknown(why.into()));
    }
    let held = |stored: Value| answer::held(&stored.convert().map_err(|_| Failure::garbled())?, partition, life);
    match (answer.word.as_str(), answer.parts.pop(), answer.parts.pop()) {
        ("stored", Some(ticket), None) => {
            let ticket = Some(answer::ticket(&ticket, partition, life)?);
            let head = commit.entry.link.digest();
            Ok(Committed::Stored(Held { session: Arc::clone(&commit.session), head, ticket, is_doubtful: false }))
        }
        ("stale", Some(stored), None) => held(stored).map(Committed::Stale),
        ("repeated", Some(stored), Some(answered)) => {
            let key = commit.entry.repeat.map_or(Digest::NONE, |repeat| repeat.key);
            let answered = answer::answered(key, &answered.convert().map_err(|_| Failure::garbled())?)?;
            Ok(Committed::Repeated(answered, held(stored)?))
        }
        ("missing", None, None) => Ok(Committed::Missing),
        (word, Some(part), None) => Err(answer::refused(Answer { word: word.to_owned(), parts: vec![part] })),
        _ => Err(Failure::garbled().into()),
    }
}

fn commit_keys(key: &SessionKey, partition: Partition) -> Vec<String> {
    let of_partition = [keys::due(partition), keys::outbox(partition), keys::bodies(partition)];
    let of_session = keys::operations(key).into_iter().chain(keys::answers(key));
    std::iter::once(keys::state(key)).chain(of_partition).chain(of_session).collect()
}

fn commit_arguments(
    commit: &Commit,
    partition: Partition,
    is_cluster: bool,
    idle_ms: i64,
) -> Result<Vec<Argument>, Error> {
    let Commit { operation, key, base, session, frames, entry } = commit;
    let Entry { link, body, change, repeat, .. } = &**entry;
    let body = body.clone().ok_or_else(|| Error::Unavailable("a write without a body".into()))?;
    let digest = |digest: &Digest| Value::from(Bytes::copy_from_slice(digest.as_bytes()));
    let nothing = || Value::from("");
    Ok(vec![
        Bytes::copy_from_slice(&operation.to_be_bytes()).into(),
        base.map_or_else(nothing, |base| base.to_string().into()),
        session.position.to_string().into(),
        link.digest().to_string().into(),
        body.into(),
        may_go(session).into(),
        key.to_string().into(),
        session.due_at.map_or_else(nothing, |at| at.as_ms().to_string().into()),
        idle_ms.to_string().into(),
        if is_cluster { "spublish" } else { "publish" }.into(),
        keys::frames(key).into(),
        keys::announcement(session.position, frames).into(),
        keys::wake(partition).into(),
        link.at.as_ms().to_string().into(),
        digest(&link.previous),
        digest(&link.body),
        change.clone().into(),
        repeat.as_ref().map_or_else(nothing, |repeat| digest(&repeat.key)),
        repeat.as_ref().map_or_else(nothing, |repeat| digest(&repeat.body)),
        ANSWERED_MS.to_string().into(),
    ])
}

/// Whether nothing will happen to it by itself: then it may be let go when it has been idle.
fn may_go(session: &Session) -> &'static str {
    if session.status == Status::Running || session.due_at.is_some() { "0" } else { "1" }
}

/// The keys of a restoring.
pub fn restore_keys(key: &SessionKey) -> Vec<String> {
    let [answers, earlier] = keys::answers(key);
    vec![keys::state(key), keys::due(Partition::of(key)), answers, earlier]
}

/// What a restoring is told.
pub fn restore(
    key: &SessionKey,
    over: Option<Position>,
    held: &Held,
    answered: &[Answered],
    idle_ms: i64,
) -> Vec<Argument> {
    let session = &held.session;
    let answers = answered
        .iter()
        .flat_map(|each| [Bytes::copy_from_slice(each.repeat.key.as_bytes()).into(), answer::of_answered(each).into()]);
    let nothing = || Value::from("");
    let front = [
        over.map_or_else(nothing, |over| over.to_string().into()),
        session.position.to_string().into(),
        held.head.to_string().into(),
        Bytes::from(session.stored()).into(),
        may_go(session).into(),
        key.to_string().into(),
        session.due_at.map_or_else(nothing, |at| at.as_ms().to_string().into()),
        idle_ms.to_string().into(),
        ANSWERED_MS.to_string().into(),
    ];
    front.into_iter().chain(answers).collect()
}
