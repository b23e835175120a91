//! Processes that kept their sessions in memory.

use super::PostgresLedger;
use super::error::failed;
use crate::domain::time::Timestamp;
use crate::ledger::run::{ABSENCES, CLOSE, FORGET, MAX_RUNS, OPEN, RUNS};
use crate::ledger::{ABSENCE_KEPT_MS, Error, RunHistory};

impl PostgresLedger {
    pub(super) async fn write_run(&self, began: Timestamp) -> Result<(), Error> {
        let forgotten = sqlx::query(FORGET).bind(began.as_ms() - ABSENCE_KEPT_MS);
        let mut writer = self.writer().await?;
        forgotten.execute(&mut *writer).await.map_err(failed)?;
        sqlx::query(OPEN).bind(began.as_ms()).execute(&mut *writer).await.map(drop).map_err(failed)
    }

    pub(super) async fn write_stop(&self, began: Timestamp, stopped: Timestamp) -> Result<(), Error> {
        let closed = sqlx::query(CLOSE).bind(began.as_ms()).bind(stopped.as_ms());
        closed.execute(&mut *self.writer().await?).await.map(drop).map_err(failed)
    }

    pub(super) async fn read_runs(&self, before: Timestamp) -> Result<RunHistory, Error> {
        let runs = sqlx::query_as(RUNS).bind(before.as_ms()).bind(MAX_RUNS);
        let mut reader = self.reader().await?;
        let runs = runs.fetch_all(&mut *reader).await.map_err(failed)?;
        let absences = sqlx::query_as(ABSENCES).bind(MAX_RUNS).fetch_all(&mut *reader).await.map_err(failed)?;
        Ok(RunHistory::of(runs, absences))
    }
}
