//! The road from the store to the ledger.
//!
//! An entry leaves the outbox after the ledger's commit, never before. A worker
//! that dies in between is followed by one that records the same again, which
//! the ledger absorbs.

pub mod dead;
pub mod heartbeat;
#[cfg(test)]
mod tests;
pub mod worker;

use std::sync::Arc;

use crate::domain::time::Timestamp;

/// Where the audit learns the time from.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;
