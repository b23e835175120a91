//! What Redis holds, read back.

use std::sync::Arc;

use bytes::Bytes;
use fred::types::Value;
use serde::de::Error as _;

use super::lives::Life;
use crate::domain::chain::Digest;
use crate::domain::entry::{Answered, Repeat};
use crate::domain::id::SessionKey;
use crate::domain::session::Session;
use crate::domain::session::stored::Unreadable;
use crate::domain::time::Timestamp;
use crate::redis::{Answer, Failure};
use crate::store::keys;
use crate::store::outbox::Ticket;
use crate::store::partition::Partition;
use crate::store::{Error, Held};

/// A stored session: its header, `1 <may go> <head> <life> <position> <ticket or ->
/// <operations>`, and its body.
pub fn held(header: &Value, body: &Value, partition: Partition, present: &Life) -> Result<Held, Error> {
    let header = header.as_str().ok_or_else(damaged)?;
    let [_, _, head, life, _, ticket, _] = words(&header).ok_or_else(damaged)?;
    let life: u64 = life.parse().map_err(|_| damaged())?;
    let ticket = match ticket {
        "-" => None,
        text => Some(Ticket { partition: Some(partition), life, number: number(text).ok_or_else(damaged)? }),
    };
    Ok(Held {
        session: Arc::new(Session::from_stored(body.as_bytes().ok_or_else(damaged)?)?),
        head: head.parse().map_err(|_| damaged())?,
        ticket,
        is_doubtful: life != present.number,
    })
}

fn words<const N: usize>(text: &str) -> Option<[&str; N]> {
    text.split(' ').collect::<Vec<_>>().try_into().ok()
}

/// An entry's name in the stream.
pub fn ticket(name: &Value, partition: Partition, life: &Life) -> Result<Ticket, Failure> {
    let number = name.as_str().and_then(|name| number(&name)).ok_or_else(Failure::garbled)?;
    Ok(Ticket { partition: Some(partition), life: life.number, number })
}

fn number(name: &str) -> Option<(u64, u64)> {
    let (ms, count) = name.split_once('-')?;
    Some((ms.parse().ok()?, count.parse().ok()?))
}

/// An answer: `<position> <instant> `, the digest of the body it came with, what happened.
pub fn answered(key: Digest, answer: &Bytes) -> Result<Answered, Error> {
    let mut spaces = answer.iter().enumerate().filter(|(_, byte)| **byte == b' ').map(|(at, _)| at);
    let (Some(first), Some(second)) = (spaces.next(), spaces.next()) else { return Err(damaged()) };
    let text = |part: &[u8]| std::str::from_utf8(part).map(str::to_owned).map_err(|_| damaged());
    let body = answer.get(second + 1..second + 33).ok_or_else(damaged)?;
    Ok(Answered {
        repeat: Repeat { key, body: Digest::from_slice(body).map_err(|_| damaged())? },
        position: text(&answer[..first])?.parse().map_err(|_| damaged())?,
        at: Timestamp::from_ms(text(&answer[first + 1..second])?.parse().map_err(|_| damaged())?),
        change: answer.slice(second + 33..),
    })
}

/// How an answer is stored.
pub fn of_answered(answered: &Answered) -> Bytes {
    let front = format!("{} {} ", answered.position, answered.at.as_ms());
    [front.as_bytes(), answered.repeat.body.as_bytes(), &answered.change].concat().into()
}

/// Members of the due set and their instants, in turn.
pub fn due(parts: Vec<Value>) -> Result<Vec<(Timestamp, SessionKey)>, Error> {
    let mut due = Vec::with_capacity(parts.len() / 2);
    let mut parts = parts.into_iter();
    while let (Some(member), Some(at)) = (parts.next(), parts.next()) {
        let member = member.as_str().and_then(|member| keys::session(&member)).ok_or_else(damaged)?;
        let at = at.as_i64().ok_or_else(damaged)?;
        due.push((Timestamp::from_ms(at), member));
    }
    Ok(due)
}

/// What a script says where it does neither what was asked nor anything else.
pub fn refused(answer: Answer) -> Error {
    match answer.word.as_str() {
        "newer" => answer.only::<u16>().map_or_else(|_| damaged(), |format| Unreadable::Newer(format).into()),
        _ => Failure::garbled().into(),
    }
}

/// What is stored was not written by any release.
pub fn damaged() -> Error {
    Unreadable::Damaged(serde_json::Error::custom("what stands around it is damaged")).into()
}
