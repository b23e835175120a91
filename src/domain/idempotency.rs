//! Recognises a repeat of a command by its idempotency key.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::chain::Digest;
use super::id::SessionKey;
use super::position::Position;
use super::time::Timestamp;

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
    pub fn of(key: &SessionKey, subject: &str, text: &str, body: Digest) -> Self {
        // Lengths keep the parts apart: no two callers share a digest.
        let (session, len) = (key.to_string(), subject.len());
        let named = format!("{session}\n{len}\n{subject}\n{text}");
        Self { key: Digest::of(named.as_bytes()), body }
    }
}
