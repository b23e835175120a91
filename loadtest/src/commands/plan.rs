//! Which commands to send, and their outcome.

use std::time::Duration;

use super::connection::CommandTransport;
use crate::crowd::protocol::Sent;
use crate::report::Errors;
use crate::report::latencies::Latencies;

/// Which commands to send.
#[derive(Debug, Clone)]
pub struct Plan {
    pub workers: usize,
    /// In all; without one the loop is closed.
    pub per_second: Option<f64>,
    /// Not measured.
    pub warmup: Duration,
    pub span: Duration,
    pub over: CommandTransport,
    /// Whether each worker asks all instances in turn, or always the same.
    pub takes_turns: bool,
    /// Whether to record which command was sent when.
    pub is_watched: bool,
}

/// The outcome of all commands.
#[derive(Debug, Default)]
pub struct CommandTotals {
    /// Counted from when each was due.
    pub from_due: Latencies,
    /// Counted from when each was sent. In a closed loop that is the same.
    pub from_sent: Latencies,
    /// Writes that were made, those of the warm-up too.
    pub applied: u64,
    /// Those that were measured, and when they were asked for.
    pub sent: Vec<Sent>,
    pub errors: Errors,
}

impl CommandTotals {
    pub fn add(&mut self, other: Self) {
        self.from_due.add(&other.from_due);
        self.from_sent.add(&other.from_sent);
        self.applied += other.applied;
        self.sent.extend(other.sent);
        for (why, count) in other.errors {
            *self.errors.entry(why).or_default() += count;
        }
    }
}
