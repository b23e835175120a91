//! The audit: it records the outbox of the store in the ledger.
//!
//! An entry leaves the outbox after the ledger's commit, never before. If a worker dies in
//! between, the next one records the entry again, and the ledger ignores the repeat.

pub mod dead_letters;
pub mod heartbeat;
pub mod ownership;
#[cfg(test)]
mod tests;
pub mod worker;

pub use crate::store::Now;
