//! Decodes rows.

use bytes::Bytes;

use super::connection::SqlRow;
use crate::domain::chain::{Digest, Link};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::idempotency::{IdempotencyKey, IdempotencyRecord};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::ledger::error::refused;
use crate::ledger::lineage::{ForkedLink, LinkId};
use crate::ledger::{DeadLetter, Due, Error, Row};

pub(in crate::ledger) fn row(row: &impl SqlRow) -> Result<Row, Error> {
    Ok(Row { key: key(row)?, link: link(row)?, body: body(row)?, change: change(row)?, superseded: false })
}

pub(super) fn link_id(row: &impl SqlRow) -> Result<LinkId, Error> {
    Ok(LinkId { epoch: row.number("epoch")?, version: row.number("version")?, digest: digest(row, "digest")? })
}

/// Whether the row shares its position with another; only queries for changes give that column.
pub(super) fn is_forked(row: &impl SqlRow) -> Result<bool, Error> {
    row.flag("forked")
}

pub(super) fn link(row: &impl SqlRow) -> Result<Link, Error> {
    let version = u64::try_from(row.number("version")?).map_err(refused)?;
    link_at(row, Position { epoch: row.number("epoch")?, version })
}

fn link_at(row: &impl SqlRow, position: Position) -> Result<Link, Error> {
    let (previous, body) = (digest(row, "previous")?, digest(row, "body_digest")?);
    Ok(Link { position, at: instant(row, "at")?, previous, body })
}

pub(super) fn forked_link(row: &impl SqlRow) -> Result<ForkedLink, Error> {
    let (previous, digest) = (digest(row, "previous")?, digest(row, "digest")?);
    Ok(ForkedLink { previous, digest, at: instant(row, "at")? })
}

pub(super) fn idempotency_record(row: &impl SqlRow) -> Result<IdempotencyRecord, Error> {
    let Link { position, at, .. } = link(row)?;
    Ok(IdempotencyRecord { key: idempotency_key(row)?, position, at, change: change(row)? })
}

fn idempotency_key(row: &impl SqlRow) -> Result<IdempotencyKey, Error> {
    Ok(IdempotencyKey { key: digest(row, "repeat_key")?, body: digest(row, "repeat_body")? })
}

pub(super) fn due(row: &impl SqlRow) -> Result<Due, Error> {
    Ok((instant(row, "due_at")?, key(row)?))
}

pub(super) fn dead_letter(row: &impl SqlRow) -> Result<DeadLetter, Error> {
    let link = link_at(row, dead_position(row)?)?;
    let has_idempotency_key = row.optional_bytes("repeat_key")?.is_some();
    let idempotency = has_idempotency_key.then(|| idempotency_key(row)).transpose()?;
    let (reason, added_at) = (row.text("reason")?.to_owned(), instant(row, "buried_at")?);
    Ok(DeadLetter {
        entry: Entry { key: key(row)?, link, body: body(row)?, change: change(row)?, idempotency },
        reason,
        added_at,
    })
}

/// The position of a dead letter is a text, because an invalid entry may have any.
pub(super) fn dead_position(row: &impl SqlRow) -> Result<Position, Error> {
    row.text("position")?.parse().map_err(refused)
}

pub(in crate::ledger) fn key(row: &impl SqlRow) -> Result<SessionKey, Error> {
    let tenant = TenantId::new(row.text("tenant")?).map_err(refused)?;
    Ok(SessionKey { tenant, session: SessionId::new(row.text("session_id")?).map_err(refused)? })
}

pub(super) fn digest(row: &impl SqlRow, column: &str) -> Result<Digest, Error> {
    Digest::from_slice(row.bytes(column)?).map_err(refused)
}

pub(super) fn instant(row: &impl SqlRow, column: &str) -> Result<Timestamp, Error> {
    row.number(column).map(Timestamp::from_ms)
}

fn body(row: &impl SqlRow) -> Result<Option<Bytes>, Error> {
    Ok(row.optional_bytes("body")?.map(Bytes::copy_from_slice))
}

pub(super) fn change(row: &impl SqlRow) -> Result<Bytes, Error> {
    row.bytes("change").map(Bytes::copy_from_slice)
}
