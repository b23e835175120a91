//! Cluster time: the host counts, and follows one reference that all instances follow.
//!
//! The best of several exchanges tells where cluster time is; the clock slews there and
//! is never stepped. While the reference is away the clock is held over, and its
//! uncertainty grows. A reference that is another process than before, or that has
//! forgotten its offset, is given the offset that continues this clock.
//!
//! A host whose counter stops while it is suspended comes back late by as much; it is
//! then too uncertain to be of use, for as long as the slew takes.

mod discipline;
mod follower;
mod reference;

#[cfg(test)]
mod tests;

use super::Clock;
use super::host::HostCounter;
use super::mapped::{Counter, MappedClock};

pub use self::discipline::Settings;
pub use self::follower::Follower;
pub use self::reference::{Reading, Reference, ReferenceUnavailable, StoredOffset};

/// The clock of one instance among many; a [`Follower`] starts and moves it.
#[derive(Debug)]
pub struct ClusterClock<C = HostCounter>(MappedClock<C>);

impl<C: Counter> Clock for ClusterClock<C> {
    fn now_us(&self) -> i64 {
        self.0.now_us()
    }

    #[expect(clippy::cast_precision_loss, reason = "no caller needs the 53rd bit of an uncertainty")]
    fn uncertainty_ms(&self) -> f64 {
        self.0.uncertainty_us() as f64 / 1_000.0
    }

    fn source(&self) -> &'static str {
        "redis"
    }
}
