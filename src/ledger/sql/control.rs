//! Settings, revocations, and their revisions.

use super::SqlDatabase;
use super::connection::SqlValue::{Bytes, Number, Text};
use super::connection::{SqlConnection, SqlRow};
use super::decode::instant;
use crate::domain::chain::Digest;
use crate::domain::id::TenantId;
use crate::domain::idempotency::{IDEMPOTENCY_TTL_MS, IdempotencyKey};
use crate::domain::revocation::{Revocation, RevokedTokens};
use crate::domain::time::Timestamp;
use crate::ledger::control::{
    ControlChanges, RevocationChange, RevocationOutcome, RevocationRequest, SettingRow, SettingsChange, SettingsOutcome,
};
use crate::ledger::error::{refused, unavailable};
use crate::ledger::{Error, Page};

const REVISION: &str = "select revision from control_revision where one = 1";
/// Locks the row until the transaction ends, so that revisions are committed in their order.
const NEXT_REVISION: &str = "update control_revision set revision = revision + 1 where one = 1 returning revision";

const SETTINGS_SINCE: &str = "select tenant, name, value, revision from setting where revision > $1 order by revision";
const SETTINGS_OF: &str = "select tenant, name, value, revision from setting where tenant = $1 order by name";
const NEWEST_SETTING: &str = "select coalesce(max(revision), 0) as revision from setting where tenant = $1";
/// Changes nothing where the value is the same.
const UPSERT_SETTING: &str = "insert into setting (tenant, name, value, revision, at, changed_by) \
    values ($1, $2, $3, $4, $5, $6) \
    on conflict (tenant, name) do update \
    set value = excluded.value, revision = excluded.revision, at = excluded.at, changed_by = excluded.changed_by \
    where setting.value <> excluded.value";

const REVOCATIONS_SINCE: &str = "select tenant, id, kind, target, before, at, revoked_by, expires_at, removed_at \
    from revocation where revision > $1 and expires_at > $2 order by revision";
const REVOCATIONS_OF: &str = "select tenant, id, kind, target, before, at, revoked_by, expires_at, removed_at \
    from revocation where tenant = $1 and id > $2 and expires_at > $3 and removed_at = 0 order by id limit $4";
const REVOCATION: &str = "select tenant, id, kind, target, before, at, revoked_by, expires_at, removed_at \
    from revocation where tenant = $1 and id = $2 and removed_at = 0";
const COUNT_REVOCATIONS: &str =
    "select count(*) as standing from revocation where tenant = $1 and expires_at > $2 and removed_at = 0";
const INSERT_REVOCATION: &str = "insert into revocation \
    (tenant, id, kind, target, before, at, revoked_by, expires_at, revision) \
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const REMOVE_REVOCATION: &str = "update revocation set removed_at = $3, revision = $4 \
    where tenant = $1 and id = $2 and removed_at = 0 and expires_at > $3";
/// Every instance has read that they ended, or reads all there is.
const FORGET_REVOCATIONS: &str = "delete from revocation where expires_at < $1 or (removed_at > 0 and removed_at < $1)";
const REVOCATION_RETENTION_MS: i64 = 24 * 3_600_000;

const REQUEST: &str = "select body, made from control_request where key = $1 and at >= $2";
const INSERT_REQUEST: &str = "insert into control_request (key, body, revision, made, at) values ($1, $2, $3, $4, $5)";
const FORGET_REQUESTS: &str = "delete from control_request where at < $1";

pub(super) async fn revision(database: &impl SqlDatabase) -> Result<u64, Error> {
    read_revision(&mut *database.reader().await?).await
}

async fn read_revision(reader: &mut impl SqlConnection) -> Result<u64, Error> {
    number(reader.first(REVISION, &[]).await?.as_ref(), "revision")
}

fn number(row: Option<&impl SqlRow>, column: &str) -> Result<u64, Error> {
    let row = row.ok_or_else(|| unavailable("the row of revisions is missing"))?;
    u64::try_from(row.number(column)?).map_err(refused)
}

fn as_number(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// The revision is read first: what is committed meanwhile may be read too, and is read again.
pub(super) async fn changes(database: &impl SqlDatabase, since: u64, now: Timestamp) -> Result<ControlChanges, Error> {
    let mut reader = database.reader().await?;
    let revision = read_revision(&mut *reader).await?;
    if revision == since && since > 0 {
        return Ok(ControlChanges { revision, ..ControlChanges::default() });
    }
    let is_whole = since == 0 || revision < since;
    let since = if is_whole { -1 } else { as_number(since) };
    let settings = reader.all(SETTINGS_SINCE, &[Number(since)]).await?;
    let revocations = reader.all(REVOCATIONS_SINCE, &[Number(since), Number(now.as_ms())]).await?;
    Ok(ControlChanges {
        revision,
        is_whole,
        settings: settings.iter().map(setting).collect::<Result<_, _>>()?,
        revocations: revocations.iter().map(revocation_change).collect::<Result<_, _>>()?,
    })
}

pub(super) async fn settings_of(database: &impl SqlDatabase, tenant: &TenantId) -> Result<Vec<SettingRow>, Error> {
    let rows = database.reader().await?.all(SETTINGS_OF, &[Text(tenant.as_str())]).await?;
    rows.iter().map(setting).collect()
}

pub(super) async fn change_settings<D: SqlDatabase>(
    database: &D,
    change: &SettingsChange,
) -> Result<SettingsOutcome, Error> {
    let mut writer = database.begin_transaction().await?;
    let revision = number(writer.first(NEXT_REVISION, &[]).await?.as_ref(), "revision")?;
    match repeated(&mut *writer, change.idempotency, change.at).await? {
        Some(Repeat::SameBody(_)) => return Ok(SettingsOutcome::Changed { names: Vec::new(), is_replay: true }),
        Some(Repeat::OtherBody) => return Ok(SettingsOutcome::Mismatch),
        None => {}
    }
    if let Some(expected) = change.expected {
        let newest = writer.first(NEWEST_SETTING, &[Text(change.tenant.as_str())]).await?;
        let newest = number(newest.as_ref(), "revision")?;
        if newest != expected {
            return Ok(SettingsOutcome::Stale(newest));
        }
    }
    let names = write_settings(&mut *writer, change, revision).await?;
    write_request(&mut *writer, change.idempotency, revision, "", change.at).await?;
    database.commit(writer).await?;
    Ok(SettingsOutcome::Changed { names, is_replay: false })
}

/// Returns the names of those that had another value.
async fn write_settings(
    writer: &mut impl SqlConnection,
    change: &SettingsChange,
    revision: u64,
) -> Result<Vec<&'static str>, Error> {
    let mut names = Vec::new();
    for (name, value) in &change.values {
        let values = [
            Text(change.tenant.as_str()),
            Text(name),
            Text(value.as_deref().unwrap_or_default()),
            Number(as_number(revision)),
            Number(change.at.as_ms()),
            Text(&change.by),
        ];
        if writer.execute(UPSERT_SETTING, &values).await? > 0 {
            names.push(*name);
        }
    }
    Ok(names)
}

pub(super) async fn add_revocation<D: SqlDatabase>(
    database: &D,
    request: &RevocationRequest,
) -> Result<RevocationOutcome, Error> {
    let RevocationRequest { revocation, limit, idempotency } = request;
    let (tenant, at) = (Text(revocation.tenant.as_str()), revocation.at);
    let mut writer = database.begin_transaction().await?;
    let revision = number(writer.first(NEXT_REVISION, &[]).await?.as_ref(), "revision")?;
    match repeated(&mut *writer, *idempotency, at).await? {
        Some(Repeat::SameBody(id)) => {
            let earlier = writer.first(REVOCATION, &[tenant, Text(&id)]).await?;
            let earlier = earlier.as_ref().map(self::revocation).transpose()?;
            return Ok(earlier.map_or(RevocationOutcome::Mismatch, RevocationOutcome::Replayed));
        }
        Some(Repeat::OtherBody) => return Ok(RevocationOutcome::Mismatch),
        None => {}
    }
    writer.execute(FORGET_REVOCATIONS, &[Number(at.as_ms() - REVOCATION_RETENTION_MS)]).await?;
    let standing = writer.first(COUNT_REVOCATIONS, &[tenant, Number(at.as_ms())]).await?;
    if number(standing.as_ref(), "standing")? >= u64::from(*limit) {
        return Ok(RevocationOutcome::TooMany);
    }
    insert_revocation(&mut *writer, revocation, revision).await?;
    write_request(&mut *writer, *idempotency, revision, &revocation.id, at).await?;
    database.commit(writer).await?;
    Ok(RevocationOutcome::Added(revocation.clone()))
}

async fn insert_revocation(
    writer: &mut impl SqlConnection,
    revocation: &Revocation,
    revision: u64,
) -> Result<(), Error> {
    let (kind, target, before) = match &revocation.tokens {
        RevokedTokens::Token(id) => ("token", id, 0),
        RevokedTokens::Subject { subject, before } => ("subject", subject, before.as_ms()),
    };
    let values = [
        Text(revocation.tenant.as_str()),
        Text(&revocation.id),
        Text(kind),
        Text(target),
        Number(before),
        Number(revocation.at.as_ms()),
        Text(&revocation.by),
        Number(revocation.expires_at.as_ms()),
        Number(as_number(revision)),
    ];
    writer.execute(INSERT_REVOCATION, &values).await.map(drop)
}

pub(super) async fn remove_revocation<D: SqlDatabase>(
    database: &D,
    tenant: &TenantId,
    id: &str,
    at: Timestamp,
) -> Result<Option<u64>, Error> {
    let mut writer = database.begin_transaction().await?;
    let revision = number(writer.first(NEXT_REVISION, &[]).await?.as_ref(), "revision")?;
    let values = [Text(tenant.as_str()), Text(id), Number(at.as_ms()), Number(as_number(revision))];
    if writer.execute(REMOVE_REVOCATION, &values).await? == 0 {
        return Ok(None);
    }
    database.commit(writer).await?;
    Ok(Some(revision))
}

pub(super) async fn revocations(
    database: &impl SqlDatabase,
    tenant: &TenantId,
    after: Option<&str>,
    now: Timestamp,
    limit: u32,
) -> Result<Page<Revocation>, Error> {
    let values =
        [Text(tenant.as_str()), Text(after.unwrap_or_default()), Number(now.as_ms()), Number(i64::from(limit) + 1)];
    let rows = database.reader().await?.all(REVOCATIONS_OF, &values).await?;
    Ok(Page::of(rows.iter().map(revocation).collect::<Result<_, _>>()?, limit))
}

/// An earlier request with the same idempotency key.
enum Repeat {
    /// It had the same body; what it made.
    SameBody(String),
    OtherBody,
}

async fn repeated(
    writer: &mut impl SqlConnection,
    idempotency: Option<IdempotencyKey>,
    at: Timestamp,
) -> Result<Option<Repeat>, Error> {
    let Some(IdempotencyKey { key, body }) = idempotency else { return Ok(None) };
    let values = [Bytes(Some(key.as_bytes())), Number(at.as_ms() - IDEMPOTENCY_TTL_MS)];
    let Some(row) = writer.first(REQUEST, &values).await? else { return Ok(None) };
    let is_same = Digest::from_slice(row.bytes("body")?).map_err(refused)? == body;
    Ok(Some(if is_same { Repeat::SameBody(row.text("made")?.to_owned()) } else { Repeat::OtherBody }))
}

async fn write_request(
    writer: &mut impl SqlConnection,
    idempotency: Option<IdempotencyKey>,
    revision: u64,
    made: &str,
    at: Timestamp,
) -> Result<(), Error> {
    writer.execute(FORGET_REQUESTS, &[Number(at.as_ms() - IDEMPOTENCY_TTL_MS)]).await?;
    let Some(IdempotencyKey { key, body }) = idempotency else { return Ok(()) };
    let values = [
        Bytes(Some(key.as_bytes())),
        Bytes(Some(body.as_bytes())),
        Number(as_number(revision)),
        Text(made),
        Number(at.as_ms()),
    ];
    writer.execute(INSERT_REQUEST, &values).await.map(drop)
}

fn setting(row: &impl SqlRow) -> Result<SettingRow, Error> {
    let value = row.text("value")?;
    Ok(SettingRow {
        tenant: tenant(row)?,
        name: row.text("name")?.to_owned(),
        value: (!value.is_empty()).then(|| value.to_owned()),
        revision: u64::try_from(row.number("revision")?).map_err(refused)?,
    })
}

fn revocation_change(row: &impl SqlRow) -> Result<RevocationChange, Error> {
    Ok(RevocationChange { revocation: revocation(row)?, is_removed: row.number("removed_at")? > 0 })
}

fn revocation(row: &impl SqlRow) -> Result<Revocation, Error> {
    let target = row.text("target")?.to_owned();
    let tokens = match row.text("kind")? {
        "token" => RevokedTokens::Token(target),
        _ => RevokedTokens::Subject { subject: target, before: instant(row, "before")? },
    };
    Ok(Revocation {
        id: row.text("id")?.to_owned(),
        tenant: tenant(row)?,
        tokens,
        at: instant(row, "at")?,
        by: row.text("revoked_by")?.to_owned(),
        expires_at: instant(row, "expires_at")?,
    })
}

pub(super) fn tenant(row: &impl SqlRow) -> Result<TenantId, Error> {
    TenantId::new(row.text("tenant")?).map_err(refused)
}
