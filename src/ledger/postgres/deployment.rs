//! Which deployment writes here.

use super::PostgresLedger;
use super::error::failed;
use crate::ledger::Error;
use crate::ledger::deployment::{Claim, Claimed, Deployment, FIND, WRITE, apply_claim};

/// Of those that claim at the same moment, each finds what the one before left.
const ALONE: &str = "lock table deployment in exclusive mode";

impl PostgresLedger {
    pub(super) async fn write_claim(&self, claim: &Claim) -> Result<Claimed, Error> {
        let mut told = self.begin_write().await?;
        sqlx::query(ALONE).execute(&mut *told).await.map_err(failed)?;
        let stands = sqlx::query_as(FIND).fetch_optional(&mut *told).await.map_err(failed)?;
        let mark = match apply_claim(stands.map(Deployment::of), claim) {
            Ok(mark) => mark,
            Err(lost) => return Ok(lost),
        };
        let written = sqlx::query(WRITE).bind(&mark.id).bind(&mark.name).bind(mark.places.join(" "));
        written.bind(&mark.address).bind(mark.beats).execute(&mut *told).await.map_err(failed)?;
        told.commit().await.map_err(failed)?;
        Ok(Claimed::Held(mark.id))
    }
}
