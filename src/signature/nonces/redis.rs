//! Nonces in the Redis that all instances share, each under a key of its own that Redis expires.

use std::sync::LazyLock;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{NonceError, Nonces};
use crate::domain::chain::Digest;
use crate::domain::time::Timestamp;
use crate::redis::{Argument, Redis, RedisError, Script};
use crate::store::keys::Keys;

/// Redis's clock and cluster time may be so far apart.
const MARGIN_MS: i64 = 5_000;

static USE: LazyLock<Script> = LazyLock::new(|| Script::new(&[include_str!("../lua/use_nonce.lua")]));

/// Nonces shared by all instances.
pub struct RedisNonces {
    redis: Redis,
    keys: Keys,
}

impl RedisNonces {
    /// Over a connection of its own.
    pub const fn new(redis: Redis, keys: Keys) -> Self {
        Self { redis, keys }
    }
}

#[async_trait]
impl Nonces for RedisNonces {
    async fn use_once(&self, nonce: Digest, until: Timestamp, now: Timestamp) -> Result<bool, NonceError> {
        let key = self.keys.nonce(&URL_SAFE_NO_PAD.encode(nonce.as_bytes()));
        let ttl_ms = (until.as_ms() - now.as_ms()).max(0) + MARGIN_MS;
        let reply = self.redis.run(&USE, &[key], vec![Argument::from(ttl_ms.to_string())]).await?;
        Ok(reply.convert::<i64>().map_err(|_| RedisError::protocol())? == 1)
    }
}

impl From<RedisError> for NonceError {
    fn from(error: RedisError) -> Self {
        Self::Unavailable(error.into())
    }
}
