//! The audit entry of one change: body, link, author and outcome.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::chain::{Digest, Link};
use super::id::SessionKey;
use super::position::Position;
use super::time::Timestamp;

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

/// Identifies a repeat of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// Digest of tenant, subject, session and the caller's key.
    pub key: Digest,
    /// Digest of the body it came with.
    pub body: Digest,
}

/// The answer to a command that came with an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// The key it came with.
    pub key: IdempotencyKey,
    /// The position of the first result.
    pub position: Position,
    /// When.
    pub at: Timestamp,
    /// What happened, as JSON.
    pub change: Bytes,
}

/// How long a repeat is recognised.
pub const IDEMPOTENCY_TTL_MS: i64 = 10 * 60_000;

impl IdempotencyKey {
    /// Identifies a caller's key, with the digest of the body it came with.
    #[must_use]
    pub fn of(key: &SessionKey, subject: &str, text: &str, body: Digest) -> Self {
        // Lengths keep the parts apart: no two callers share a digest.
        let (session, len) = (key.to_string(), subject.len());
        let named = format!("{session}\n{len}\n{subject}\n{text}");
        Self { key: Digest::of(named.as_bytes()), body }
    }
}

impl Entry {
    /// Roughly how much memory it takes, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        const FIXED: usize = 256;
        FIXED + self.body.as_ref().map_or(0, Bytes::len) + self.change.len()
    }
}
