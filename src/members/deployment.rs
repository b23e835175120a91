//! Which deployment this is, as its Redis remembers: `sk:{members}:deployment`, where it is
//! called `sk`.

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
    /// Asked over that connection.
    #[must_use]
    pub const fn new(redis: Redis, keys: Keys) -> Self {
        Self { redis, keys }
    }

    /// Its id, if it is known, and the process of Redis that holds it. One that is `remembered`
    /// is put back where Redis has forgotten it.
    pub async fn recall(&self, remembered: Option<&str>) -> Result<(Option<String>, String), RedisError> {
        let arguments = vec![remembered.unwrap_or_default().to_owned().into()];
        let answer = self.redis.run(&RECALL, &[self.keys.deployment()], arguments).await?;
        let [id, process]: [String; 2] = answer
            .convert::<Vec<String>>()
            .ok()
            .and_then(|parts| parts.try_into().ok())
            .ok_or_else(RedisError::protocol)?;
        Ok(((!id.is_empty()).then_some(id), process))
    }

    /// Begins another store life in every partition: what was written in the one before is
    /// held against the ledger before it is used.
    pub async fn begin_generations(&self) -> Result<(), RedisError> {
        for partition in Partition::all() {
            let life = self.keys.life(partition);
            self.redis.commands().await?.del::<(), _>(life).await.map_err(RedisError::of)?;
        }
        Ok(())
    }
}
