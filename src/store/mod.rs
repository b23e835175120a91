//! Live sessions, shared by all instances.

pub mod outbox;
