//! Writes to PostgreSQL: batches of entries, and the months that they go to.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};

use super::error::failed;
use super::label;
use super::label::Label;
use super::schema::MONTHS_AHEAD;
use super::{PostgresLedger, copy};
use crate::domain::chain::Digest;
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::ledger::error::refused;
use crate::ledger::row::{Columns, SessionColumns};
use crate::ledger::sql::decode;
use crate::ledger::{Error, Recorded};
use crate::telemetry::outage::{LogThrottle, chain};

/// An old or repeated batch never replaces a newer row. All writers lock the rows in one order,
/// changed or not. So they cannot deadlock, and each sees what the one before has written.
const SESSIONS: &str = "with newest as ( \
        select * \
        from unnest( \
            $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[], $7::text[], \
            $8::text[], $9::bigint[], $10::bigint[], $11::bytea[] \
        ) with ordinality newest ( \
            tenant, session_id, epoch, version, digest, at, status, sync_mode, due_at, updated_at, labels, turn) \
    ), listed as ( \
        insert into session \
            (tenant, session_id, epoch, version, digest, at, status, sync_mode, due_at, updated_at) \
        select tenant, session_id, epoch, version, digest, at, status, sync_mode, due_at, updated_at \
        from newest \
        order by turn \
        on conflict (tenant, session_id) do update \
        set epoch = excluded.epoch, version = excluded.version, digest = excluded.digest, at = excluded.at, \
            status = excluded.status, sync_mode = excluded.sync_mode, due_at = excluded.due_at, \
            updated_at = excluded.updated_at, before_epoch = session.epoch, before_version = session.version \
        where (excluded.epoch, excluded.version) > (session.epoch, session.version) \
        returning tenant, session_id, before_epoch, before_version \
    ), labelled as ( \
        insert into session_label (tenant, session_id, labels) \
        select tenant, session_id, array( \
            select substring(labels from place for $12) \
            from generate_series(1, length(labels), $12) place) \
        from newest \
        join listed using (tenant, session_id) \
        on conflict (tenant, session_id) do update \
        set labels = excluded.labels \
        where session_label.labels <> excluded.labels \
    ) \
    select tenant, session_id, before_epoch, before_version \
    from listed";

/// Ignores rows that are there already. A new row is a fork if another has its position: in
/// this batch, or in any month. Only suspects are looked up in all months.
const SNAPSHOTS: &str = "with entry as ( \
        select * \
        from unnest( \
            $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bytea[], \
            $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[], $13::boolean[] \
        ) with ordinality entry ( \
            tenant, session_id, epoch, version, at, previous, body_digest, digest, body, change, \
            repeat_key, repeat_body, is_suspect, turn) \
    ), recorded as ( \
        insert into session_snapshot \
            (tenant, session_id, epoch, version, at, previous, body_digest, digest, body, change, \
            repeat_key, repeat_body) \
        select tenant, session_id, epoch, version, at, previous, body_digest, digest, body, change, \
            repeat_key, repeat_body \
        from entry \
        order by turn \
        on conflict (tenant, session_id, epoch, version, digest, at) do nothing \
        returning arrival, tenant, session_id, epoch, version, digest \
    ), numbered as ( \
        select recorded.*, row_number() over ( \
            partition by tenant, session_id, epoch, version \
            order by arrival) as nth \
        from recorded \
    ), late as ( \
        select distinct arrival, numbered.tenant, numbered.session_id \
        from numbered \
        join entry using (tenant, session_id, epoch, version, digest) \
        left join lateral ( \
            select true as is_met \
            from session_snapshot early \
            where entry.is_suspect and early.tenant = entry.tenant and early.session_id = entry.session_id \
            and early.epoch = entry.epoch and early.version = entry.version \
            limit 1 \
        ) early on true \
        where nth > 1 or is_met \
    ) \
    select (select count(*) from recorded) as new, array(select tenant from late order by arrival) as tenants, \
        array(select session_id from late order by arrival) as sessions";

const PREPARE_MONTHS: &str = "select session_snapshot_prepare($1, $2)";

/// Half of the shortest month, so that each month is prepared about twice.
const PREPARE_INTERVAL_MS: i64 = 14 * 24 * 3_600_000;

static PREPARE_FAILURES: LogThrottle = LogThrottle::new();

/// The newest position, before a batch, of each session that the batch has changed.
type Before = HashMap<SessionKey, Option<Position>>;

/// The newest entry of a session in a batch.
struct NewestEntry<'a> {
    entry: &'a Entry,
    digest: Digest,
    columns: SessionColumns,
}

impl PostgresLedger {
    pub(super) async fn write_batch(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        let mut columns = entries.iter().map(|entry| Columns::of(entry)).collect::<Result<Vec<_>, _>>()?;
        if columns.is_empty() {
            return Ok(Recorded::default());
        }
        columns.sort_by(by_position);
        let newest = newest(&mut columns);
        let mut batch = self.begin_write().await?;
        let before = sessions(&mut batch, &newest).await?;
        let (suspects, plain) = (0..columns.len()).partition::<Vec<_>, _>(|row| may_fork(&columns, *row, &before));
        let select = |rows: Vec<usize>| rows.into_iter().map(|row| &columns[row]).collect::<Vec<_>>();
        let recorded = match try_copy(&mut batch, &select(plain)).await? {
            Some(copied) => snapshots(&mut batch, &select(suspects), &before).await?.with_new(copied),
            None => snapshots(&mut batch, &columns.iter().collect::<Vec<_>>(), &before).await?,
        };
        batch.commit().await.map_err(failed)?;
        Ok(recorded)
    }

    /// Makes the partitions of the next months. After a failure the next heartbeat retries;
    /// until then the default partition takes new rows.
    pub(super) async fn prepare_months(&self, at: Timestamp) {
        let prepare_at = self.prepare_at.load(atomic::Ordering::Relaxed);
        if at.as_ms() < prepare_at {
            return;
        }
        let made =
            sqlx::query_scalar::<_, i32>(PREPARE_MONTHS).bind(at.as_ms()).bind(MONTHS_AHEAD).fetch_one(&self.write);
        match made.await {
            Ok(made) => {
                self.prepare_at.store(at.as_ms() + PREPARE_INTERVAL_MS, atomic::Ordering::Relaxed);
                tracing::debug!(made, "prepared partitions of the next months");
            }
            Err(error) => {
                if let Some(times) = PREPARE_FAILURES.next() {
                    tracing::warn!(error = chain(&error), times, "failed to prepare partitions");
                }
            }
        }
    }
}

/// By session and position. The sort is stable: rows of one position keep their order.
fn by_position(one: &Columns<'_>, other: &Columns<'_>) -> Ordering {
    let position = |columns: &Columns<'_>| columns.entry.link.position;
    one.entry.key.cmp(&other.entry.key).then(position(one).cmp(&position(other)))
}

/// The newest entry of each session, the first of its position. Skips entries without a body,
/// as the version after it has one.
fn newest<'a>(columns: &mut [Columns<'a>]) -> Vec<NewestEntry<'a>> {
    let mut newest: Vec<NewestEntry<'a>> = Vec::new();
    for Columns { entry, digest, session, .. } in columns {
        let Some(session) = session.take() else { continue };
        let this = NewestEntry { entry, digest: *digest, columns: session };
        match newest.last_mut().filter(|last| last.entry.key == this.entry.key) {
            Some(last) if last.entry.link.position == this.entry.link.position => {}
            Some(last) => *last = this,
            None => newest.push(this),
        }
    }
    newest
}

async fn sessions(batch: &mut PgConnection, newest: &[NewestEntry<'_>]) -> Result<Before, Error> {
    if newest.is_empty() {
        return Ok(Before::new());
    }
    let entries = || newest.iter().map(|newest| newest.entry);
    let columns = || newest.iter().map(|newest| &newest.columns);
    let rows = sqlx::query(SESSIONS)
        .bind(entries().map(|entry| entry.key.tenant.as_str()).collect::<Vec<_>>())
        .bind(entries().map(|entry| entry.key.session.as_str()).collect::<Vec<_>>())
        .bind(entries().map(|entry| entry.link.position.epoch).collect::<Vec<_>>())
        .bind(entries().map(|entry| entry.link.position.version.cast_signed()).collect::<Vec<_>>())
        .bind(newest.iter().map(|newest| newest.digest.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(entries().map(|entry| entry.link.at.as_ms()).collect::<Vec<_>>())
        .bind(columns().map(|columns| columns.status.as_str()).collect::<Vec<_>>())
        .bind(columns().map(|columns| columns.sync_mode.as_str()).collect::<Vec<_>>())
        .bind(columns().map(|columns| columns.due_at).collect::<Vec<_>>())
        .bind(columns().map(|columns| columns.updated_at).collect::<Vec<_>>())
        // An array of arrays must be rectangular, so the labels of a session are concatenated.
        .bind(newest.iter().map(|newest| labels(newest).concat()).collect::<Vec<_>>())
        .bind(label::LABEL_BYTES)
        .fetch_all(batch)
        .await
        .map_err(failed)?;
    rows.iter().map(|row| Ok((decode::key(row)?, before(row)?))).collect()
}

fn labels(newest: &NewestEntry<'_>) -> Vec<Label> {
    label::of_session(&newest.entry.key.tenant, &newest.columns)
}

fn before(row: &PgRow) -> Result<Option<Position>, Error> {
    let epoch: Option<i64> = row.try_get("before_epoch").map_err(failed)?;
    let version: Option<i64> = row.try_get("before_version").map_err(failed)?;
    Ok(epoch.zip(version).map(|(epoch, version)| Position { epoch, version: version.cast_unsigned() }))
}

/// Whether the ledger may have another row at its position. It has none at a position after the
/// newest.
fn is_suspect(before: &Before, entry: &Entry) -> bool {
    let newest = before.get(&entry.key).copied().flatten();
    newest.is_none_or(|before| entry.link.position <= before)
}

/// Whether another row may have its position, in the batch or in the ledger.
fn may_fork(columns: &[Columns<'_>], row: usize, before: &Before) -> bool {
    let is_at = |other: Option<&Columns<'_>>| other.is_some_and(|other| by_position(other, &columns[row]).is_eq());
    let is_duplicate = is_at(columns[..row].last()) || is_at(columns.get(row + 1));
    is_duplicate || is_suspect(before, columns[row].entry)
}

/// Copies rows that should be new; returns their number, or `None` if one was there.
async fn try_copy(batch: &mut PgConnection, columns: &[&Columns<'_>]) -> Result<Option<u64>, Error> {
    if columns.is_empty() {
        return Ok(Some(0));
    }
    let mut savepoint = batch.begin().await.map_err(failed)?;
    match copy::snapshots(&mut savepoint, columns).await {
        Ok(new) => savepoint.commit().await.map(|()| Some(new)).map_err(failed),
        Err(error) if error.as_database_error().is_some_and(DatabaseError::is_unique_violation) => {
            savepoint.rollback().await.map(|()| None).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

async fn snapshots(batch: &mut PgConnection, columns: &[&Columns<'_>], before: &Before) -> Result<Recorded, Error> {
    if columns.is_empty() {
        return Ok(Recorded::default());
    }
    let entries = || columns.iter().map(|columns| columns.entry);
    let links = || entries().map(|entry| &entry.link);
    let idempotency = || entries().map(|entry| entry.idempotency.as_ref());
    let row = sqlx::query(SNAPSHOTS)
        .bind(entries().map(|entry| entry.key.tenant.as_str()).collect::<Vec<_>>())
        .bind(entries().map(|entry| entry.key.session.as_str()).collect::<Vec<_>>())
        .bind(links().map(|link| link.position.epoch).collect::<Vec<_>>())
        .bind(columns.iter().map(|columns| columns.version).collect::<Vec<_>>())
        .bind(links().map(|link| link.at.as_ms()).collect::<Vec<_>>())
        .bind(links().map(|link| link.previous.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(links().map(|link| link.body.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(columns.iter().map(|columns| columns.digest.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(columns.iter().map(|columns| columns.body.map(str::as_bytes)).collect::<Vec<_>>())
        .bind(columns.iter().map(|columns| columns.change.as_bytes()).collect::<Vec<_>>())
        .bind(idempotency().map(|key| key.map(|record| record.key.as_bytes().as_slice())).collect::<Vec<_>>())
        .bind(idempotency().map(|key| key.map(|record| record.body.as_bytes().as_slice())).collect::<Vec<_>>())
        .bind(entries().map(|entry| is_suspect(before, entry)).collect::<Vec<_>>())
        .fetch_one(batch)
        .await
        .map_err(failed)?;
    let tenants: Vec<String> = row.try_get("tenants").map_err(failed)?;
    let sessions: Vec<String> = row.try_get("sessions").map_err(failed)?;
    let forks = tenants.into_iter().zip(sessions).map(|(tenant, session)| key(tenant, session));
    let new: i64 = row.try_get("new").map_err(failed)?;
    Ok(Recorded { new: new.cast_unsigned(), forks: forks.collect::<Result<_, _>>()? })
}

fn key(tenant: String, session: String) -> Result<SessionKey, Error> {
    let (tenant, session) = (TenantId::new(tenant), SessionId::new(session));
    Ok(SessionKey { tenant: tenant.map_err(refused)?, session: session.map_err(refused)? })
}
