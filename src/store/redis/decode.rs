//! What Redis holds, read back.

use std::sync::Arc;

use bytes::Bytes;
use fred::types::Value;
use serde::de::Error as _;

use super::fencing::Generation;
use crate::domain::chain::Digest;
use crate::domain::entry::{IdempotencyKey, IdempotencyRecord};
use crate::domain::id::SessionKey;
use crate::domain::session::Session;
use crate::domain::session::stored::Unreadable;
use crate::domain::time::Timestamp;
use crate::redis::{RedisError, Reply};
use crate::store::keys;
use crate::store::outbox::EntryId;
use crate::store::partition::Partition;
use crate::store::{Error, StoredSession};

/// A stored session: its header, `1 <may go> <head> <life> <position> <ticket or ->
/// <operations>`, and its body.
pub fn stored_session(
    header: &Value,
    body: &Value,
    partition: Partition,
    present: &Generation,
) -> Result<StoredSession, Error> {
    let header = header.as_str().ok_or_else(invalid_record)?;
    let [_, _, head, life, _, ticket, _] = split_words(&header).ok_or_else(invalid_record)?;
    let life: u64 = life.parse().map_err(|_| invalid_record())?;
    let ticket = match ticket {
        "-" => None,
        text => Some(EntryId {
            partition: Some(partition),
            generation: life,
            number: id_parts(text).ok_or_else(invalid_record)?,
        }),
    };
    Ok(StoredSession {
        session: Arc::new(Session::from_stored(body.as_bytes().ok_or_else(invalid_record)?)?),
        head: head.parse().map_err(|_| invalid_record())?,
        entry_id: ticket,
        needs_restore: life != present.number,
    })
}

fn split_words<const N: usize>(text: &str) -> Option<[&str; N]> {
    text.split(' ').collect::<Vec<_>>().try_into().ok()
}

/// An entry's name in the stream.
pub fn entry_id(name: &Value, partition: Partition, life: &Generation) -> Result<EntryId, RedisError> {
    let number = name.as_str().and_then(|name| id_parts(&name)).ok_or_else(RedisError::protocol)?;
    Ok(EntryId { partition: Some(partition), generation: life.number, number })
}

fn id_parts(name: &str) -> Option<(u64, u64)> {
    let (ms, count) = name.split_once('-')?;
    Some((ms.parse().ok()?, count.parse().ok()?))
}

/// An answer: `<position> <instant> `, the digest of the body it came with, what happened.
pub fn idempotency_record(key: Digest, answer: &Bytes) -> Result<IdempotencyRecord, Error> {
    let mut spaces = answer.iter().enumerate().filter(|(_, byte)| **byte == b' ').map(|(at, _)| at);
    let (Some(first), Some(second)) = (spaces.next(), spaces.next()) else { return Err(invalid_record()) };
    let text = |part: &[u8]| std::str::from_utf8(part).map(str::to_owned).map_err(|_| invalid_record());
    let body = answer.get(second + 1..second + 33).ok_or_else(invalid_record)?;
    Ok(IdempotencyRecord {
        repeat: IdempotencyKey { key, body: Digest::from_slice(body).map_err(|_| invalid_record())? },
        position: text(&answer[..first])?.parse().map_err(|_| invalid_record())?,
        at: Timestamp::from_ms(text(&answer[first + 1..second])?.parse().map_err(|_| invalid_record())?),
        change: answer.slice(second + 33..),
    })
}

/// How an answer is stored.
pub fn encode_record(answered: &IdempotencyRecord) -> Bytes {
    let front = format!("{} {} ", answered.position, answered.at.as_ms());
    [front.as_bytes(), answered.repeat.body.as_bytes(), &answered.change].concat().into()
}

/// Members of the due set and their instants, in turn.
pub fn due(parts: Vec<Value>) -> Result<Vec<(Timestamp, SessionKey)>, Error> {
    let mut due = Vec::with_capacity(parts.len() / 2);
    let mut parts = parts.into_iter();
    while let (Some(member), Some(at)) = (parts.next(), parts.next()) {
        let member = member.as_str().and_then(|member| keys::session(&member)).ok_or_else(invalid_record)?;
        let at = at.as_i64().ok_or_else(invalid_record)?;
        due.push((Timestamp::from_ms(at), member));
    }
    Ok(due)
}

/// What a script says where it does neither what was asked nor anything else.
pub fn invalid_reply(answer: Reply) -> Error {
    match answer.tag.as_str() {
        "newer" => answer.only::<u16>().map_or_else(|_| invalid_record(), |format| Unreadable::Newer(format).into()),
        _ => RedisError::protocol().into(),
    }
}

/// What is stored was not written by any release.
pub fn invalid_record() -> Error {
    Unreadable::Damaged(serde_json::Error::custom("what stands around it is damaged")).into()
}
