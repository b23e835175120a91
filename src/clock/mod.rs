//! Where *now* comes from. The one file that reads the host's time.

use std::time::SystemTime;

use crate::domain::time::Timestamp;

/// A source of now.
pub trait Clock: Send + Sync {
    /// The instant at which it is called.
    fn now(&self) -> Timestamp;
}

/// The host's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the host's time")]
    fn now(&self) -> Timestamp {
        let since_unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_ms(i64::try_from(since_unix.as_millis()).unwrap_or(i64::MAX))
    }
}
