//! Where *now* comes from.

pub mod cluster;
mod host;
mod manual;
mod mapped;
mod mapping;
mod system;

use std::time::Duration;

use async_trait::async_trait;

pub use host::HostCounter;
pub use manual::ManualClock;
pub use mapped::Counter;
pub use system::{DISCIPLINE_INTERVAL, SystemClock};

use crate::domain::time::Timestamp;

/// A source of now, the same for all instances of a cluster.
///
/// It never goes back and is never stepped. Between two of its instants as much
/// time passes as anywhere, apart from slewing.
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

    /// Returns at `at` or a little later, never before. It sleeps on the host's timers
    /// until this clock says that it is time.
    async fn sleep_until(&self, at: Timestamp) {
        loop {
            let left_us = at.as_ms().saturating_mul(1_000).saturating_sub(self.now_us());
            let Some(left) = u64::try_from(left_us).ok().filter(|left| *left > 0) else { return };
            tokio::time::sleep(Duration::from_micros(left)).await;
        }
    }

    /// Now, floored to whole milliseconds.
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.now_us().div_euclid(1_000))
    }
}
