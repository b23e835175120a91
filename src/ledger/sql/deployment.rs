//! Which deployment owns the ledger.

use super::connection::SqlValue::{Number, Text};
use super::connection::{SqlConnection, SqlRow};
use crate::ledger::Error;
use crate::ledger::deployment::{Claim, ClaimOutcome, Deployment, apply_claim};

const SELECT: &str = "select id, name, places, address, beats from deployment where one = 1";
const UPSERT: &str = "insert into deployment (one, id, name, places, address, beats) \
    values (1, $1, $2, $3, $4, $5) \
    on conflict (one) do update \
    set id = excluded.id, name = excluded.name, places = excluded.places, \
        address = excluded.address, beats = excluded.beats";

/// Applies a claim in the transaction of `writer`, which no other claim may share.
pub(in crate::ledger) async fn claim(writer: &mut impl SqlConnection, claim: &Claim) -> Result<ClaimOutcome, Error> {
    let current = writer.first(SELECT, &[]).await?;
    let owner = match apply_claim(current.as_ref().map(deployment).transpose()?, claim) {
        Ok(owner) => owner,
        Err(outcome) => return Ok(outcome),
    };
    let processes = owner.processes.join(" ");
    let values = [Text(&owner.id), Text(&owner.name), Text(&processes), Text(&owner.address), Number(owner.beats)];
    writer.execute(UPSERT, &values).await?;
    Ok(ClaimOutcome::Held(owner.id))
}

fn deployment(row: &impl SqlRow) -> Result<Deployment, Error> {
    Ok(Deployment {
        id: row.text("id")?.to_owned(),
        name: row.text("name")?.to_owned(),
        processes: row.text("places")?.split_whitespace().map(str::to_owned).collect(),
        address: row.text("address")?.to_owned(),
        beats: row.number("beats")?,
    })
}
