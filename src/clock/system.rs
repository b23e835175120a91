//! The clock of an instance that is alone.

use std::time::Duration;

use super::Clock;
use super::host::{HostCounter, calendar_us};
use super::mapped::MappedClock;
use super::mapping::Mapping;

/// How often it is compared with the calendar clock.
pub const DISCIPLINE_INTERVAL: Duration = Duration::from_secs(1);

/// The host's clock, disciplined: the host's monotonic clock counts, and follows the
/// host's calendar clock by slewing. A step of the calendar clock moves no timer.
#[derive(Debug)]
pub struct SystemClock(MappedClock<HostCounter>);

impl SystemClock {
    /// A clock that agrees with the host's calendar clock now.
    pub fn start() -> Self {
        Self::start_at(calendar_us())
    }

    fn start_at(now_us: i64) -> Self {
        Self(MappedClock::new(HostCounter::start(), Mapping { at: now_us, ..Mapping::default() }))
    }

    /// Slews toward the calendar clock; to be called once a second, by one task.
    pub fn discipline(&self) {
        self.0.slew_to(calendar_us());
    }
}

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        self.0.now_us()
    }

    fn uncertainty_ms(&self) -> f64 {
        0.0
    }

    fn source(&self) -> &'static str {
        "system"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calendar_step_is_slewed_and_never_goes_back() {
        let clock = SystemClock::start_at(calendar_us() + 3_600_000_000);
        let before = clock.now_us();
        clock.discipline();
        let after = clock.now_us();
        assert!(after >= before, "went back by {}", before - after);
        assert!(after - calendar_us() > 3_590_000_000, "stepped to {after}");
    }

    #[tokio::test]
    async fn sleeping_ends_no_earlier_than_asked() {
        let clock = SystemClock::start();
        let at = clock.now() + 20;
        clock.sleep_until(at).await;
        assert!(clock.now() >= at);
    }
}
