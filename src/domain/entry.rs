//! What the audit keeps of one change: the body, the link, who asked and what came of it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::chain::{Digest, Link};
use super::id::SessionKey;

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
    pub repeat: Option<Repeat>,
}

/// What recognises the repeat of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Repeat {
    /// Digest of tenant, subject, session and the caller's key.
    pub key: Digest,
    /// Digest of the body it came with.
    pub body: Digest,
}

impl Entry {
    /// Roughly what it costs to hold, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        const FIXED: usize = 256;
        FIXED + self.body.as_ref().map_or(0, Bytes::len) + self.change.len()
    }
}
