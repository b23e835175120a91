//! Writes batches of entries to SQLite.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::SqliteLedger;
use super::error::failed;
use crate::domain::entry::Entry;
use crate::domain::id::{ParticipantId, SessionKey};
use crate::ledger::row::{Columns, SessionColumns};
use crate::ledger::sql::decode;
use crate::ledger::{Error, Recorded};

/// Rows per statement. Few sizes, so that each statement is prepared once.
const ROWS_PER_STATEMENT: [usize; 3] = [100, 10, 1];

const INSERT_SNAPSHOTS: &str = "insert into session_snapshot (tenant, session_id, epoch, version, at, \
    previous, body_digest, digest, body, change, repeat_key, repeat_body) ";
/// Ignores rows that are there already.
const IF_ABSENT: &str = " on conflict (tenant, session_id, epoch, version, digest) do nothing";

const UPSERT_SESSIONS: &str = "insert into session (tenant, session_id, epoch, version, digest, \
    status, sync_mode, due_at, updated_at, participants, metadata) ";
/// An old or repeated batch never replaces a newer row.
const IF_NEWER: &str = " on conflict (tenant, session_id) do update \
    set epoch = excluded.epoch, version = excluded.version, digest = excluded.digest, \
        status = excluded.status, sync_mode = excluded.sync_mode, due_at = excluded.due_at, \
        updated_at = excluded.updated_at, participants = excluded.participants, metadata = excluded.metadata \
    where (excluded.epoch, excluded.version) > (session.epoch, session.version)";

const LAST_ARRIVAL: &str = "select coalesce(max(arrival), 0) from session_snapshot";
const FORKS: &str = "select tenant, session_id \
    from session_snapshot late \
    where arrival > $1 and exists ( \
        select 1 from session_snapshot early \
        where early.tenant = late.tenant and early.session_id = late.session_id \
        and early.epoch = late.epoch and early.version = late.version and early.arrival < late.arrival)";

type Statement = QueryBuilder<Sqlite>;
type NewestRows<'a> = HashMap<&'a SessionKey, (Columns<'a>, SessionColumns)>;

impl SqliteLedger {
    pub(super) async fn write_batch(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        let mut batch = self.begin_write().await?;
        let before: i64 = sqlx::query_scalar(LAST_ARRIVAL).fetch_one(&mut *batch).await.map_err(failed)?;
        let mut newest = NewestRows::new();
        let new = execute_all(&mut batch, chunks(entries).map(|chunk| snapshots(chunk, &mut newest))).await?;
        let newest: Vec<_> = newest.into_values().collect();
        execute_all(&mut batch, chunks(&newest).map(|chunk| Ok(sessions(chunk)))).await?;
        let forks = if new == 0 { Vec::new() } else { forks(&mut batch, before).await? };
        batch.commit().await.map_err(failed)?;
        Ok(Recorded { new, forks })
    }
}

/// Splits into chunks of [`ROWS_PER_STATEMENT`].
fn chunks<T>(mut rest: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = ROWS_PER_STATEMENT.into_iter().find(|size| *size <= rest.len())?;
        let (chunk, after) = rest.split_at(size);
        rest = after;
        Some(chunk)
    })
}

fn keep_newer<'a>(newest: &mut NewestRows<'a>, mut columns: Columns<'a>) {
    // An entry without a body is skipped: the version after it has one.
    let Some(session) = columns.session.take() else {
        return;
    };
    let is_newer = |(kept, _): &(Columns<'_>, _)| columns.entry.link.position > kept.entry.link.position;
    if newest.get(&columns.entry.key).is_none_or(is_newer) {
        newest.insert(&columns.entry.key, (columns, session));
    }
}

/// Executes statements in order and counts the changed rows. SQLite executes one in its own
/// thread while the next is built.
async fn execute_all(
    connection: &mut SqliteConnection,
    mut statements: impl Iterator<Item = Result<Statement, Error>>,
) -> Result<u64, Error> {
    let mut changed = 0;
    let mut next = statements.next().transpose()?;
    while let Some(mut statement) = next {
        let executed = statement.build().execute(&mut *connection);
        let (done, after) = futures::join!(executed, async { statements.next().transpose() });
        changed += done.map_err(failed)?.rows_affected();
        next = after?;
    }
    Ok(changed)
}

fn snapshots<'a>(chunk: &'a [Arc<Entry>], newest: &mut NewestRows<'a>) -> Result<Statement, Error> {
    let rows = chunk.iter().map(|entry| Columns::of(entry)).collect::<Result<Vec<_>, _>>()?;
    let mut statement = Statement::new(INSERT_SNAPSHOTS);
    statement.push_values(&rows, |mut row, columns| {
        let Entry { key, link, idempotency, .. } = columns.entry;
        row.push_bind(key.tenant.as_str())
            .push_bind(key.session.as_str())
            .push_bind(link.position.epoch)
            .push_bind(columns.version)
            .push_bind(link.at.as_ms())
            .push_bind(link.previous.as_bytes().as_slice())
            .push_bind(link.body.as_bytes().as_slice())
            .push_bind(columns.digest.as_bytes().as_slice())
            .push_bind(columns.body)
            .push_bind(columns.change)
            .push_bind(idempotency.as_ref().map(|record| record.key.as_bytes().as_slice()))
            .push_bind(idempotency.as_ref().map(|record| record.body.as_bytes().as_slice()));
    });
    statement.push(IF_ABSENT);
    for columns in rows {
        keep_newer(newest, columns);
    }
    Ok(statement)
}

fn sessions(chunk: &[(Columns<'_>, SessionColumns)]) -> Statement {
    let mut statement = Statement::new(UPSERT_SESSIONS);
    statement.push_values(chunk, |mut row, (columns, session)| {
        let Entry { key, link, .. } = columns.entry;
        row.push_bind(key.tenant.as_str())
            .push_bind(key.session.as_str())
            .push_bind(link.position.epoch)
            .push_bind(columns.version)
            .push_bind(columns.digest.as_bytes().as_slice())
            .push_bind(session.status.as_str())
            .push_bind(session.sync_mode.as_str())
            .push_bind(session.due_at)
            .push_bind(session.updated_at)
            .push_bind(ids(&session.participants))
            .push_bind(texts(&session.metadata));
    });
    statement.push(IF_NEWER);
    statement
}

fn ids(participants: &[ParticipantId]) -> String {
    participants.iter().map(ParticipantId::as_str).collect::<Value>().to_string()
}

fn texts(metadata: &[(String, String)]) -> String {
    metadata.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Value>().to_string()
}

/// Sessions with a row after the arrival `before` whose position already had another row.
async fn forks(connection: &mut SqliteConnection, before: i64) -> Result<Vec<SessionKey>, Error> {
    let rows = sqlx::query(FORKS).bind(before).fetch_all(connection).await.map_err(failed)?;
    rows.iter().map(decode::key).collect()
}
