//! What SQLite is told: batches, dead letters, the heartbeat.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::SqliteLedger;
use super::error::failed;
use crate::domain::entry::Entry;
use crate::domain::id::{ParticipantId, SessionKey};
use crate::domain::session::restore::OUTAGE_MS;
use crate::domain::time::Timestamp;
use crate::ledger::row::{Columns, Listed};
use crate::ledger::{ABSENCE_KEPT_MS, Error, Recorded};

/// Rows a statement. Few sizes, so that every statement is prepared once and kept.
const SIZES: [usize; 3] = [100, 10, 1];

const SNAPSHOT: &str = "insert into session_snapshot (tenant, session_id, epoch, version, at, \
    previous, body_digest, digest, body, change, repeat_key, repeat_body) ";
/// Absorbs a batch that comes again because its acknowledgement was lost.
const ONCE: &str = " on conflict (tenant, session_id, epoch, version, digest) do nothing";

const SESSION: &str = "insert into session (tenant, session_id, epoch, version, digest, \
    status, sync_mode, due_at, updated_at, participants, metadata) ";
/// A batch that comes late or again never takes a session back.
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

const BURY: &str = "insert into dead_letter (tenant, session_id, position, at, previous, body_digest, digest, \
    body, change, repeat_key, repeat_body, reason, buried_at) \
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
    on conflict (tenant, session_id, position, digest) do nothing";

const UNBURY: &str = "delete from dead_letter \
    where tenant = $1 and session_id = $2 and position = $3 and digest = $4";

/// Before the beat that ends it: nobody else writes in between.
const ABSENCE: &str = "insert into absence (gone_at, back_at) select at, $1 from heartbeat where $1 - at >= $2 \
    on conflict (gone_at) do nothing";

/// Somebody was there all along, or it was long ago.
const NO_ABSENCE: &str = "delete from absence where gone_at >= $1 or back_at < $2";

const BEAT: &str = "insert into heartbeat (one, at) values (1, $1) \
    on conflict (one) do update set at = max(heartbeat.at, excluded.at)";

/// Passive: it waits for nobody, and nobody waits for it.
const FOLD: &str = "pragma wal_checkpoint(passive)";

type Statement = QueryBuilder<Sqlite>;
type Newest<'a> = HashMap<&'a SessionKey, (Columns<'a>, Listed)>;

impl SqliteLedger {
    pub(super) async fn write_entries(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        let mut batch = self.begin_write().await?;
        let before: i64 = sqlx::query_scalar(LAST_ARRIVAL).fetch_one(&mut *batch).await.map_err(failed)?;
        let mut newest = Newest::new();
        let new = execute_all(&mut batch, parts(entries).map(|part| snapshots(part, &mut newest))).await?;
        let newest: Vec<_> = newest.into_values().collect();
        execute_all(&mut batch, parts(&newest).map(|part| Ok(sessions(part)))).await?;
        let forks = if new == 0 { Vec::new() } else { forks(&mut batch, before).await? };
        batch.commit().await.map_err(failed)?;
        Ok(Recorded { new, forks })
    }

    pub(super) async fn write_dead_letter(&self, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error> {
        let link = &entry.link;
        sqlx::query(BURY)
            .bind(entry.key.tenant.as_str())
            .bind(entry.key.session.as_str())
            .bind(link.position.to_string())
            .bind(link.at.as_ms())
            .bind(link.previous.as_bytes().as_slice())
            .bind(link.body.as_bytes().as_slice())
            .bind(link.digest().as_bytes().as_slice())
            .bind(entry.body.as_deref())
            .bind(entry.change.as_ref())
            .bind(entry.idempotency.as_ref().map(|repeat| repeat.key.as_bytes().as_slice()))
            .bind(entry.idempotency.as_ref().map(|repeat| repeat.body.as_bytes().as_slice()))
            .bind(reason)
            .bind(at.as_ms())
            .execute(&self.write)
            .await
            .map(drop)
            .map_err(failed)
    }

    pub(super) async fn remove_dead_letter(&self, entry: &Entry) -> Result<bool, Error> {
        let query = sqlx::query(UNBURY)
            .bind(entry.key.tenant.as_str())
            .bind(entry.key.session.as_str())
            .bind(entry.link.position.to_string())
            .bind(entry.link.digest().as_bytes().as_slice());
        let removed = query.execute(&self.write).await.map_err(failed)?;
        Ok(removed.rows_affected() > 0)
    }

    pub(super) async fn write_beat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        let mut told = self.begin_write().await?;
        let absence = sqlx::query(ABSENCE).bind(since.as_ms()).bind(OUTAGE_MS);
        absence.execute(&mut *told).await.map_err(failed)?;
        let forgotten = sqlx::query(NO_ABSENCE).bind(since.as_ms()).bind(at.as_ms() - ABSENCE_KEPT_MS);
        forgotten.execute(&mut *told).await.map_err(failed)?;
        sqlx::query(BEAT).bind(at.as_ms()).execute(&mut *told).await.map_err(failed)?;
        told.commit().await.map_err(failed)?;
        // Whatever it cannot fold now it folds with the next beat.
        let _ = sqlx::query(FOLD).execute(&self.fold).await;
        Ok(())
    }
}

/// Cuts into the few sizes that statements come in.
fn parts<T>(mut rest: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rest.len())?;
        let (part, after) = rest.split_at(size);
        rest = after;
        Some(part)
    })
}

fn keep_newer<'a>(newest: &mut Newest<'a>, mut columns: Columns<'a>) {
    // Without its body there is nothing to list: the version after it has one.
    let Some(listed) = columns.listed.take() else {
        return;
    };
    let is_newer = |(kept, _): &(Columns<'_>, _)| columns.entry.link.position > kept.entry.link.position;
    if newest.get(&columns.entry.key).is_none_or(is_newer) {
        newest.insert(&columns.entry.key, (columns, listed));
    }
}

/// Executes statements in order and counts the rows they changed. While SQLite,
/// in a thread of its own, works on one, the next is made.
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

fn snapshots<'a>(part: &'a [Arc<Entry>], newest: &mut Newest<'a>) -> Result<Statement, Error> {
    let part = part.iter().map(|entry| Columns::of(entry)).collect::<Result<Vec<_>, _>>()?;
    let mut statement = Statement::new(SNAPSHOT);
    statement.push_values(&part, |mut row, columns| {
        let Entry { key, link, idempotency: repeat, .. } = columns.entry;
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
            .push_bind(repeat.as_ref().map(|repeat| repeat.key.as_bytes().as_slice()))
            .push_bind(repeat.as_ref().map(|repeat| repeat.body.as_bytes().as_slice()));
    });
    statement.push(ONCE);
    for columns in part {
        keep_newer(newest, columns);
    }
    Ok(statement)
}

fn sessions(part: &[(Columns<'_>, Listed)]) -> Statement {
    let mut statement = Statement::new(SESSION);
    statement.push_values(part, |mut row, (columns, listed)| {
        let Entry { key, link, .. } = columns.entry;
        row.push_bind(key.tenant.as_str())
            .push_bind(key.session.as_str())
            .push_bind(link.position.epoch)
            .push_bind(columns.version)
            .push_bind(columns.digest.as_bytes().as_slice())
            .push_bind(listed.status.as_str())
            .push_bind(listed.sync_mode.as_str())
            .push_bind(listed.due_at)
            .push_bind(listed.updated_at)
            .push_bind(ids(&listed.participants))
            .push_bind(texts(&listed.metadata));
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

/// Whose rows, of those that came after `before`, met another at their position.
async fn forks(connection: &mut SqliteConnection, before: i64) -> Result<Vec<SessionKey>, Error> {
    let rows = sqlx::query(FORKS).bind(before).fetch_all(connection).await.map_err(failed)?;
    rows.iter().map(super::decode::key).collect()
}
