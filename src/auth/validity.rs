//! Whether a proven caller is still good: its token may have been revoked since.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::timeout;

use super::denied::Denied;
use crate::domain::principal::Principal;
use crate::domain::time::Timestamp;

/// How long a request waits until it is known what is revoked.
const KNOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The generation while it is not known what is revoked.
pub const UNKNOWN: u64 = 0;

/// Whether proven callers are still good.
///
/// A generation is a number of what is revoked: while it stays, so does each answer. A stream
/// asks once, and again only when the generation is another.
#[async_trait]
pub trait Validity: Send + Sync {
    /// The generation now; [`UNKNOWN`] while nobody may be let in.
    fn generation(&self) -> u64;

    /// The generation and its changes.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Whether the token of `principal` is revoked at `now`.
    fn is_revoked(&self, principal: &Principal, now: Timestamp) -> bool;

    /// Whether it is known what is revoked; waits for that, but not for long.
    async fn is_known(&self) -> bool {
        if self.generation() != UNKNOWN {
            return true;
        }
        let mut changes = self.changes();
        timeout(KNOWN_TIMEOUT, changes.wait_for(|generation| *generation != UNKNOWN))
            .await
            .is_ok_and(|known| known.is_ok())
    }

    /// Refuses a principal that is revoked, and everyone while that is not known.
    ///
    /// # Errors
    /// Why it is refused.
    fn check(&self, principal: &Principal, now: Timestamp) -> Result<(), Denied> {
        if self.generation() == UNKNOWN {
            return Err(Denied::Unknown);
        }
        if self.is_revoked(principal, now) { Err(Denied::Revoked) } else { Ok(()) }
    }
}

/// Nothing is ever revoked.
pub struct NoRevocations;

impl Validity for NoRevocations {
    fn generation(&self) -> u64 {
        UNKNOWN + 1
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(UNKNOWN + 1).1
    }

    fn is_revoked(&self, _: &Principal, _: Timestamp) -> bool {
        false
    }
}
