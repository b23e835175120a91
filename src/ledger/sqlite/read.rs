//! What SQLite is asked: one session's versions, a tenant's sessions, what is due.

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
use crate::ledger::{AROUND_MS, Due, Error, Filter, Heartbeats, IdempotencyRecord, Row};

/// The columns of a change, and whether it shares its position with another. The body
/// is none of them: a session may be far longer than what happened to it.
macro_rules! changes {
    ($more:literal, $rest:literal) => {
        concat!(
            "select snapshot.tenant, snapshot.session_id, snapshot.epoch, snapshot.version, snapshot.at, \
                snapshot.previous, snapshot.body_digest, snapshot.digest, snapshot.change, snapshot.arrival, \
                snapshot.repeat_key, snapshot.repeat_body, exists ( \
                select 1 from session_snapshot twin \
                where twin.tenant = snapshot.tenant and twin.session_id = snapshot.session_id \
                and twin.epoch = snapshot.epoch and twin.version = snapshot.version \
                and twin.arrival <> snapshot.arrival) as forked ",
            $more,
            $rest
        )
    };
}

const NEWEST: &str = "select snapshot.* \
    from session \
    join session_snapshot snapshot using (tenant, session_id, epoch, version, digest) \
    where tenant = $1 and session_id = $2";
const LINK: &str = "select * \
    from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version = $4 and digest = $5";
/// The page is measured first, by its lengths alone. What stands behind a body is
/// reached over the pages of the body, so a little of it counts too.
const AFTER: &str = changes!(
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
const ANSWERED: &str = changes!(
    "",
    "from session_snapshot snapshot \
    where tenant = $1 and session_id = $2 and (epoch, version) >= ($3, $4) \
    and at >= $5 and repeat_key is not null \
    order by epoch, version, arrival"
);
/// The page is measured first: bodies past its end are not read.
const SESSIONS: &str = "select snapshot.*, sized.found \
    from ( \
        select arrival, session_id, count(*) over () as found, \
            sum(size) over (order by session_id) - size as before \
        from ( \
            select snapshot.arrival, session.session_id, coalesce(octet_length(snapshot.body), 0) as size \
            from session \
            join session_snapshot snapshot using (tenant, session_id, epoch, version, digest) \
            where session.tenant = ";
const THEIR_SNAPSHOTS: &str = ")) sized \
    cross join session_snapshot snapshot on snapshot.arrival = sized.arrival \
    where sized.before < ";
const IN_THEIR_ORDER: &str = " order by sized.session_id";
const DUE: &str = "select due_at, tenant, session_id \
    from session \
    where due_at is not null and due_at <= $1 and (due_at, tenant, session_id) > ($3, $4, $5) \
    order by due_at, tenant, session_id \
    limit $2";
const LAST_BEAT: &str = "select at from heartbeat";

/// The one that ended when a store began to live, or a little before or after.
const ABSENCE: &str = "select gone_at, back_at from absence \
    where gone_at <= $1 + $2 and back_at >= $1 - $2 order by back_at desc limit 1";

impl SqliteLedger {
    pub(super) async fn read_newest(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        let query = sqlx::query(NEWEST).bind(key.tenant.as_str()).bind(key.session.as_str());
        let mut reading = self.begin_read().await?;
        let found = query.fetch_optional(&mut *reading).await.map_err(failed)?;
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
        let mut query = QueryBuilder::<Sqlite>::new(SESSIONS);
        query.push_bind(tenant.as_str());
        narrow(&mut query, filter);
        if let Some(after) = after {
            query.push(" and session.session_id > ").push_bind(after.as_str());
        }
        query.push(" order by session.session_id limit ").push_bind(i64::from(limit) + 1);
        query.push(THEIR_SNAPSHOTS).push_bind(i64::from(PAGE_BYTES)).push(IN_THEIR_ORDER);
        let mut reading = self.begin_read().await?;
        let mut found = query.build().fetch_all(&mut *reading).await.map_err(failed)?;
        let there = there(&found)?;
        found.truncate(limit as usize);
        let has_more = there > count(&found);
        let rows = found.iter().map(row).collect::<Result<_, _>>()?;
        Ok(Page { rows, has_more })
    }

    pub(super) async fn read_due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        let (at, tenant, session) =
            after.map_or((i64::MIN, "", ""), |(at, key)| (at.as_ms(), key.tenant.as_str(), key.session.as_str()));
        let query = sqlx::query(DUE).bind(until.as_ms()).bind(limit).bind(at).bind(tenant).bind(session);
        let mut reading = self.begin_read().await?;
        query.fetch_all(&mut *reading).await.map_err(failed)?.iter().map(due).collect()
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
        let mut reading = self.begin_read().await?;
        let last: Option<i64> = sqlx::query_scalar(LAST_BEAT).fetch_optional(&mut *reading).await.map_err(failed)?;
        let absence = sqlx::query_as(ABSENCE).bind(began.as_ms()).bind(AROUND_MS);
        let absence: Option<(i64, i64)> = absence.fetch_optional(&mut *reading).await.map_err(failed)?;
        let absence =
            absence.map(|(gone, back)| Outage { from: Timestamp::from_ms(gone), until: Timestamp::from_ms(back) });
        Ok(Heartbeats { last_heartbeat: last.map(Timestamp::from_ms), outage: absence })
    }
}

/// Every word a caller gave is bound, never part of the statement.
fn narrow(query: &mut QueryBuilder<Sqlite>, filter: &Filter) {
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

/// The rows of a page, and how many there are from its first on; one more than `limit`
/// stands for any number.
async fn page(
    reading: &mut SqliteConnection,
    key: &SessionKey,
    after: Option<Position>,
    limit: u32,
) -> Result<(Vec<SqliteRow>, i64), Error> {
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
fn there(found: &[SqliteRow]) -> Result<i64, Error> {
    found.first().map_or(Ok(0), |first| first.try_get("found").map_err(failed))
}

fn count<T>(rows: &[T]) -> i64 {
    i64::try_from(rows.len()).unwrap_or(i64::MAX)
}

/// What came later to the position of `last`, which a page must not be cut from.
async fn rest_of_position(
    reading: &mut SqliteConnection,
    key: &SessionKey,
    last: &SqliteRow,
) -> Result<Vec<SqliteRow>, Error> {
    let query = sqlx::query(REST_OF_POSITION)
        .bind(key.tenant.as_str())
        .bind(key.session.as_str())
        .bind(last.try_get::<i64, _>("epoch").map_err(failed)?)
        .bind(last.try_get::<i64, _>("version").map_err(failed)?)
        .bind(last.try_get::<i64, _>("arrival").map_err(failed)?);
    query.fetch_all(reading).await.map_err(failed)
}

/// The row that `link` identifies.
async fn row_of(reading: &mut SqliteConnection, key: &SessionKey, link: Option<LinkId>) -> Result<Option<Row>, Error> {
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
