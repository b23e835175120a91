//! Cluster time: the host counts, and follows one reference that all instances follow.
//!
//! The best of several exchanges tells where cluster time is; the clock is slewed there
//! and never stepped. While the reference is away it is held over, and says how far off
//! it may be by then. A reference that is another process than before, or that has
//! forgotten its offset, is given the offset that continues what is held here.
//!
//! A host that counts nothing while it is suspended comes back late by as much; it is
//! then too uncertain to be of use, for as long as the slew takes.

mod discipline;
mod follower;
mod mapping;
mod reference;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;

use super::counter::{Counter, HostCounter};
use super::{Clock, sleep_by};
use crate::domain::time::Timestamp;

use self::mapping::SharedMapping;

pub use self::discipline::Settings;
pub use self::follower::Follower;
pub use self::reference::{Away, Reading, Reference, StoredOffset};

/// The clock of one instance among many.
#[derive(Debug)]
pub struct ClusterClock<C = HostCounter> {
    counter: C,
    line: SharedMapping,
    newest_us: AtomicI64,
}

impl ClusterClock {
    /// A clock and what keeps it on the reference, which must run. Returns once the
    /// reference has told the time: without it there is no cluster time.
    pub async fn start(reference: Arc<dyn Reference>, settings: Settings) -> (Arc<Self>, Follower) {
        Self::counting(HostCounter::start(), reference, settings).await
    }
}

impl<C: Counter> ClusterClock<C> {
    /// The same, on another counter.
    pub async fn counting(counter: C, reference: Arc<dyn Reference>, settings: Settings) -> (Arc<Self>, Follower<C>) {
        Follower::start(counter, reference, settings).await
    }
}

#[async_trait]
impl<C: Counter> Clock for ClusterClock<C> {
    fn now_us(&self) -> i64 {
        // Who counted before the line was moved may read it after.
        let now = self.line.get().at(self.counter.count_us());
        now.max(self.newest_us.fetch_max(now, Ordering::Relaxed))
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody asks for the 53rd bit of an uncertainty")]
    fn uncertainty_ms(&self) -> f64 {
        self.line.get().uncertainty(self.counter.count_us()) as f64 / 1_000.0
    }

    fn source(&self) -> &'static str {
        "redis"
    }

    async fn sleep_until(&self, at: Timestamp) {
        sleep_by(self, at).await;
    }
}
