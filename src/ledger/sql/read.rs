//! Reads a session's versions, and due sessions.

use super::SqlDatabase;
use super::connection::SqlValue::{Bytes, Number, Text};
use super::connection::{SqlConnection, SqlRow, of_session};
use super::decode::{change, due, idempotency_record, is_forked, link, link_id, row};
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::ledger::lineage::{Lineage, LinkId};
use crate::ledger::page::{CHANGE_OVERHEAD, HistoryRow, PAGE_BYTES, Page};
use crate::ledger::{Due, Error, Filter, IdempotencyRecord, Row};

const BY_LINK: &str = "select * \
    from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version = $4 and digest = $5";
const DUE: &str = "select due_at, tenant, session_id \
    from session \
    where due_at is not null and due_at <= $1 and (due_at, tenant, session_id) > ($3, $4, $5) \
    order by due_at, tenant, session_id \
    limit $2";

pub(super) async fn newest<D: SqlDatabase>(database: &D, key: &SessionKey) -> Result<Option<Row>, Error> {
    let found = database.reader().await?.first(D::NEWEST, &of_session(key, &[])).await?;
    found.as_ref().map(row).transpose()
}

pub(super) async fn version(database: &impl SqlDatabase, key: &SessionKey, version: u64) -> Result<Option<Row>, Error> {
    let Ok(version) = i64::try_from(version) else {
        return Ok(None);
    };
    let mut reader = database.begin_read().await?;
    let link = Lineage::of(&mut *reader, key).version(version).await?;
    row_of(&mut *reader, key, link).await
}

pub(super) async fn at(database: &impl SqlDatabase, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error> {
    let mut reader = database.begin_read().await?;
    let link = Lineage::of(&mut *reader, key).at(at).await?;
    row_of(&mut *reader, key, link).await
}

pub(super) async fn history<D: SqlDatabase>(
    database: &D,
    key: &SessionKey,
    after: Option<Position>,
    limit: u32,
) -> Result<Page<HistoryRow>, Error> {
    let mut reader = database.begin_read().await?;
    let after = after.unwrap_or(Position { epoch: i64::MIN, version: 0 });
    let after = [Number(after.epoch), Number(i64::try_from(after.version).unwrap_or(i64::MAX))];
    let size = [Number(i64::from(limit) + 1), Number(CHANGE_OVERHEAD), Number(i64::from(PAGE_BYTES))];
    let mut rows = reader.all(D::HISTORY_PAGE, &of_session(key, &[&after[..], &size].concat())).await?;
    let total = total(&rows)?;
    rows.truncate(limit as usize);
    if let Some(last) = rows.last().filter(|_| count(&rows) < total) {
        // A page must not split a position.
        let last = [Number(last.number("epoch")?), Number(last.number("version")?), Number(last.number("arrival")?)];
        rows.extend(reader.all(D::REST_OF_POSITION, &of_session(key, &last)).await?);
    }
    // The query counts up to one row past `limit`, and more rows may come after that.
    let has_more = total > i64::from(limit) || total > count(&rows);
    let mut lineage = Lineage::of(&mut *reader, key);
    let segments = lineage.segments().await?;
    let mut history = Vec::with_capacity(rows.len());
    for row in &rows {
        let survives = lineage.contains(&segments, link_id(row)?, is_forked(row)?).await?;
        history.push(HistoryRow { link: link(row)?, change: change(row)?, superseded: !survives });
    }
    Ok(Page { rows: history, has_more })
}

pub(super) async fn sessions(
    database: &impl SqlDatabase,
    tenant: &TenantId,
    filter: &Filter,
    after: Option<&SessionId>,
    limit: u32,
) -> Result<Page<Row>, Error> {
    let mut rows = database.session_rows(tenant, filter, after, limit).await?;
    let total = total(&rows)?;
    rows.truncate(limit as usize);
    let has_more = total > count(&rows);
    let rows = rows.iter().map(row).collect::<Result<_, _>>()?;
    Ok(Page { rows, has_more })
}

pub(super) async fn due_sessions(
    database: &impl SqlDatabase,
    after: Option<&Due>,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<Due>, Error> {
    let (at, tenant, session) =
        after.map_or((i64::MIN, "", ""), |(at, key)| (at.as_ms(), key.tenant.as_str(), key.session.as_str()));
    let values = [Number(until.as_ms()), Number(i64::from(limit)), Number(at), Text(tenant), Text(session)];
    database.reader().await?.all(DUE, &values).await?.iter().map(due).collect()
}

pub(super) async fn idempotency_records<D: SqlDatabase>(
    database: &D,
    key: &SessionKey,
    since: Timestamp,
) -> Result<Vec<IdempotencyRecord>, Error> {
    let mut reader = database.begin_read().await?;
    let mut lineage = Lineage::of(&mut *reader, key);
    let before = lineage.newest_at(since - 1).await?;
    let (epoch, version) = before.map_or((i64::MIN, 0), |(segment, version)| (segment.epoch, version));
    let segments = lineage.segments().await?;
    let values = of_session(key, &[Number(epoch), Number(version), Number(since.as_ms())]);
    let rows = reader.all(D::IDEMPOTENCY_RECORDS, &values).await?;
    let mut lineage = Lineage::of(&mut *reader, key);
    let mut records = Vec::new();
    for row in &rows {
        if lineage.contains(&segments, link_id(row)?, is_forked(row)?).await? {
            records.push(idempotency_record(row)?);
        }
    }
    Ok(records)
}

/// The number of rows before the page was cut, which each row repeats.
fn total(rows: &[impl SqlRow]) -> Result<i64, Error> {
    rows.first().map_or(Ok(0), |first| first.number("found"))
}

fn count<T>(rows: &[T]) -> i64 {
    i64::try_from(rows.len()).unwrap_or(i64::MAX)
}

/// The row that `link` identifies.
async fn row_of(reader: &mut impl SqlConnection, key: &SessionKey, link: Option<LinkId>) -> Result<Option<Row>, Error> {
    let Some(link) = link else { return Ok(None) };
    let values = [Number(link.epoch), Number(link.version), Bytes(Some(link.digest.as_bytes()))];
    let found = reader.first(BY_LINK, &of_session(key, &values)).await?;
    found.as_ref().map(row).transpose()
}
