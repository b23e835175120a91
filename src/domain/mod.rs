//! The rules, pure: no async, no I/O, no clock, no randomness. `now` is handed
//! in, values come back.

pub mod access;
pub mod chain;
pub mod entry;
pub mod id;
pub mod idempotency;
pub mod network;
pub mod position;
pub mod principal;
pub mod revocation;
pub mod session;
pub mod setting;
pub mod time;
