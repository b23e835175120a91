//! Which nonces were used: each counts once for its caller, on whatever instance.

mod memory;
mod redis;

use async_trait::async_trait;

use crate::domain::chain::Digest;
use crate::domain::time::Timestamp;

pub use self::memory::MemoryNonces;
pub use self::redis::RedisNonces;

/// Why a nonce cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NonceError {
    /// Whether it was used before cannot be learned. It may count as used from now on.
    #[error("failed to look a nonce up")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No more can be remembered until some are out of time.
    #[error("there is no room for another nonce")]
    Full,
}

/// Remembers nonces.
#[async_trait]
pub trait Nonces: Send + Sync {
    /// Uses a nonce: true for one call alone until `until`, whichever instances are asked.
    /// After `until` it is forgotten, so no caller may take a signature for good that late.
    async fn use_once(&self, nonce: Digest, until: Timestamp, now: Timestamp) -> Result<bool, NonceError>;
}
