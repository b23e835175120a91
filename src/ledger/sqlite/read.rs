//! Reads from SQLite: a session's versions, a tenant's sessions, due sessions.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::SqliteLedger;
use super::decode::{change, due, idempotency_record, is_forked, link, link_id, row};
use super::error::failed;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::session::restore::Outage;
use crate::domain::time::Timestamp;
use crate::ledger::lineage::{Lineage, LinkId};
use crate::ledger::page::{CHANGE_OVERHEAD, HistoryRow, PAGE_BYTES, Page};
use crate::ledger::row::DELETED;
use crate::ledger::{Due, Error, Filter, Heartbeats, IdempotencyRecord, Row, STORE_START_TOLERANCE_MS};

/// The columns of a change, and whether it shares its position with another. The body is
/// excluded: it may be far longer than the change.
macro_rules! changes {
    ($columns:literal, $rest:literal) => {
        concat!(
            "select snapshot.tenant, snapshot.session_id, snapshot.epoch, snapshot.version, snapshot.at, \
                snapshot.previous, snapshot.body_digest, snapshot.digest, snapshot.change, snapshot.arrival, \
                snapshot.repeat_key, snapshot.repeat_body, exists ( \
                select 1 from session_snapshot other \
                where other.tenant = snapshot.tenant and other.session_id = snapshot.session_id \
                and other.epoch = snapshot.epoch and other.version = snapshot.version \
                and other.arrival <> snapshot.arrival) as forked ",
            $columns,
            $rest
        )
    };
}

const NEWEST: &str = "select snapshot.* \
    from session \
    join session_snapshot snapshot using (tenant, session_id, epoch, version, digest) \
    where tenant = $1 and session_id = $2";
const BY_LINK: &str = "select * \
    from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version = $4 and digest = $5";
/// Measures the page first, by lengths alone. SQLite reaches columns after a body over the pages
/// of the body, so a part of its length counts too.
const HISTORY_PAGE: &str = changes!(
    ", sized.found ",
    "from ( \
        select arrival, epoch, version, count(*) over () as found, \
            sum(size) over (order by epoch, version, arrival) - size as before \
        from ( \
            select arrival, epoch, version, \
                $6 + octet_length(change) + coalesce(octet_length(body), 0) / 64 as size \
            from session_snapshot \
            where tenant = $1 and session_id = $2 and (epoch, version) > ($3, $4) \
            order by epoch, version, arrival \
            limit $5)) sized \
    cross join session_snapshot snapshot on snapshot.arrival = sized.arrival \
    where sized.before < $7 \
    order by sized.epoch, sized.version, sized.arrival"
);
const REST_OF_POSITION: &str = changes!(
    "",
    "from session_snapshot snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version = $4 and arrival > $5 \
    order by arrival"
);
const IDEMPOTENCY_RECORDS: &str = changes!(
    "",
    "from session_snapshot snapshot \
    where tenant = $1 and session_id = $2 and (epoch, version) >= ($3, $4) \
    and at >= $5 and repeat_key is not null \
    order by epoch, version, arrival"
);
/// Measures the page first: bodies past its end are not read.
const SESSIONS: &str = "select snapshot.*, sized.found \
    from ( \
        select arrival, session_id, count(*) over () as found, \
            sum(size) over (order by session_id) - size as before \
        from ( \
            select snapshot.arrival, session.session_id, coalesce(octet_length(snapshot.body), 0) as size \
            from session \
            join session_snapshot snapshot using (tenant, session_id, epoch, version, digest) \
            where session.tenant = ";
const SESSION_SNAPSHOTS: &str = ")) sized \
    cross join session_snapshot snapshot on snapshot.arrival = sized.arrival \
    where sized.before < ";
const SESSION_ORDER: &str = " order by sized.session_id";
const DUE: &str = "select due_at, tenant, session_id \
    from session \
    where due_at is not null and due_at <= $1 and (due_at, tenant, session_id) > ($3, $4, $5) \
    order by due_at, tenant, session_id \
    limit $2";
const LAST_HEARTBEAT: &str = "select at from heartbeat";
/// The outage that ended at about the start of a store.
const OUTAGE_BEFORE: &str = "select gone_at, back_at from absence \
    where gone_at <= $1 + $2 and back_at >= $1 - $2 order by back_at desc limit 1";

impl SqliteLedger {
    pub(super) async fn read_newest(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        let query = sqlx::query(NEWEST).bind(key.tenant.as_str()).bind(key.session.as_str());
        let mut transaction = self.begin_read().await?;
        let found = query.fetch_optional(&mut *transaction).await.map_err(failed)?;
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
        let mut query = QueryBuilder::<Sqlite>::new(SESSIONS);
        query.push_bind(tenant.as_str());
        push_filter(&mut query, filter);
        if let Some(after) = after {
            query.push(" and session.session_id > ").push_bind(after.as_str());
        }
        query.push(" order by session.session_id limit ").push_bind(i64::from(limit) + 1);
        query.push(SESSION_SNAPSHOTS).push_bind(i64::from(PAGE_BYTES)).push(SESSION_ORDER);
        let mut transaction = self.begin_read().await?;
        let mut rows = query.build().fetch_all(&mut *transaction).await.map_err(failed)?;
        let total = total(&rows)?;
        rows.truncate(limit as usize);
        let has_more = total > count(&rows);
        let rows = rows.iter().map(row).collect::<Result<_, _>>()?;
        Ok(Page { rows, has_more })
    }

    pub(super) async fn read_due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        let (at, tenant, session) =
            after.map_or((i64::MIN, "", ""), |(at, key)| (at.as_ms(), key.tenant.as_str(), key.session.as_str()));
        let query = sqlx::query(DUE).bind(until.as_ms()).bind(limit).bind(at).bind(tenant).bind(session);
        let mut transaction = self.begin_read().await?;
        query.fetch_all(&mut *transaction).await.map_err(failed)?.iter().map(due).collect()
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
        let mut transaction = self.begin_read().await?;
        let last: Option<i64> =
            sqlx::query_scalar(LAST_HEARTBEAT).fetch_optional(&mut *transaction).await.map_err(failed)?;
        let outage = sqlx::query_as(OUTAGE_BEFORE).bind(store_started_at.as_ms()).bind(STORE_START_TOLERANCE_MS);
        let outage: Option<(i64, i64)> = outage.fetch_optional(&mut *transaction).await.map_err(failed)?;
        let outage =
            outage.map(|(gone, back)| Outage { from: Timestamp::from_ms(gone), until: Timestamp::from_ms(back) });
        Ok(Heartbeats { last_heartbeat: last.map(Timestamp::from_ms), outage })
    }
}

/// Binds every value of the caller; none becomes part of the statement.
fn push_filter(query: &mut QueryBuilder<Sqlite>, filter: &Filter) {
    match &filter.status {
        Some(status) => query.push(" and session.status = ").push_bind(status.as_str()),
        None => query.push(" and session.status <> ").push_bind(DELETED),
    };
    if let Some(sync_mode) = &filter.sync_mode {
        query.push(" and session.sync_mode = ").push_bind(sync_mode.as_str());
    }
    if let Some(after) = filter.updated_after {
        query.push(" and session.updated_at > ").push_bind(after.as_ms());
    }
    if let Some(allowed) = &filter.sessions {
        let allowed: Vec<&str> = allowed.iter().map(SessionId::as_str).collect();
        query.push(" and session.session_id in (select value from json_each(");
        query.push_bind(serde_json::json!(allowed).to_string()).push("))");
    }
    if let Some(participant) = &filter.participant_id {
        query.push(" and exists (select 1 from json_each(session.participants) where value = ");
        query.push_bind(participant.as_str()).push(")");
    }
    for (name, text) in &filter.metadata {
        query.push(" and exists (select 1 from json_each(session.metadata) where key = ");
        query.push_bind(name.as_str()).push(" and value = ").push_bind(text.as_str()).push(")");
    }
}

/// The rows of a page, and the number of rows from its first on, counted up to `limit` + 1.
async fn page(
    connection: &mut SqliteConnection,
    key: &SessionKey,
    after: Option<Position>,
    limit: u32,
) -> Result<(Vec<SqliteRow>, i64), Error> {
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
fn total(rows: &[SqliteRow]) -> Result<i64, Error> {
    rows.first().map_or(Ok(0), |first| first.try_get("found").map_err(failed))
}

fn count<T>(rows: &[T]) -> i64 {
    i64::try_from(rows.len()).unwrap_or(i64::MAX)
}

/// Later rows at the position of `last`, which a page must not split.
async fn rest_of_position(
    connection: &mut SqliteConnection,
    key: &SessionKey,
    last: &SqliteRow,
) -> Result<Vec<SqliteRow>, Error> {
    let query = sqlx::query(REST_OF_POSITION)
        .bind(key.tenant.as_str())
        .bind(key.session.as_str())
        .bind(last.try_get::<i64, _>("epoch").map_err(failed)?)
        .bind(last.try_get::<i64, _>("version").map_err(failed)?)
        .bind(last.try_get::<i64, _>("arrival").map_err(failed)?);
    query.fetch_all(connection).await.map_err(failed)
}

/// The row that `link` identifies.
async fn row_of(
    connection: &mut SqliteConnection,
    key: &SessionKey,
    link: Option<LinkId>,
) -> Result<Option<Row>, Error> {
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
