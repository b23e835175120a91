//! Timer sessions: whose clock runs, how it behaves, what commands do to it.

pub mod facts;
