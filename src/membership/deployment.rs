//! The identity of this deployment, as its Redis remembers it: `sk:{members}:deployment`,
//! if `sk` is its name.

use std::sync::LazyLock;

use fred::interfaces::KeysInterface as _;

use crate::redis::{Redis, RedisError, Script};
use crate::store::keys::Keys;
use crate::store::partition::Partition;

static RECALL: LazyLock<Script> = LazyLock::new(|| Script::new(&[include_str!("lua/deployment.lua")]));

/// The deployment that shares one Redis under one name.
pub struct RedisDeployment {
    redis: Redis,
    keys: Keys,
}

impl RedisDeployment {
    /// Over that connection.
    pub const fn new(redis: Redis, keys: Keys) -> Self {
        Self { redis, keys }
    }

    /// The deployment's id, if it is known, and the run id of Redis. An id that the ledger
    /// remembered is stored again where Redis has lost it.
    pub async fn recall(&self, remembered: Option<&str>) -> Result<(Option<String>, String), RedisError> {
        self.recall_or_replace(remembered.unwrap_or_default(), "").await
    }

    /// The same, and `new` takes the place of the id `old`, unless another has.
    pub async fn replace(&self, old: &str, new: &str) -> Result<(Option<String>, String), RedisError> {
        self.recall_or_replace(new, old).await
    }

    async fn recall_or_replace(
        &self,
        remembered: &str,
        replaced: &str,
    ) -> Result<(Option<String>, String), RedisError> {
        let arguments = [remembered, replaced].map(|id| id.to_owned().into()).to_vec();
        let reply = self.redis.run(&RECALL, &[self.keys.deployment()], arguments).await?;
        let [id, run_id]: [String; 2] = reply
            .convert::<Vec<String>>()
            .ok()
            .and_then(|fields| fields.try_into().ok())
            .ok_or_else(RedisError::protocol)?;
        Ok(((!id.is_empty()).then_some(id), run_id))
    }

    /// Begins a new store generation in every partition: sessions from before are compared with
    /// the ledger before they are used.
    pub async fn begin_generations(&self) -> Result<(), RedisError> {
        for partition in Partition::all() {
            let generation = self.keys.generation(partition);
            self.redis.commands().await?.del::<(), _>(generation).await.map_err(RedisError::of)?;
        }
        Ok(())
    }
}
