//! How long a connection may take for what the library does not bound by itself.

use std::time::Duration;

/// The deadlines of every connection of a listener.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionTimeouts {
    /// For the head of a request, and for HTTP/2's preface with the first request.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// For a reader to take something of what stands in line for it.
    pub write: Duration,
}

impl Default for ConnectionTimeouts {
    fn default() -> Self {
        Self { head: Duration::from_secs(10), idle: Duration::from_mins(1), write: Duration::from_secs(10) }
    }
}
