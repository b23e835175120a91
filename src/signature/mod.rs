//! Signed commands: a command that carries a signature is done once, as it was signed, and soon
//! after, or not at all.
//!
//! The key is bound to the caller's token. The instant is judged by cluster time, and a nonce
//! counts once for its caller, over all instances.

mod header;
mod key;
mod nonces;

use std::sync::Arc;

use crate::clock::Clock;
use crate::domain::chain::Digest;
use crate::domain::id::TenantId;
use crate::domain::principal::Principal;
use crate::domain::time::Timestamp;
use crate::seal::{SealSecret, TenantPolicy};
use crate::telemetry::metrics;

pub use self::header::{InvalidClaim, SignatureClaim};
pub use self::key::{SignedContent, SigningKey};
pub use self::nonces::{MemoryNonces, NonceError, Nonces, RedisNonces};

/// How far a signature's instant may be from cluster time, either way.
pub const WINDOW_MS: i64 = 60_000;

/// Why a command is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The tenant takes signed commands only.
    #[error("the tenant takes signed commands only")]
    Missing,
    /// The signature is not of the form.
    #[error("{0}")]
    Malformed(InvalidClaim),
    /// The signature's instant is not within a minute of cluster time.
    #[error("the instant t is not within 60 seconds of cluster time, which is {now_ms}")]
    OutOfTime {
        /// Cluster time.
        now_ms: i64,
    },
    /// It is of another command, or by another key.
    #[error("it is not over this command, or not by the key that belongs to this token")]
    Wrong,
    /// The caller has sent this nonce before.
    #[error("the nonce was used before")]
    Replayed,
    /// Whether the nonce was used before cannot be learned.
    #[error("nobody can tell whether the nonce was used before")]
    Unavailable,
    /// More nonces are remembered than there is room for.
    #[error("too many signed commands were sent within the last minutes")]
    Full,
    /// The tenant takes signed commands only, and no secret is set to check them with.
    #[error("no secret is set to check signatures with")]
    NoSecret,
}

/// Checks signed commands.
pub struct Signatures {
    secret: Option<SealSecret>,
    policy: Arc<dyn TenantPolicy>,
    nonces: Arc<dyn Nonces>,
    clock: Arc<dyn Clock>,
}

impl Signatures {
    /// Over the nonces that all instances share.
    pub fn new(
        secret: Option<SealSecret>,
        policy: Arc<dyn TenantPolicy>,
        nonces: Arc<dyn Nonces>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { secret, policy, nonces, clock }
    }

    /// The key that `by` signs with; `None` without a secret.
    pub fn key(&self, by: &Principal) -> Option<SigningKey> {
        self.secret.as_ref().map(|secret| SigningKey::of(secret, by))
    }

    /// Whether this deployment checks a signature that a command carries.
    pub const fn is_checked(&self) -> bool {
        self.secret.is_some()
    }

    /// Whether the tenant's commands must be signed.
    pub fn is_required(&self, tenant: &TenantId) -> bool {
        self.policy.requires_signatures(tenant)
    }

    /// Reads a signature before the command itself is read; `None` if there is nothing to check.
    pub fn claim(&self, by: &Principal, signature: Option<&str>) -> Result<Option<SignatureClaim>, SignatureError> {
        let is_required = self.is_required(&by.tenant);
        let read = match signature {
            _ if !self.is_checked() && is_required => Err(SignatureError::NoSecret),
            None if is_required => Err(SignatureError::Missing),
            Some(text) if self.is_checked() => self.in_time(text).map(Some),
            _ => return Ok(None),
        };
        read.inspect_err(|why| count(*why))
    }

    fn in_time(&self, text: &str) -> Result<SignatureClaim, SignatureError> {
        let claim: SignatureClaim = text.parse().map_err(SignatureError::Malformed)?;
        check_time(&claim, self.clock.now()).map(|()| claim)
    }

    /// Whether `claim` is of that command, by this caller, for the first time.
    pub async fn check(
        &self,
        by: &Principal,
        claim: &SignatureClaim,
        signed: SignedContent<'_>,
    ) -> Result<(), SignatureError> {
        let outcome = self.judge(by, claim, signed).await;
        match outcome {
            Ok(()) => metrics::count_signature("valid"),
            Err(why) => count(why),
        }
        outcome
    }

    async fn judge(
        &self,
        by: &Principal,
        claim: &SignatureClaim,
        signed: SignedContent<'_>,
    ) -> Result<(), SignatureError> {
        let key = self.key(by).ok_or(SignatureError::NoSecret)?;
        if !key.verifies(claim, signed) {
            return Err(SignatureError::Wrong);
        }
        // The body may have been long on its way. A nonce is remembered until no signature
        // with it is in time, and no longer.
        let now = self.clock.now();
        check_time(claim, now)?;
        let nonce = Digest::of(nonce_of(by, claim).as_bytes());
        match self.nonces.use_once(nonce, claim.at + WINDOW_MS, now).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SignatureError::Replayed),
            Err(NonceError::Full) => Err(SignatureError::Full),
            Err(NonceError::Unavailable(_)) => Err(SignatureError::Unavailable),
        }
    }
}

fn check_time(claim: &SignatureClaim, now: Timestamp) -> Result<(), SignatureError> {
    let is_in_time = now.as_ms().abs_diff(claim.at.as_ms()) <= WINDOW_MS.unsigned_abs();
    if is_in_time { Ok(()) } else { Err(SignatureError::OutOfTime { now_ms: now.as_ms() }) }
}

/// A line feed stands neither in a tenant nor in a nonce.
fn nonce_of(by: &Principal, claim: &SignatureClaim) -> String {
    format!("{}\n{}\n{}", by.tenant, claim.nonce, by.identity())
}

fn count(why: SignatureError) {
    metrics::count_signature(match why {
        SignatureError::Missing => "missing",
        SignatureError::Replayed => "replayed",
        SignatureError::Unavailable | SignatureError::Full | SignatureError::NoSecret => "unavailable",
        SignatureError::Malformed(_) | SignatureError::OutOfTime { .. } | SignatureError::Wrong => "invalid",
    });
}

#[cfg(test)]
mod tests;
