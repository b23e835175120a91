//! Runs: processes that kept their sessions in memory.

use super::SqliteLedger;
use super::error::failed;
use crate::domain::time::Timestamp;
use crate::ledger::run::{CLOSE_RUN, DELETE_OLD_RUNS, MAX_RUNS, OPEN_RUN, SELECT_OUTAGES, SELECT_RUNS};
use crate::ledger::{Error, OUTAGE_RETENTION_MS, RunHistory};

impl SqliteLedger {
    pub(super) async fn write_run(&self, started_at: Timestamp) -> Result<(), Error> {
        let deleted = sqlx::query(DELETE_OLD_RUNS).bind(started_at.as_ms() - OUTAGE_RETENTION_MS);
        deleted.execute(&self.write).await.map_err(failed)?;
        sqlx::query(OPEN_RUN).bind(started_at.as_ms()).execute(&self.write).await.map(drop).map_err(failed)
    }

    pub(super) async fn write_run_end(&self, started_at: Timestamp, stopped_at: Timestamp) -> Result<(), Error> {
        let closed = sqlx::query(CLOSE_RUN).bind(started_at.as_ms()).bind(stopped_at.as_ms());
        closed.execute(&self.write).await.map(drop).map_err(failed)
    }

    pub(super) async fn read_runs(&self, before: Timestamp) -> Result<RunHistory, Error> {
        let runs = sqlx::query_as(SELECT_RUNS).bind(before.as_ms()).bind(MAX_RUNS);
        let runs = runs.fetch_all(&self.read).await.map_err(failed)?;
        let outages = sqlx::query_as(SELECT_OUTAGES).bind(MAX_RUNS).fetch_all(&self.read).await.map_err(failed)?;
        Ok(RunHistory::of(runs, outages))
    }
}
