//! What counts between two looks at another clock.

use std::time::Instant;

/// Counts microseconds from some instant on: never back, never stepped, and at much
/// the same pace everywhere.
pub trait Counter: Clone + Send + Sync + 'static {
    /// How many there were.
    fn count_us(&self) -> i64;
}

/// The host's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct HostCounter(Instant);

impl HostCounter {
    /// Counts from now on.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "one of the two places that read the host's time")]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Counter for HostCounter {
    #[expect(clippy::disallowed_methods, reason = "one of the two places that read the host's time")]
    fn count_us(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}
