//! The road from the store to the ledger.
//!
//! An entry leaves the outbox after the ledger's commit, never before. A worker
//! that dies in between is followed by one that records the same again, which
//! the ledger absorbs.

pub mod dead_letters;
pub mod heartbeat;
pub mod ownership;
#[cfg(test)]
mod tests;
pub mod worker;

pub use crate::store::Now;
