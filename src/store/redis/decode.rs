//! Decodes what Redis stores and replies.

use std::sync::Arc;

use bytes::Bytes;
use fred::types::Value;
use serde::de::Error as _;

use super::fencing::Generation;
use crate::domain::chain::Digest;
use crate::domain::id::SessionKey;
use crate::domain::idempotency::{IdempotencyKey, IdempotencyRecord};
use crate::domain::session::Session;
use crate::domain::session::stored::Unreadable;
use crate::domain::time::Timestamp;
use crate::redis::{RedisError, Reply};
use crate::store::keys;
use crate::store::outbox::EntryId;
use crate::store::partition::Partition;
use crate::store::{Error, StoredSession};

/// A stored session: its header, `1 <may expire> <head> <generation> <position> <entry id or ->
/// <operations>`, and its body.
pub fn stored_session(
    header: &Value,
    body: &Value,
    partition: Partition,
    current: &Generation,
) -> Result<StoredSession, Error> {
    let header = header.as_str().ok_or_else(invalid_record)?;
    let [_, _, head, generation, _, entry, _] = split_words(&header).ok_or_else(invalid_record)?;
    let generation: u64 = generation.parse().map_err(|_| invalid_record())?;
    let entry_id = match entry {
        "-" => None,
        name => {
            let number = id_parts(name).ok_or_else(invalid_record)?;
            Some(EntryId { partition: Some(partition), generation, number })
        }
    };
    Ok(StoredSession {
        session: Arc::new(Session::from_stored(body.as_bytes().ok_or_else(invalid_record)?)?),
        head: head.parse().map_err(|_| invalid_record())?,
        entry_id,
        needs_restore: generation != current.number,
    })
}

fn split_words<const N: usize>(text: &str) -> Option<[&str; N]> {
    text.split(' ').collect::<Vec<_>>().try_into().ok()
}

/// An outbox entry's id, from its name in the stream.
pub fn entry_id(name: &Value, partition: Partition, generation: &Generation) -> Result<EntryId, RedisError> {
    let number = name.as_str().and_then(|name| id_parts(&name)).ok_or_else(RedisError::protocol)?;
    Ok(EntryId { partition: Some(partition), generation: generation.number, number })
}

fn id_parts(name: &str) -> Option<(u64, u64)> {
    let (ms, count) = name.split_once('-')?;
    Some((ms.parse().ok()?, count.parse().ok()?))
}

/// An idempotency record: `<position> <instant> `, the digest of the request's body, the change.
pub fn idempotency_record(key: Digest, value: &Value) -> Result<IdempotencyRecord, Error> {
    let record: Bytes = value.clone().convert().map_err(|_| RedisError::protocol())?;
    let mut spaces = record.iter().enumerate().filter(|(_, byte)| **byte == b' ').map(|(at, _)| at);
    let (Some(first), Some(second)) = (spaces.next(), spaces.next()) else { return Err(invalid_record()) };
    let text = |part: &[u8]| std::str::from_utf8(part).map(str::to_owned).map_err(|_| invalid_record());
    let body = record.get(second + 1..second + 33).ok_or_else(invalid_record)?;
    Ok(IdempotencyRecord {
        key: IdempotencyKey { key, body: Digest::from_slice(body).map_err(|_| invalid_record())? },
        position: text(&record[..first])?.parse().map_err(|_| invalid_record())?,
        at: Timestamp::from_ms(text(&record[first + 1..second])?.parse().map_err(|_| invalid_record())?),
        change: record.slice(second + 33..),
    })
}

/// An idempotency record, as it is stored.
pub fn encode_record(record: &IdempotencyRecord) -> Bytes {
    let front = format!("{} {} ", record.position, record.at.as_ms());
    [front.as_bytes(), record.key.body.as_bytes(), &record.change].concat().into()
}

/// Members of the due set and their instants, alternating.
pub fn due(fields: Vec<Value>) -> Result<Vec<(Timestamp, SessionKey)>, Error> {
    let mut due = Vec::with_capacity(fields.len() / 2);
    let mut fields = fields.into_iter();
    while let (Some(member), Some(at)) = (fields.next(), fields.next()) {
        let member = member.as_str().and_then(|member| keys::session(&member)).ok_or_else(invalid_record)?;
        let at = at.as_i64().ok_or_else(invalid_record)?;
        due.push((Timestamp::from_ms(at), member));
    }
    Ok(due)
}

/// A reply that the caller does not know: a newer format, or no reply of ours.
pub fn invalid_reply(reply: Reply) -> Error {
    match reply.tag.as_str() {
        "newer" => reply.only::<u16>().map_or_else(|_| invalid_record(), |format| Unreadable::Newer(format).into()),
        _ => RedisError::protocol().into(),
    }
}

/// A stored record that no release wrote.
pub fn invalid_record() -> Error {
    Unreadable::Damaged(serde_json::Error::custom("its record is damaged")).into()
}
