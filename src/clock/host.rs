//! The one file that reads the host's time.

#![expect(clippy::disallowed_methods, reason = "the one file that reads the host's time")]

use std::time::{Instant, SystemTime};

use super::mapped::Counter;

/// The host's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct HostCounter(Instant);

impl HostCounter {
    /// Counts from now on.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Counter for HostCounter {
    fn count_us(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

/// The host's calendar clock, in microseconds since the Unix epoch.
pub fn calendar_us() -> i64 {
    let since_unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_unix.as_micros()).unwrap_or(i64::MAX)
}
