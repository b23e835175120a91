//! Which deployment owns the ledger.

use super::PostgresLedger;
use super::error::failed;
use crate::ledger::Error;
use crate::ledger::deployment::{Claim, ClaimOutcome, Deployment, SELECT_DEPLOYMENT, UPSERT_DEPLOYMENT, apply_claim};

/// Serializes concurrent claims.
const LOCK_DEPLOYMENT: &str = "lock table deployment in exclusive mode";

impl PostgresLedger {
    pub(super) async fn write_claim(&self, claim: &Claim) -> Result<ClaimOutcome, Error> {
        let mut transaction = self.begin_write().await?;
        sqlx::query(LOCK_DEPLOYMENT).execute(&mut *transaction).await.map_err(failed)?;
        let current = sqlx::query_as(SELECT_DEPLOYMENT).fetch_optional(&mut *transaction).await.map_err(failed)?;
        let owner = match apply_claim(current.map(Deployment::of), claim) {
            Ok(owner) => owner,
            Err(outcome) => return Ok(outcome),
        };
        let written = sqlx::query(UPSERT_DEPLOYMENT).bind(&owner.id).bind(&owner.name).bind(owner.processes.join(" "));
        written.bind(&owner.address).bind(owner.beats).execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(ClaimOutcome::Held(owner.id))
    }
}
