//! Dead letters: entries that the ledger refused for good.

use super::SqlDatabase;
use super::connection::SqlValue::{Bytes, Number, Text};
use super::connection::{SqlConnection as _, SqlRow as _, of_session};
use super::decode::{dead_letter, dead_position, key};
use crate::domain::entry::Entry;
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::ledger::row::dead_letter_key;
use crate::ledger::{DeadLetter, DeadLetterSummary, Error, MAX_DEAD_LETTERS};

const INSERT: &str = "insert into dead_letter \
        (tenant, session_id, position, at, previous, body_digest, digest, body, change, \
        repeat_key, repeat_body, reason, buried_at) \
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
    on conflict (tenant, session_id, position, digest) do nothing";
const DELETE: &str = "delete from dead_letter \
    where tenant = $1 and session_id = $2 and position = $3 and digest = $4";
const PAGE: &str = "select * \
    from dead_letter \
    where (tenant, session_id, position, digest) > ($1, $2, $3, $4) \
    order by tenant, session_id, position, digest \
    limit $5";
const COUNT: &str = "select count(*) as letters from dead_letter";
const SESSIONS: &str = "select distinct tenant, session_id from dead_letter order by tenant, session_id limit $1";

pub(super) async fn add(database: &impl SqlDatabase, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error> {
    let Entry { key, link, body, change, idempotency } = entry;
    let (position, digest) = (link.position.to_string(), link.digest());
    // A PostgreSQL text cannot hold a NUL, which must not refuse a dead letter.
    let reason = reason.replace('\0', "\u{fffd}");
    let values = [
        Text(&position),
        Number(link.at.as_ms()),
        Bytes(Some(link.previous.as_bytes())),
        Bytes(Some(link.body.as_bytes())),
        Bytes(Some(digest.as_bytes())),
        Bytes(body.as_deref()),
        Bytes(Some(change)),
        Bytes(idempotency.as_ref().map(|record| record.key.as_bytes().as_slice())),
        Bytes(idempotency.as_ref().map(|record| record.body.as_bytes().as_slice())),
        Text(&reason),
        Number(at.as_ms()),
    ];
    database.writer().await?.execute(INSERT, &of_session(key, &values)).await.map(drop)
}

pub(super) async fn remove(database: &impl SqlDatabase, entry: &Entry) -> Result<bool, Error> {
    let (position, digest) = (entry.link.position.to_string(), entry.link.digest());
    let values = [Text(&position), Bytes(Some(digest.as_bytes()))];
    Ok(database.writer().await?.execute(DELETE, &of_session(&entry.key, &values)).await? > 0)
}

pub(super) async fn page(
    database: &impl SqlDatabase,
    after: Option<&DeadLetter>,
    limit: u32,
) -> Result<Vec<DeadLetter>, Error> {
    let (tenant, session, position, digest) = dead_letter_key(after);
    let values = [Text(tenant), Text(session), Text(&position), Bytes(Some(&digest)), Number(i64::from(limit))];
    database.reader().await?.all(PAGE, &values).await?.iter().map(dead_letter).collect()
}

pub(super) async fn of<D: SqlDatabase>(database: &D, key: &SessionKey) -> Result<Vec<DeadLetter>, Error> {
    let values = of_session(key, &[Number(i64::from(MAX_DEAD_LETTERS))]);
    database.reader().await?.all(D::DEAD_LETTERS_OF_SESSION, &values).await?.iter().map(dead_letter).collect()
}

pub(super) async fn first_position<D: SqlDatabase>(
    database: &D,
    key: &SessionKey,
    after: Option<Position>,
) -> Result<Option<Position>, Error> {
    let after = after.unwrap_or(Position { epoch: i64::MIN, version: 0 });
    let after = [Number(after.epoch), Number(i64::try_from(after.version).unwrap_or(i64::MAX))];
    let found = database.reader().await?.first(D::FIRST_DEAD_POSITION, &of_session(key, &after)).await?;
    found.as_ref().map(dead_position).transpose()
}

pub(super) async fn sessions(database: &impl SqlDatabase, limit: u32) -> Result<DeadLetterSummary, Error> {
    let mut reader = database.reader().await?;
    let letters = reader.first(COUNT, &[]).await?.map_or(Ok(0), |row| row.number("letters"))?;
    if letters == 0 {
        return Ok(DeadLetterSummary::default());
    }
    let rows = reader.all(SESSIONS, &[Number(i64::from(limit))]).await?;
    let sessions = rows.iter().map(key).collect::<Result<_, _>>()?;
    Ok(DeadLetterSummary { letters: letters.cast_unsigned(), sessions })
}
