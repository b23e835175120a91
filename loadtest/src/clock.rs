//! The host's time of day. Spans are measured with `tokio::time::Instant`.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds of Unix time: what the kernel stamps arrivals with, and what several drivers share.
#[expect(clippy::disallowed_methods, reason = "the one place of this program that reads the host's time")]
pub fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
