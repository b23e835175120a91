//! The audit entry of one change: body, link, author and outcome.

use bytes::Bytes;

use super::chain::Link;
use super::id::SessionKey;
use super::idempotency::IdempotencyKey;

/// One committed version on its road to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose session changed.
    pub key: SessionKey,
    /// Position, instant, and the binding to the change before.
    pub link: Link,
    /// The stored session, as `Session::stored` wrote it; `None` once shed.
    pub body: Option<Bytes>,
    /// What happened, as JSON: command, who, outcome, events.
    pub change: Bytes,
    /// The idempotency key the change answered, if it came with one.
    pub idempotency: Option<IdempotencyKey>,
}

impl Entry {
    /// Roughly how much memory it takes, in bytes.
    pub fn size_bytes(&self) -> usize {
        const FIXED: usize = 256;
        FIXED + self.body.as_ref().map_or(0, Bytes::len) + self.change.len()
    }
}
