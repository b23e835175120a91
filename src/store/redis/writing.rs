//! Writes: what is sent, and what is made of the answer, or of none.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use fred::types::{Key, Value};

use super::answer;
use super::lives::{Asked, Life, Lives};
use super::texts::Texts;
use super::together::Together;
use crate::domain::chain::Digest;
use crate::domain::entry::{ANSWERED_MS, Answered};
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::domain::session::{Session, Status};
use crate::redis::{Answer, Argument, Failure};
use crate::store::keys;
use crate::store::keys::Keys;
use crate::store::outbox::pack;
use crate::store::partition::Partition;
use crate::store::{Commit, Committed, Error, Held};

/// A write is sent so many times at most: once more after no answer, and once more
/// after each life that had ended. The operation number makes it one write.
const TRIES: usize = 4;

/// A session's newest operations are remembered, so many of them.
const REMEMBERED: u64 = 16;

/// How many texts a write is told in, and what those take that are of much the same length always.
const TEXTS: usize = 19;
const ROOM: usize = 1_024;

/// Why a write may have happened, and in which life that was.
type Doubt = (Failure, Life);

/// Writes, and does not give up before it knows, or has asked twice in vain.
pub async fn commit(lives: &Lives, together: &Together, commit: Commit) -> Result<Committed, Error> {
    let (session, head) = (lives.keys().session(&commit.key), commit.entry.link.digest());
    let partition = session.partition;
    let (keys, arguments) = told(&commit, head, &session)?;
    let mut doubt: Option<Doubt> = None;
    for _ in 0..TRIES {
        let life = match lives.of(partition).await {
            Ok(life) => life,
            Err(failure) => return Err(given_up(doubt, failure)),
        };
        if commit.base.is_none() && doubt.as_ref().is_some_and(|(_, then)| *then != life) {
            return Err(given_up(doubt, another_life()));
        }
        let given = std::iter::once(Argument::from(life.text.clone())).chain(arguments.iter().cloned()).collect();
        let answer = together.ask(keys.clone(), given).await;
        match answer.map(|answer| lives.heard(&life, partition, answer)) {
            Ok(Asked::Answered(answer)) => return decided(&commit, head, answer, (partition, &life), doubt),
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
    head: Digest,
    answer: Answer,
    (partition, life): (Partition, &Life),
    doubt: Option<Doubt>,
) -> Result<Committed, Error> {
    // What may have happened in a life that is over may be lost, or in the ledger.
    if answer.word != "stored" && doubt.as_ref().is_some_and(|(_, then)| then != life) {
        return Err(given_up(doubt, another_life()));
    }
    let held = |header: &Value, body: &Value| answer::held(header, body, partition, life);
    match (answer.word.as_str(), &*answer.parts) {
        ("stored", [ticket]) => {
            let ticket = Some(answer::ticket(ticket, partition, life)?);
            Ok(Committed::Stored(Held { session: Arc::clone(&commit.session), head, ticket, is_doubtful: false }))
        }
        ("stale", [header, body]) => match (held(header, body)?, doubt) {
            (newer, Some((why, _))) if is_far(commit, &newer) => Err(Error::Unknown(why.into())),
            (newer, _) => Ok(Committed::Stale(newer)),
        },
        ("repeated", [answered, header, body]) => {
            let key = commit.entry.repeat.map_or(Digest::NONE, |repeat| repeat.key);
            let answered = answered.clone().convert().map_err(|_| Failure::garbled())?;
            Ok(Committed::Repeated(answer::answered(key, &answered)?, held(header, body)?))
        }
        ("missing", []) => Ok(Committed::Missing),
        _ => Err(answer::refused(answer)),
    }
}

/// Whether so much was written since that this write may be among it and forgotten.
fn is_far(commit: &Commit, newer: &Held) -> bool {
    let base = commit.base.map_or(0, |base| base.version);
    newer.session.position.version.saturating_sub(base) > REMEMBERED
}

/// What the script is told of a write, behind the life: keys, and arguments.
fn told(commit: &Commit, head: Digest, named: &keys::Session<'_>) -> Result<(Vec<Key>, Vec<Argument>), Error> {
    let Commit { operation, base, session, frames, entry, .. } = commit;
    let body = entry.body.clone().ok_or_else(|| Error::Unavailable("a write without a body".into()))?;
    let position = session.position.to_string();
    let mut texts = Texts::with_room(ROOM + frames.len() + entry.change.len(), TEXTS);
    let keys = named.written();
    for name in &keys {
        texts.put(name);
    }
    texts.put(&[URL_SAFE_NO_PAD.encode(operation.to_be_bytes())]);
    texts.put(base.map(|base| base.to_string()).as_slice());
    texts.put(&[&position]);
    texts.put(&[may_go(session), " ", &head.to_string()]);
    texts.put(&[&named.member]);
    texts.put(session.due_at.map(|at| at.as_ms().to_string()).as_slice());
    texts.put(&named.frames());
    texts.put(&keys::announcement(&position, frames));
    texts.put(&named.wake());
    texts.with(|all| pack(entry, all));
    texts.put(entry.repeat.map(|repeat| *repeat.key.as_bytes()).as_slice());
    texts.put(answered(commit).map(|answered| answer::of_answered(&answered)).as_slice());
    let mut texts = texts.split();
    let keys = texts.by_ref().take(keys.len()).map(Key::from).collect();
    Ok((keys, texts.chain([body]).map(Argument::from).collect()))
}

/// What a repeat will be answered with.
fn answered(commit: &Commit) -> Option<Answered> {
    let Commit { session, entry, .. } = commit;
    let (position, at, change) = (session.position, entry.link.at, entry.change.clone());
    entry.repeat.map(|repeat| Answered { repeat, position, at, change })
}

/// Whether nothing will happen to it by itself: then it may be let go when it has been idle.
fn may_go(session: &Session) -> &'static str {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::making::{NOW, START, after, commit, created, key};

    /// A write on the first version, and what is said where the newest is `version` and
    /// its outcome was in doubt.
    fn said(version: u64) -> Result<Committed, Error> {
        let (key, session) = (key("a"), created(&key("a")));
        let held = Held { session: Arc::new(session), head: Digest::NONE, ticket: None, is_doubtful: false };
        let write = commit(&key, Some(&held), after(&held, &START, NOW), None);
        let life = Life::parse("7-run-1").unwrap();
        let mut newest = (*write.session).clone();
        newest.position.version = version;
        let header = format!("1 0 {} 7 {} - .", Digest::NONE, newest.position);
        let parts = vec![header.into(), Bytes::from(newest.stored()).into()];
        let answer = Answer { word: "stale".to_owned(), parts };
        let doubt = Some((Failure::garbled(), life.clone()));
        decided(&write, write.entry.link.digest(), answer, (Partition::of(&key), &life), doubt)
    }

    #[test]
    fn what_may_be_done_and_forgotten_is_not_said_to_be_undone() {
        assert!(matches!(said(1 + REMEMBERED), Ok(Committed::Stale(_))));
        assert!(matches!(said(2 + REMEMBERED), Err(Error::Unknown(_))));
    }
}
