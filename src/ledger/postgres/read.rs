//! Reads from PostgreSQL: a session's versions, a tenant's sessions, due sessions.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row as _};

use super::PostgresLedger;
use super::decode::{change, due, idempotency_record, is_forked, link, link_id, row};
use super::error::read_failed as failed;
use super::label;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::session::restore::Outage;
use crate::domain::time::Timestamp;
use crate::ledger::lineage::{Lineage, LinkId};
use crate::ledger::page::{CHANGE_OVERHEAD, HistoryRow, PAGE_BYTES, Page};
use crate::ledger::row::DELETED;
use crate::ledger::{Due, Error, Filter, Heartbeats, IdempotencyRecord, Row, STORE_START_TOLERANCE_MS};

/// The columns of a change, and whether it shares its position with another. The inner
/// condition must not split a position. The body is excluded: it may be far longer than the
/// change.
macro_rules! changes {
    ($inner:literal, $outer:literal) => {
        concat!(
            "select snapshot.* \
            from ( \
                select tenant, session_id, epoch, version, at, previous, body_digest, digest, change, arrival, \
                    repeat_key, repeat_body, count(*) over (partition by epoch, version) > 1 as forked \
                from session_snapshot ",
            $inner,
            ") snapshot ",
            $outer
        )
    };
}

const NEWEST: &str = "select snapshot.* \
    from session \
    join session_snapshot snapshot using (tenant, session_id, epoch, version, digest, at) \
    where tenant = $1 and session_id = $2";
const BY_LINK: &str = "select * \
    from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version = $4 and digest = $5";
/// Sums up the lengths of a page before it is cut.
const HISTORY_PAGE: &str = concat!(
    "select * \
    from ( \
        select page.*, count(*) over () as found, \
            sum($6 + octet_length(change)) over (order by epoch, version, arrival) \
                - $6 - octet_length(change) as before \
        from (",
    changes!(
        "where tenant = $1 and session_id = $2 and (epoch, version) > ($3, $4)",
        "order by epoch, version, arrival \
        limit $5"
    ),
    ") page \
    ) sized \
    where before < $7 \
    order by epoch, version, arrival"
);
const REST_OF_POSITION: &str = changes!(
    "where tenant = $1 and session_id = $2 and epoch = $3 and version = $4",
    "where arrival > $5 \
    order by arrival"
);
const IDEMPOTENCY_RECORDS: &str = changes!(
    "where tenant = $1 and session_id = $2 and (epoch, version) >= ($3, $4)",
    "where at >= $5 and repeat_key is not null \
    order by epoch, version, arrival"
);
/// The page first, then a look-up for each of its rows, which `limit` enforces. Bodies past the
/// end of the page are measured, not read.
const SESSIONS: &str = "select * \
    from ( \
        select snapshot.*, count(*) over () as found, \
            sum(coalesce(octet_length(snapshot.body), 0)) over (order by snapshot.session_id) \
                - coalesce(octet_length(snapshot.body), 0) as before \
        from ( \
            select * \
            from session \
            where session.tenant = ";
const SESSION_SNAPSHOTS: &str = ") page \
        cross join lateral ( \
            select * \
            from session_snapshot \
            where tenant = page.tenant and session_id = page.session_id and epoch = page.epoch \
            and version = page.version and digest = page.digest and at = page.at \
            limit 1 \
        ) snapshot \
    ) sized \
    where before < ";
const SESSION_ORDER: &str = " order by session_id";
const DUE: &str = "select due_at, tenant, session_id \
    from session \
    where due_at is not null and due_at <= $1 and (due_at, tenant, session_id) > ($3, $4, $5) \
    order by due_at, tenant, session_id \
    limit $2";
const LAST_HEARTBEAT: &str = "select at from heartbeat";
/// The outage that ended at about the start of a store.
const OUTAGE_BEFORE: &str = "select gone_at, back_at from absence \
    where gone_at <= $1 + $2 and back_at >= $1 - $2 order by back_at desc limit 1";

impl PostgresLedger {
    pub(super) async fn read_newest(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        let query = sqlx::query(NEWEST).bind(key.tenant.as_str()).bind(key.session.as_str());
        let found = query.fetch_optional(&mut *self.reader().await?).await.map_err(failed)?;
        found.as_ref().map(row).transpose()
    }

    pub(super) async fn read_version(&self, key: &SessionKey, version: u64) -> Result<Option<Row>, Error> {
        let Ok(version) = i64::try_from(version) else {
            return Ok(None);
        };
        let mut transaction = self.begin_read().await?;
        let link = Lineage::of(&mut *transaction, key).version(version).await?;
        row_of(&mut transaction, key, link).await
    }

    pub(super) async fn read_at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error> {
        let mut transaction = self.begin_read().await?;
        let link = Lineage::of(&mut *transaction, key).at(at).await?;
        row_of(&mut transaction, key, link).await
    }

    pub(super) async fn read_history(
        &self,
        key: &SessionKey,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<HistoryRow>, Error> {
        let mut transaction = self.begin_read().await?;
        let (mut rows, total) = page(&mut transaction, key, after, limit).await?;
        if let Some(last) = rows.last().filter(|_| count(&rows) < total) {
            let rest = rest_of_position(&mut transaction, key, last).await?;
            rows.extend(rest);
        }
        // The query counts up to one row past `limit`, and more rows may come after that.
        let has_more = total > i64::from(limit) || total > count(&rows);
        let mut lineage = Lineage::of(&mut *transaction, key);
        let segments = lineage.segments().await?;
        let mut history = Vec::with_capacity(rows.len());
        for row in &rows {
            let survives = lineage.contains(&segments, link_id(row)?, is_forked(row)?).await?;
            history.push(HistoryRow { link: link(row)?, change: change(row)?, superseded: !survives });
        }
        Ok(Page { rows: history, has_more })
    }

    pub(super) async fn read_sessions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Page<Row>, Error> {
        let mut query = QueryBuilder::<Postgres>::new(SESSIONS);
        query.push_bind(tenant.as_str());
        push_filter(&mut query, tenant, filter);
        if let Some(after) = after {
            query.push(" and session.session_id > ").push_bind(after.as_str());
        }
        query.push(" order by session.session_id limit ").push_bind(i64::from(limit) + 1);
        query.push(SESSION_SNAPSHOTS).push_bind(i64::from(PAGE_BYTES)).push(SESSION_ORDER);
        // Each filter needs a plan of its own: statuses and labels differ in selectivity by thousands.
        let query = query.build().persistent(false);
        let mut rows = query.fetch_all(&mut *self.reader().await?).await.map_err(failed)?;
        let total = total(&rows)?;
        rows.truncate(limit as usize);
        let has_more = total > count(&rows);
        let rows = rows.iter().map(row).collect::<Result<_, _>>()?;
        Ok(Page { rows, has_more })
    }

    pub(super) async fn read_due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        let (at, tenant, session) =
            after.map_or((i64::MIN, "", ""), |(at, key)| (at.as_ms(), key.tenant.as_str(), key.session.as_str()));
        let query = sqlx::query(DUE).bind(until.as_ms()).bind(i64::from(limit)).bind(at).bind(tenant).bind(session);
        query.fetch_all(&mut *self.reader().await?).await.map_err(failed)?.iter().map(due).collect()
    }

    pub(super) async fn read_idempotency_records(
        &self,
        key: &SessionKey,
        since: Timestamp,
    ) -> Result<Vec<IdempotencyRecord>, Error> {
        let mut transaction = self.begin_read().await?;
        let before = Lineage::of(&mut *transaction, key).newest_at(since - 1).await?;
        let (epoch, version) = before.map_or((i64::MIN, 0), |(segment, version)| (segment.epoch, version));
        let query = sqlx::query(IDEMPOTENCY_RECORDS)
            .bind(key.tenant.as_str())
            .bind(key.session.as_str())
            .bind(epoch)
            .bind(version)
            .bind(since.as_ms());
        let rows = query.fetch_all(&mut *transaction).await.map_err(failed)?;
        let mut lineage = Lineage::of(&mut *transaction, key);
        let segments = lineage.segments().await?;
        let mut records = Vec::new();
        for row in &rows {
            if lineage.contains(&segments, link_id(row)?, is_forked(row)?).await? {
                records.push(idempotency_record(row)?);
            }
        }
        Ok(records)
    }

    pub(super) async fn read_heartbeats(&self, store_started_at: Timestamp) -> Result<Heartbeats, Error> {
        let mut reader = self.reader().await?;
        let last: Option<i64> =
            sqlx::query_scalar(LAST_HEARTBEAT).fetch_optional(&mut *reader).await.map_err(failed)?;
        let outage = sqlx::query_as(OUTAGE_BEFORE).bind(store_started_at.as_ms()).bind(STORE_START_TOLERANCE_MS);
        let outage: Option<(i64, i64)> = outage.fetch_optional(&mut *reader).await.map_err(failed)?;
        let outage =
            outage.map(|(gone, back)| Outage { from: Timestamp::from_ms(gone), until: Timestamp::from_ms(back) });
        Ok(Heartbeats { last_heartbeat: last.map(Timestamp::from_ms), outage })
    }
}

/// Binds every value of the caller; none becomes part of the statement.
fn push_filter(query: &mut QueryBuilder<Postgres>, tenant: &TenantId, filter: &Filter) {
    match &filter.status {
        Some(status) => query.push(" and session.status = ").push_bind(status.as_str()),
        None => query.push(" and session.status <> ").push_bind(DELETED),
    };
    if let Some(after) = filter.updated_after {
        query.push(" and session.updated_at > ").push_bind(after.as_ms());
    }
    if let Some(allowed) = &filter.sessions {
        let allowed: Vec<String> = allowed.iter().map(SessionId::to_string).collect();
        query.push(" and session.session_id = any(").push_bind(allowed).push(")");
    }
    let labels = label::of_filter(tenant, filter);
    if !labels.is_empty() {
        query.push(" and session.session_id in (select session_id from session_label where tenant = ");
        query.push_bind(tenant.as_str()).push(" and labels @> ").push_bind(labels).push(")");
    }
}

/// The rows of a page, and the number of rows from its first on, counted up to `limit` + 1.
async fn page(
    connection: &mut PgConnection,
    key: &SessionKey,
    after: Option<Position>,
    limit: u32,
) -> Result<(Vec<PgRow>, i64), Error> {
    let after = after.unwrap_or(Position { epoch: i64::MIN, version: 0 });
    let query = sqlx::query(HISTORY_PAGE)
        .bind(key.tenant.as_str())
        .bind(key.session.as_str())
        .bind(after.epoch)
        .bind(i64::try_from(after.version).unwrap_or(i64::MAX))
        .bind(i64::from(limit) + 1)
        .bind(CHANGE_OVERHEAD)
        .bind(i64::from(PAGE_BYTES));
    let mut rows = query.fetch_all(connection).await.map_err(failed)?;
    let total = total(&rows)?;
    rows.truncate(limit as usize);
    Ok((rows, total))
}

/// The number of rows before the page was cut, which each row repeats.
fn total(rows: &[PgRow]) -> Result<i64, Error> {
    rows.first().map_or(Ok(0), |first| first.try_get("found").map_err(failed))
}

fn count<T>(rows: &[T]) -> i64 {
    i64::try_from(rows.len()).unwrap_or(i64::MAX)
}

/// Later rows at the position of `last`, which a page must not split.
async fn rest_of_position(connection: &mut PgConnection, key: &SessionKey, last: &PgRow) -> Result<Vec<PgRow>, Error> {
    let query = sqlx::query(REST_OF_POSITION)
        .bind(key.tenant.as_str())
        .bind(key.session.as_str())
        .bind(last.try_get::<i64, _>("epoch").map_err(failed)?)
        .bind(last.try_get::<i64, _>("version").map_err(failed)?)
        .bind(last.try_get::<i64, _>("arrival").map_err(failed)?);
    query.fetch_all(connection).await.map_err(failed)
}

/// The row that `link` identifies.
async fn row_of(connection: &mut PgConnection, key: &SessionKey, link: Option<LinkId>) -> Result<Option<Row>, Error> {
    let Some(link) = link else { return Ok(None) };
    let query = sqlx::query(BY_LINK)
        .bind(key.tenant.as_str())
        .bind(key.session.as_str())
        .bind(link.epoch)
        .bind(link.version)
        .bind(link.digest.as_bytes().as_slice());
    let found = query.fetch_optional(connection).await.map_err(failed)?;
    found.as_ref().map(row).transpose()
}
