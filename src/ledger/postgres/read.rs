//! What PostgreSQL is asked: one session's versions, a tenant's sessions, what is due.

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
use crate::ledger::{AROUND_MS, Due, Error, Filter, Heartbeats, IdempotencyRecord, Row};

/// The columns of a change, and whether it shares its position with another. A position
/// is never cut by what stands inside. The body is none of the columns: a session may be
/// far longer than what happened to it.
macro_rules! changes {
    ($which:literal, $rest:literal) => {
        concat!(
            "select snapshot.* \
            from ( \
                select tenant, session_id, epoch, version, at, previous, body_digest, digest, change, arrival, \
                    repeat_key, repeat_body, count(*) over (partition by epoch, version) > 1 as forked \
                from session_snapshot ",
            $which,
            ") snapshot ",
            $rest
        )
    };
}

const NEWEST: &str = "select snapshot.* \
    from session \
    join session_snapshot snapshot using (tenant, session_id, epoch, version, digest, at) \
    where tenant = $1 and session_id = $2";
const LINK: &str = "select * \
    from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version = $4 and digest = $5";
/// The page is measured by its lengths before it is cut.
const AFTER: &str = concat!(
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
const ANSWERED: &str = changes!(
    "where tenant = $1 and session_id = $2 and (epoch, version) >= ($3, $4)",
    "where at >= $5 and repeat_key is not null \
    order by epoch, version, arrival"
);
/// The page first, then a look-up for each row of it, which `limit` makes sure of. Bodies
/// past the end of the page are measured and not read.
const SESSIONS: &str = "select * \
    from ( \
        select snapshot.*, count(*) over () as found, \
            sum(coalesce(octet_length(snapshot.body), 0)) over (order by snapshot.session_id) \
                - coalesce(octet_length(snapshot.body), 0) as before \
        from ( \
            select * \
            from session \
            where session.tenant = ";
const THEIR_SNAPSHOTS: &str = ") page \
        cross join lateral ( \
            select * \
            from session_snapshot \
            where tenant = page.tenant and session_id = page.session_id and epoch = page.epoch \
            and version = page.version and digest = page.digest and at = page.at \
            limit 1 \
        ) snapshot \
    ) sized \
    where before < ";
const IN_THEIR_ORDER: &str = " order by session_id";
const DUE: &str = "select due_at, tenant, session_id \
    from session \
    where due_at is not null and due_at <= $1 and (due_at, tenant, session_id) > ($3, $4, $5) \
    order by due_at, tenant, session_id \
    limit $2";
const LAST_BEAT: &str = "select at from heartbeat";

/// The one that ended when a store began to live, or a little before or after.
const ABSENCE: &str = "select gone_at, back_at from absence \
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
        let mut reading = self.begin_read().await?;
        let link = Lineage::of(&mut *reading, key).version(version).await?;
        row_of(&mut reading, key, link).await
    }

    pub(super) async fn read_at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error> {
        let mut reading = self.begin_read().await?;
        let link = Lineage::of(&mut *reading, key).at(at).await?;
        row_of(&mut reading, key, link).await
    }

    pub(super) async fn read_history(
        &self,
        key: &SessionKey,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<HistoryRow>, Error> {
        let mut reading = self.begin_read().await?;
        let (mut found, there) = page(&mut reading, key, after, limit).await?;
        if let Some(last) = found.last().filter(|_| count(&found) < there) {
            let rest = rest_of_position(&mut reading, key, last).await?;
            found.extend(rest);
        }
        // Where it asked for more than it may show, nobody has counted what comes after that.
        let has_more = there > i64::from(limit) || there > count(&found);
        let mut lineage = Lineage::of(&mut *reading, key);
        let segments = lineage.segments().await?;
        let mut rows = Vec::with_capacity(found.len());
        for found in &found {
            let survives = lineage.contains(&segments, link_id(found)?, is_forked(found)?).await?;
            rows.push(HistoryRow { link: link(found)?, change: change(found)?, superseded: !survives });
        }
        Ok(Page { rows, has_more })
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
        narrow(&mut query, tenant, filter);
        if let Some(after) = after {
            query.push(" and session.session_id > ").push_bind(after.as_str());
        }
        query.push(" order by session.session_id limit ").push_bind(i64::from(limit) + 1);
        query.push(THEIR_SNAPSHOTS).push_bind(i64::from(PAGE_BYTES)).push(IN_THEIR_ORDER);
        // Each plan is made for what is asked: how many a status or a label lets pass differs by thousands.
        let query = query.build().persistent(false);
        let mut found = query.fetch_all(&mut *self.reader().await?).await.map_err(failed)?;
        let there = there(&found)?;
        found.truncate(limit as usize);
        let has_more = there > count(&found);
        let rows = found.iter().map(row).collect::<Result<_, _>>()?;
        Ok(Page { rows, has_more })
    }

    pub(super) async fn read_due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        let (at, tenant, session) =
            after.map_or((i64::MIN, "", ""), |(at, key)| (at.as_ms(), key.tenant.as_str(), key.session.as_str()));
        let query = sqlx::query(DUE).bind(until.as_ms()).bind(i64::from(limit)).bind(at).bind(tenant).bind(session);
        query.fetch_all(&mut *self.reader().await?).await.map_err(failed)?.iter().map(due).collect()
    }

    pub(super) async fn read_answered(
        &self,
        key: &SessionKey,
        since: Timestamp,
    ) -> Result<Vec<IdempotencyRecord>, Error> {
        let mut reading = self.begin_read().await?;
        let stood = Lineage::of(&mut *reading, key).newest_at(since - 1).await?;
        let (epoch, version) = stood.map_or((i64::MIN, 0), |(segment, version)| (segment.epoch, version));
        let query = sqlx::query(ANSWERED)
            .bind(key.tenant.as_str())
            .bind(key.session.as_str())
            .bind(epoch)
            .bind(version)
            .bind(since.as_ms());
        let found = query.fetch_all(&mut *reading).await.map_err(failed)?;
        let mut lineage = Lineage::of(&mut *reading, key);
        let segments = lineage.segments().await?;
        let mut records = Vec::new();
        for found in &found {
            if lineage.contains(&segments, link_id(found)?, is_forked(found)?).await? {
                records.push(idempotency_record(found)?);
            }
        }
        Ok(records)
    }

    pub(super) async fn read_presence(&self, began: Timestamp) -> Result<Heartbeats, Error> {
        let mut reader = self.reader().await?;
        let last: Option<i64> = sqlx::query_scalar(LAST_BEAT).fetch_optional(&mut *reader).await.map_err(failed)?;
        let absence = sqlx::query_as(ABSENCE).bind(began.as_ms()).bind(AROUND_MS);
        let absence: Option<(i64, i64)> = absence.fetch_optional(&mut *reader).await.map_err(failed)?;
        let absence =
            absence.map(|(gone, back)| Outage { from: Timestamp::from_ms(gone), until: Timestamp::from_ms(back) });
        Ok(Heartbeats { last_heartbeat: last.map(Timestamp::from_ms), outage: absence })
    }
}

/// Every word a caller gave is bound, never part of the statement.
fn narrow(query: &mut QueryBuilder<Postgres>, tenant: &TenantId, filter: &Filter) {
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
    let labels = label::asked(tenant, filter);
    if !labels.is_empty() {
        query.push(" and session.session_id in (select session_id from session_label where tenant = ");
        query.push_bind(tenant.as_str()).push(" and labels @> ").push_bind(labels).push(")");
    }
}

/// The rows of a page, and how many there are from its first on; one more than `limit`
/// stands for any number.
async fn page(
    reading: &mut PgConnection,
    key: &SessionKey,
    after: Option<Position>,
    limit: u32,
) -> Result<(Vec<PgRow>, i64), Error> {
    let after = after.unwrap_or(Position { epoch: i64::MIN, version: 0 });
    let query = sqlx::query(AFTER)
        .bind(key.tenant.as_str())
        .bind(key.session.as_str())
        .bind(after.epoch)
        .bind(i64::try_from(after.version).unwrap_or(i64::MAX))
        .bind(i64::from(limit) + 1)
        .bind(CHANGE_OVERHEAD)
        .bind(i64::from(PAGE_BYTES));
    let mut found = query.fetch_all(reading).await.map_err(failed)?;
    let there = there(&found)?;
    found.truncate(limit as usize);
    Ok((found, there))
}

/// How many rows there are, as each of them says.
fn there(found: &[PgRow]) -> Result<i64, Error> {
    found.first().map_or(Ok(0), |first| first.try_get("found").map_err(failed))
}

fn count<T>(rows: &[T]) -> i64 {
    i64::try_from(rows.len()).unwrap_or(i64::MAX)
}

/// What came later to the position of `last`, which a page must not be cut from.
async fn rest_of_position(reading: &mut PgConnection, key: &SessionKey, last: &PgRow) -> Result<Vec<PgRow>, Error> {
    let query = sqlx::query(REST_OF_POSITION)
        .bind(key.tenant.as_str())
        .bind(key.session.as_str())
        .bind(last.try_get::<i64, _>("epoch").map_err(failed)?)
        .bind(last.try_get::<i64, _>("version").map_err(failed)?)
        .bind(last.try_get::<i64, _>("arrival").map_err(failed)?);
    query.fetch_all(reading).await.map_err(failed)
}

/// The row that `link` identifies.
async fn row_of(reading: &mut PgConnection, key: &SessionKey, link: Option<LinkId>) -> Result<Option<Row>, Error> {
    let Some(link) = link else { return Ok(None) };
    let query = sqlx::query(LINK)
        .bind(key.tenant.as_str())
        .bind(key.session.as_str())
        .bind(link.epoch)
        .bind(link.version)
        .bind(link.digest.as_bytes().as_slice());
    let found = query.fetch_optional(reading).await.map_err(failed)?;
    found.as_ref().map(row).transpose()
}
