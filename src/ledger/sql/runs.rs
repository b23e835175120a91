//! When processes ran: heartbeats, outages, and runs of a process that kept its sessions in
//! memory.

use super::SqlDatabase;
use super::connection::SqlValue::Number;
use super::connection::{SqlConnection, SqlRow};
use super::decode::instant;
use crate::domain::session::restore::{OUTAGE_MS, Outage};
use crate::domain::time::Timestamp;
use crate::ledger::run::{MAX_RUNS, Run, RunHistory};
use crate::ledger::{Error, Heartbeats, OUTAGE_RETENTION_MS, STORE_START_TOLERANCE_MS};

/// Precedes the heartbeat that ends the outage, in one transaction.
const INSERT_OUTAGE: &str = "insert into absence (gone_at, back_at) \
    select at, $1 from heartbeat where $1 - at >= $2 \
    on conflict (gone_at) do nothing";
/// Deletes outages that a heartbeat contradicts, and old ones.
const DELETE_OUTAGES: &str = "delete from absence where gone_at >= $1 or back_at < $2";
const UPSERT_HEARTBEAT: &str = "insert into heartbeat (one, at) values (1, $1) \
    on conflict (one) do update \
    set at = excluded.at \
    where excluded.at > heartbeat.at";
const LAST_HEARTBEAT: &str = "select at from heartbeat";
/// The outage that ended at about the start of a store.
const OUTAGE_BEFORE: &str = "select gone_at, back_at from absence \
    where gone_at <= $1 + $2 and back_at >= $1 - $2 order by back_at desc limit 1";

const OPEN_RUN: &str = "insert into run (began_at) values ($1) \
    on conflict (began_at) do update set stopped_at = null";
const DELETE_OLD_RUNS: &str = "delete from run where began_at < $1";
const CLOSE_RUN: &str = "update run set stopped_at = $2 where began_at = $1 and began_at <= $2";
const SELECT_RUNS: &str = "select began_at, stopped_at from run where began_at < $1 \
    order by began_at desc limit $2";
const SELECT_OUTAGES: &str = "select gone_at, back_at from absence order by gone_at desc limit $1";

/// Writes a heartbeat in the transaction of `writer`, and the outage that it ends.
pub(in crate::ledger) async fn write_heartbeat(
    writer: &mut impl SqlConnection,
    since: Timestamp,
    at: Timestamp,
) -> Result<(), Error> {
    writer.execute(INSERT_OUTAGE, &[Number(since.as_ms()), Number(OUTAGE_MS)]).await?;
    writer.execute(DELETE_OUTAGES, &[Number(since.as_ms()), Number(at.as_ms() - OUTAGE_RETENTION_MS)]).await?;
    writer.execute(UPSERT_HEARTBEAT, &[Number(at.as_ms())]).await.map(drop)
}

pub(super) async fn heartbeats(database: &impl SqlDatabase, store_started_at: Timestamp) -> Result<Heartbeats, Error> {
    let mut reader = database.reader().await?;
    let last = reader.first(LAST_HEARTBEAT, &[]).await?;
    let values = [Number(store_started_at.as_ms()), Number(STORE_START_TOLERANCE_MS)];
    let found = reader.first(OUTAGE_BEFORE, &values).await?;
    Ok(Heartbeats {
        last_heartbeat: last.map(|row| instant(&row, "at")).transpose()?,
        outage: found.as_ref().map(outage).transpose()?,
    })
}

pub(super) async fn open(database: &impl SqlDatabase, started_at: Timestamp) -> Result<(), Error> {
    let mut writer = database.writer().await?;
    writer.execute(DELETE_OLD_RUNS, &[Number(started_at.as_ms() - OUTAGE_RETENTION_MS)]).await?;
    writer.execute(OPEN_RUN, &[Number(started_at.as_ms())]).await.map(drop)
}

pub(super) async fn close(
    database: &impl SqlDatabase,
    started_at: Timestamp,
    stopped_at: Timestamp,
) -> Result<(), Error> {
    let values = [Number(started_at.as_ms()), Number(stopped_at.as_ms())];
    database.writer().await?.execute(CLOSE_RUN, &values).await.map(drop)
}

pub(super) async fn history(database: &impl SqlDatabase, before: Timestamp) -> Result<RunHistory, Error> {
    let mut reader = database.reader().await?;
    let runs = reader.all(SELECT_RUNS, &[Number(before.as_ms()), Number(MAX_RUNS)]).await?;
    let outages = reader.all(SELECT_OUTAGES, &[Number(MAX_RUNS)]).await?;
    Ok(RunHistory {
        runs: runs.iter().rev().map(run).collect::<Result<_, _>>()?,
        outages: outages.iter().rev().map(outage).collect::<Result<_, _>>()?,
    })
}

fn run(row: &impl SqlRow) -> Result<Run, Error> {
    let stopped_at = row.optional_number("stopped_at")?.map(Timestamp::from_ms);
    Ok(Run { started_at: instant(row, "began_at")?, stopped_at })
}

fn outage(row: &impl SqlRow) -> Result<Outage, Error> {
    Ok(Outage { from: instant(row, "gone_at")?, until: instant(row, "back_at")? })
}
