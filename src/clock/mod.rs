//! Where *now* comes from. The one room that reads the host's time.

pub mod cluster;
mod counter;
mod manual;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;

pub use counter::{Counter, HostCounter};
pub use manual::ManualClock;

use crate::domain::time::Timestamp;

/// A source of now, the same for all instances of a cluster.
///
/// It never goes back and is never stepped. Between two of its instants as much
/// time passes as anywhere, give or take what it is slewed by.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Microseconds since the Unix epoch.
    fn now_us(&self) -> i64;

    /// Half the width of the interval that true cluster time lies in.
    fn uncertainty_ms(&self) -> f64;

    /// Whether it is good enough to act on; otherwise the instance is not ready and
    /// fires no deadlines.
    fn is_within(&self, max_uncertainty: Duration) -> bool {
        self.uncertainty_ms() <= max_uncertainty.as_secs_f64() * 1_000.0
    }

    /// What its time rests on, as `/v1/time` says it.
    fn source(&self) -> &'static str;

    /// Returns at `at` or a little later, never before.
    async fn sleep_until(&self, at: Timestamp);

    /// Now, floored to whole milliseconds.
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.now_us().div_euclid(1_000))
    }
}

/// The host's clock, disciplined: the host's monotonic clock counts, and follows
/// the host's calendar clock by slewing. Whoever steps the calendar clock steps
/// no timer.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
    origin_us: i64,
    slewed_us: AtomicI64,
    newest_us: AtomicI64,
}

/// At most so much is corrected a second: 500 parts per million.
const SLEW_US: i64 = 500;

/// How often it is compared with the calendar clock.
pub const DISCIPLINE_EVERY: Duration = Duration::from_secs(1);

impl SystemClock {
    /// A clock that agrees with the host's calendar clock now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "one of the two places that read the host's time")]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
            origin_us: calendar_us(),
            slewed_us: AtomicI64::new(0),
            newest_us: AtomicI64::new(i64::MIN),
        }
    }

    /// Slews toward the calendar clock; to be called once a second.
    pub fn discipline(&self) {
        let behind = calendar_us() - self.counted_us();
        self.slewed_us.fetch_add(behind.clamp(-SLEW_US, SLEW_US), Ordering::Relaxed);
    }

    #[expect(clippy::disallowed_methods, reason = "one of the two places that read the host's time")]
    fn counted_us(&self) -> i64 {
        let counted = i64::try_from(self.origin.elapsed().as_micros()).unwrap_or(i64::MAX);
        self.origin_us.saturating_add(counted).saturating_add(self.slewed_us.load(Ordering::Relaxed))
    }
}

#[expect(clippy::disallowed_methods, reason = "one of the two places that read the host's time")]
fn calendar_us() -> i64 {
    let since_unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_unix.as_micros()).unwrap_or(i64::MAX)
}

#[async_trait]
impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        let counted = self.counted_us();
        counted.max(self.newest_us.fetch_max(counted, Ordering::Relaxed))
    }

    fn uncertainty_ms(&self) -> f64 {
        0.0
    }

    fn source(&self) -> &'static str {
        "system"
    }

    async fn sleep_until(&self, at: Timestamp) {
        sleep_by(self, at).await;
    }
}

/// Sleeps on the host's timers until `clock` says it is time.
async fn sleep_by(clock: &impl Clock, at: Timestamp) {
    loop {
        let left_us = at.as_ms().saturating_mul(1_000).saturating_sub(clock.now_us());
        let Ok(left) = u64::try_from(left_us) else { return };
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_micros(left)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calendar_step_is_slewed_and_never_goes_back() {
        let clock = SystemClock { origin_us: calendar_us() + 3_600_000_000, ..SystemClock::start() };
        let before = clock.now_us();
        clock.discipline();
        let after = clock.now_us();
        assert!(after >= before, "went back by {}", before - after);
        assert_eq!(clock.slewed_us.load(Ordering::Relaxed), -SLEW_US);
    }

    #[tokio::test]
    async fn sleeping_ends_no_earlier_than_asked() {
        let clock = SystemClock::start();
        let at = clock.now() + 20;
        clock.sleep_until(at).await;
        assert!(clock.now() >= at);
    }
}
