//! Time in the simulation: virtual, and a little off in each instance.

use std::time::Duration;

use async_trait::async_trait;
use synckairos::clock::Clock;
use synckairos::domain::time::Timestamp;
use tokio::time::{Instant, sleep_until};

/// When every schedule begins.
const BEGAN_MS: i64 = 1_767_225_600_000;

/// True time: only the oracle knows it, no part of the simulated world.
#[derive(Debug, Clone, Copy)]
pub struct Truth(Instant);

impl Truth {
    /// A world that begins now.
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    pub fn now(self) -> Timestamp {
        Timestamp::from_ms(BEGAN_MS + i64::try_from(self.0.elapsed().as_millis()).unwrap())
    }

    /// So long after the beginning.
    pub fn after(self, span: Duration) -> Instant {
        self.0 + span
    }

    /// When it began, in microseconds.
    pub const BEGAN_US: i64 = BEGAN_MS * 1_000;

    /// So many milliseconds after the beginning, for a trace.
    pub fn told(at: Timestamp) -> i64 {
        at.as_ms() - BEGAN_MS
    }
}

/// An instance's clock: it is off by so much, and says that it may be off by more.
#[derive(Debug)]
pub struct HostClock {
    truth: Truth,
    off_ms: i64,
    uncertainty_ms: u32,
}

impl HostClock {
    pub fn new(truth: Truth, off_ms: i64, uncertainty_ms: u32) -> Self {
        Self { truth, off_ms, uncertainty_ms }
    }
}

#[async_trait]
impl Clock for HostClock {
    fn now_us(&self) -> i64 {
        (self.truth.now().as_ms() + self.off_ms) * 1_000
    }

    fn uncertainty_ms(&self) -> f64 {
        f64::from(self.uncertainty_ms)
    }

    fn source(&self) -> &'static str {
        "simulated"
    }

    async fn sleep_until(&self, at: Timestamp) {
        match u64::try_from(at.as_ms().saturating_sub(self.off_ms).saturating_sub(BEGAN_MS)) {
            // Further than any schedule goes.
            Ok(ms) if ms > 1 << 40 => std::future::pending().await,
            Ok(ms) => sleep_until(self.truth.after(Duration::from_millis(ms))).await,
            Err(_) => {}
        }
    }
}
