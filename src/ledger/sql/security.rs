//! Security events.

use super::SqlDatabase;
use super::connection::SqlValue::{Number, Text};
use super::connection::{SqlConnection as _, SqlRow};
use super::control::tenant;
use super::decode::instant;
use crate::domain::id::TenantId;
use crate::domain::time::Timestamp;
use crate::ledger::control::{SecurityFilter, SecurityRow};
use crate::ledger::error::refused;
use crate::ledger::{Error, Page};

const INSERT: &str = "insert into security_event (tenant, id, at, kind, subject, address, detail, times) \
    values ($1, $2, $3, $4, $5, $6, $7, $8) \
    on conflict (tenant, id) do nothing";
/// A cursor after every id.
const AFTER_ALL: &str = "~";
const PAGE: &str = "select tenant, id, at, kind, subject, address, detail, times \
    from security_event \
    where tenant = $1 and id < $2 and at >= $3 and ($4 = '' or kind = $4) \
    order by id desc \
    limit $5";
const FORGET: &str = "delete from security_event where at < $1";

pub(super) async fn add<D: SqlDatabase>(database: &D, events: &[SecurityRow]) -> Result<(), Error> {
    let mut writer = database.begin_transaction().await?;
    for event in events {
        // A PostgreSQL text cannot hold a NUL.
        let [subject, address, detail] =
            [&event.subject, &event.address, &event.detail].map(|text| text.replace('\0', "\u{fffd}"));
        let values = [
            Text(event.tenant.as_str()),
            Text(&event.id),
            Number(event.at.as_ms()),
            Text(&event.kind),
            Text(&subject),
            Text(&address),
            Text(&detail),
            Number(i64::try_from(event.times).unwrap_or(i64::MAX)),
        ];
        writer.execute(INSERT, &values).await?;
    }
    database.commit(writer).await
}

pub(super) async fn page(
    database: &impl SqlDatabase,
    tenant: &TenantId,
    filter: &SecurityFilter,
    limit: u32,
) -> Result<Page<SecurityRow>, Error> {
    let values = [
        Text(tenant.as_str()),
        Text(filter.before.as_deref().unwrap_or(AFTER_ALL)),
        Number(filter.since.map_or(i64::MIN, Timestamp::as_ms)),
        Text(filter.kind.as_deref().unwrap_or_default()),
        Number(i64::from(limit) + 1),
    ];
    let rows = database.reader().await?.all(PAGE, &values).await?;
    Ok(Page::of(rows.iter().map(event).collect::<Result<_, _>>()?, limit))
}

pub(super) async fn forget(database: &impl SqlDatabase, before: Timestamp) -> Result<u64, Error> {
    database.writer().await?.execute(FORGET, &[Number(before.as_ms())]).await
}

fn event(row: &impl SqlRow) -> Result<SecurityRow, Error> {
    let text = |column| row.text(column).map(str::to_owned);
    Ok(SecurityRow {
        tenant: tenant(row)?,
        id: text("id")?,
        at: instant(row, "at")?,
        kind: text("kind")?,
        subject: text("subject")?,
        address: text("address")?,
        detail: text("detail")?,
        times: u64::try_from(row.number("times")?).map_err(refused)?,
    })
}
