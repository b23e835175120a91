//! Decodes rows of SQLite.

use bytes::Bytes;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::error::failed;
use crate::domain::chain::{Digest, Link};
use crate::domain::entry::IdempotencyKey;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::ledger::error::refused;
use crate::ledger::lineage::LinkId;
use crate::ledger::{Due, Error, IdempotencyRecord, Row};

pub(super) fn row(row: &SqliteRow) -> Result<Row, Error> {
    let body: Option<String> = row.try_get("body").map_err(failed)?;
    let (link, body) = (link(row)?, body.map(Bytes::from));
    Ok(Row { key: key(row)?, link, body, change: change(row)?, superseded: false })
}

pub(super) fn link_id(row: &SqliteRow) -> Result<LinkId, Error> {
    let epoch = row.try_get("epoch").map_err(failed)?;
    let version = row.try_get("version").map_err(failed)?;
    Ok(LinkId { epoch, version, digest: digest(row, "digest")? })
}

/// Whether the row shares its position with another; only queries for changes give that column.
pub(super) fn is_forked(row: &SqliteRow) -> Result<bool, Error> {
    row.try_get("forked").map_err(failed)
}

pub(super) fn link(row: &SqliteRow) -> Result<Link, Error> {
    Ok(Link {
        position: position(row)?,
        at: instant(row, "at")?,
        previous: digest(row, "previous")?,
        body: digest(row, "body_digest")?,
    })
}

pub(super) fn idempotency_record(row: &SqliteRow) -> Result<IdempotencyRecord, Error> {
    Ok(IdempotencyRecord {
        repeat: idempotency_key(row)?,
        position: position(row)?,
        at: instant(row, "at")?,
        change: change(row)?,
    })
}

pub(super) fn idempotency_key(row: &SqliteRow) -> Result<IdempotencyKey, Error> {
    Ok(IdempotencyKey { key: digest(row, "repeat_key")?, body: digest(row, "repeat_body")? })
}

pub(super) fn due(row: &SqliteRow) -> Result<Due, Error> {
    Ok((Timestamp::from_ms(row.try_get("due_at").map_err(failed)?), key(row)?))
}

pub(super) fn key(row: &SqliteRow) -> Result<SessionKey, Error> {
    let tenant: &str = row.try_get("tenant").map_err(failed)?;
    let session: &str = row.try_get("session_id").map_err(failed)?;
    Ok(SessionKey {
        tenant: TenantId::new(tenant).map_err(refused)?,
        session: SessionId::new(session).map_err(refused)?,
    })
}

fn position(row: &SqliteRow) -> Result<Position, Error> {
    let version: i64 = row.try_get("version").map_err(failed)?;
    let epoch = row.try_get("epoch").map_err(failed)?;
    Ok(Position { epoch, version: u64::try_from(version).map_err(refused)? })
}

pub(super) fn digest(row: &SqliteRow, column: &str) -> Result<Digest, Error> {
    let bytes: &[u8] = row.try_get(column).map_err(failed)?;
    Digest::from_slice(bytes).map_err(refused)
}

pub(super) fn instant(row: &SqliteRow, column: &str) -> Result<Timestamp, Error> {
    row.try_get(column).map(Timestamp::from_ms).map_err(failed)
}

pub(super) fn change(row: &SqliteRow) -> Result<Bytes, Error> {
    let change: String = row.try_get("change").map_err(failed)?;
    Ok(Bytes::from(change))
}
