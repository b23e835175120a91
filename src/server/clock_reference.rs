//! The reference of a cluster clock: the time of a Redis master.

use async_trait::async_trait;

use crate::clock::cluster::{Reading, Reference, ReferenceUnavailable, StoredOffset};
use crate::redis::RedisError;
use crate::store::redis::RedisTime;

#[cfg(test)]
mod tests;

/// The Redis master that stores a deployment's clock offset; all instances follow it.
pub struct RedisReference(pub RedisTime);

#[async_trait]
impl Reference for RedisReference {
    async fn exchange(&self) -> Result<Reading, ReferenceUnavailable> {
        let time = self.0.read().await.map_err(away)?;
        let stored = time.stored_offset.map(|(run_id, offset_us)| StoredOffset { run_id, offset_us });
        Ok(Reading { run_id: time.run_id, server_us: time.server_us, stored })
    }

    async fn claim(&self, seen: Option<&StoredOffset>, new: &StoredOffset) -> Result<(), ReferenceUnavailable> {
        let seen = seen.map(|stored| (stored.run_id.as_str(), stored.offset_us));
        self.0.store_offset(&new.run_id, new.offset_us, seen).await.map(drop).map_err(away)
    }
}

fn away(error: RedisError) -> ReferenceUnavailable {
    ReferenceUnavailable(error.into())
}
