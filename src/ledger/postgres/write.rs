//! What PostgreSQL is told: batches, dead letters, the heartbeat.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};

use super::label;
use super::label::Label;
use super::schema::MONTHS_AHEAD;
use super::{PostgresLedger, copy, failed};
use crate::domain::chain::Digest;
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::session::restore::OUTAGE_MS;
use crate::domain::time::Timestamp;
use crate::ledger::row::{Columns, Listed, refused};
use crate::ledger::{ABSENCE_KEPT_MS, Error, Recorded};
use crate::telemetry::outage::{LogThrottle, chain};

/// A batch that comes late or again never takes a session back. The rows are locked in
/// one order by all who write, whether they change or not, so that nobody waits in a
/// circle, and what comes after sees what the one before has written.
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

/// Absorbs a batch that comes again because its acknowledgement was lost. A new row is
/// a fork if another at its position came before: in this batch, or in any month. The
/// months are looked through only for what may have met another.
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

const BURY: &str = "insert into dead_letter (tenant, session_id, position, at, previous, body_digest, digest, \
    body, change, repeat_key, repeat_body, reason, buried_at) \
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
    on conflict (tenant, session_id, position, digest) do nothing";

const UNBURY: &str = "delete from dead_letter \
    where tenant = $1 and session_id = $2 and position = $3 and digest = $4";

/// Whoever beats at the same time waits here, and then finds no absence any more.
const ALONE: &str = "select at from heartbeat for update";

/// Before the beat that ends it.
const ABSENCE: &str = "insert into absence (gone_at, back_at) select at, $1 from heartbeat where $1 - at >= $2 \
    on conflict (gone_at) do nothing";

/// Somebody was there all along, or it was long ago.
const NO_ABSENCE: &str = "delete from absence where gone_at >= $1 or back_at < $2";

const BEAT: &str = "insert into heartbeat (one, at) values (1, $1) \
    on conflict (one) do update set at = greatest(heartbeat.at, excluded.at)";

const PREPARE: &str = "select session_snapshot_prepare($1, $2)";

/// Half of the shortest month: months are looked after about twice each.
const HALF_A_MONTH_MS: i64 = 14 * 24 * 3_600_000;

static UNPREPARED: LogThrottle = LogThrottle::new();

/// The newest position of each session that a batch has moved on, before it did.
type Before = HashMap<SessionKey, Option<Position>>;

/// The newest that a batch has of a session.
struct Newest<'a> {
    entry: &'a Entry,
    digest: Digest,
    listed: Listed,
}

impl PostgresLedger {
    pub(super) async fn write_entries(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        let mut columns = entries.iter().map(|entry| Columns::of(entry)).collect::<Result<Vec<_>, _>>()?;
        if columns.is_empty() {
            return Ok(Recorded::default());
        }
        columns.sort_by(by_place);
        let newest = newest(&mut columns);
        let mut batch = self.writing().await.map_err(failed)?;
        let before = sessions(&mut batch, &newest).await?;
        let (suspects, plain) = (0..columns.len()).partition::<Vec<_>, _>(|row| may_meet(&columns, *row, &before));
        let chosen = |rows: Vec<usize>| rows.into_iter().map(|row| &columns[row]).collect::<Vec<_>>();
        let recorded = match copied(&mut batch, &chosen(plain)).await? {
            Some(copied) => snapshots(&mut batch, &chosen(suspects), &before).await?.and(copied),
            None => snapshots(&mut batch, &columns.iter().collect::<Vec<_>>(), &before).await?,
        };
        batch.commit().await.map_err(failed)?;
        Ok(recorded)
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
            // The one thing a text cannot hold here; whoever is to be buried is not refused for its reason.
            .bind(reason.replace('\0', "\u{fffd}"))
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
        let mut told = self.write.begin().await.map_err(failed)?;
        sqlx::query(ALONE).execute(&mut *told).await.map_err(failed)?;
        let absence = sqlx::query(ABSENCE).bind(since.as_ms()).bind(OUTAGE_MS);
        absence.execute(&mut *told).await.map_err(failed)?;
        let forgotten = sqlx::query(NO_ABSENCE).bind(since.as_ms()).bind(at.as_ms() - ABSENCE_KEPT_MS);
        forgotten.execute(&mut *told).await.map_err(failed)?;
        sqlx::query(BEAT).bind(at.as_ms()).execute(&mut *told).await.map_err(failed)?;
        told.commit().await.map_err(failed)?;
        self.prepare_months(at).await;
        Ok(())
    }

    /// Makes the partitions of the months to come. What it cannot make now it makes
    /// with the next beat; until then the default partition takes what comes.
    async fn prepare_months(&self, at: Timestamp) {
        let prepared = self.prepared.load(atomic::Ordering::Relaxed);
        if at.as_ms() < prepared {
            return;
        }
        let made = sqlx::query_scalar::<_, i32>(PREPARE).bind(at.as_ms()).bind(MONTHS_AHEAD).fetch_one(&self.write);
        match made.await {
            Ok(made) => {
                self.prepared.store(at.as_ms() + HALF_A_MONTH_MS, atomic::Ordering::Relaxed);
                tracing::debug!(made, "the ledger's months are prepared");
            }
            Err(error) => {
                if let Some(times) = UNPREPARED.next() {
                    tracing::warn!(error = chain(&error), times, "failed to prepare a month");
                }
            }
        }
    }
}

/// By session and position. Of those at one position, the first to come stays the first.
fn by_place(one: &Columns<'_>, other: &Columns<'_>) -> Ordering {
    let place = |columns: &Columns<'_>| columns.entry.link.position;
    one.entry.key.cmp(&other.entry.key).then(place(one).cmp(&place(other)))
}

/// The newest of each session, the first to come of its position. One without its
/// body is passed over: there is nothing to list, and the version after it has one.
fn newest<'a>(columns: &mut [Columns<'a>]) -> Vec<Newest<'a>> {
    let mut newest: Vec<Newest<'a>> = Vec::new();
    for Columns { entry, digest, listed, .. } in columns {
        let Some(listed) = listed.take() else { continue };
        let this = Newest { entry, digest: *digest, listed };
        match newest.last_mut().filter(|last| last.entry.key == this.entry.key) {
            Some(last) if last.entry.link.position == this.entry.link.position => {}
            Some(last) => *last = this,
            None => newest.push(this),
        }
    }
    newest
}

async fn sessions(batch: &mut PgConnection, newest: &[Newest<'_>]) -> Result<Before, Error> {
    if newest.is_empty() {
        return Ok(Before::new());
    }
    let entries = || newest.iter().map(|newest| newest.entry);
    let listed = || newest.iter().map(|newest| &newest.listed);
    let found = sqlx::query(SESSIONS)
        .bind(entries().map(|entry| entry.key.tenant.as_str()).collect::<Vec<_>>())
        .bind(entries().map(|entry| entry.key.session.as_str()).collect::<Vec<_>>())
        .bind(entries().map(|entry| entry.link.position.epoch).collect::<Vec<_>>())
        .bind(entries().map(|entry| entry.link.position.version.cast_signed()).collect::<Vec<_>>())
        .bind(newest.iter().map(|newest| newest.digest.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(entries().map(|entry| entry.link.at.as_ms()).collect::<Vec<_>>())
        .bind(listed().map(|listed| listed.status.as_str()).collect::<Vec<_>>())
        .bind(listed().map(|listed| listed.sync_mode.as_str()).collect::<Vec<_>>())
        .bind(listed().map(|listed| listed.due_at).collect::<Vec<_>>())
        .bind(listed().map(|listed| listed.updated_at).collect::<Vec<_>>())
        // An array of arrays must be square, so each session's come in one piece.
        .bind(newest.iter().map(|newest| labels(newest).concat()).collect::<Vec<_>>())
        .bind(label::LENGTH)
        .fetch_all(batch)
        .await
        .map_err(failed)?;
    found.iter().map(|found| Ok((super::read::key(found)?, before(found)?))).collect()
}

fn labels(newest: &Newest<'_>) -> Vec<Label> {
    label::of(&newest.entry.key.tenant, &newest.listed)
}

fn before(found: &PgRow) -> Result<Option<Position>, Error> {
    let epoch: Option<i64> = found.try_get("before_epoch").map_err(failed)?;
    let version: Option<i64> = found.try_get("before_version").map_err(failed)?;
    Ok(epoch.zip(version).map(|(epoch, version)| Position { epoch, version: version.cast_unsigned() }))
}

/// Whether another row may stand at its position: all but what moved its session on.
fn is_suspect(before: &Before, entry: &Entry) -> bool {
    let moved_on = before.get(&entry.key).copied().flatten();
    moved_on.is_none_or(|before| entry.link.position <= before)
}

/// Whether another row may stand at its position, here or in the ledger.
fn may_meet(columns: &[Columns<'_>], row: usize, before: &Before) -> bool {
    let is_at = |other: Option<&Columns<'_>>| other.is_some_and(|other| by_place(other, &columns[row]).is_eq());
    let is_twin = is_at(columns[..row].last()) || is_at(columns.get(row + 1));
    is_twin || is_suspect(before, columns[row].entry)
}

/// Copies what should meet nothing; gives how many were new, or nothing if one was there.
async fn copied(batch: &mut PgConnection, columns: &[&Columns<'_>]) -> Result<Option<u64>, Error> {
    if columns.is_empty() {
        return Ok(Some(0));
    }
    let mut copying = batch.begin().await.map_err(failed)?;
    match copy::snapshots(&mut copying, columns).await {
        Ok(new) => copying.commit().await.map(|()| Some(new)).map_err(failed),
        Err(error) if error.as_database_error().is_some_and(DatabaseError::is_unique_violation) => {
            copying.rollback().await.map(|()| None).map_err(failed)
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
    let repeats = || entries().map(|entry| entry.idempotency.as_ref());
    let found = sqlx::query(SNAPSHOTS)
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
        .bind(repeats().map(|repeat| repeat.map(|repeat| repeat.key.as_bytes().as_slice())).collect::<Vec<_>>())
        .bind(repeats().map(|repeat| repeat.map(|repeat| repeat.body.as_bytes().as_slice())).collect::<Vec<_>>())
        .bind(entries().map(|entry| is_suspect(before, entry)).collect::<Vec<_>>())
        .fetch_one(batch)
        .await
        .map_err(failed)?;
    let tenants: Vec<String> = found.try_get("tenants").map_err(failed)?;
    let sessions: Vec<String> = found.try_get("sessions").map_err(failed)?;
    let forks = tenants.into_iter().zip(sessions).map(|(tenant, session)| key(tenant, session));
    let new: i64 = found.try_get("new").map_err(failed)?;
    Ok(Recorded { new: new.cast_unsigned(), forks: forks.collect::<Result<_, _>>()? })
}

fn key(tenant: String, session: String) -> Result<SessionKey, Error> {
    let (tenant, session) = (TenantId::new(tenant), SessionId::new(session));
    Ok(SessionKey { tenant: tenant.map_err(refused)?, session: session.map_err(refused)? })
}
