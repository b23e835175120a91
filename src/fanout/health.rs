//! Since when the source has not answered. Heartbeats carry it to subscribers.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::time::Timestamp;

/// Whether subscribers are known to see the newest state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The source answered the last read.
    Ok,
    /// The source has not answered since then: writes may have been missed.
    StaleSince(Timestamp),
}

const OK: i64 = i64::MAX;

/// The Unix milliseconds of the first failure in a row, or [`OK`].
#[derive(Debug)]
pub(super) struct SourceHealth(AtomicI64);

impl SourceHealth {
    pub(super) const fn new() -> Self {
        Self(AtomicI64::new(OK))
    }

    pub(super) fn answered(&self) {
        self.0.store(OK, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, now: Timestamp) {
        // Only the first failure in a row counts, so a lost exchange changes nothing.
        let _ = self.0.compare_exchange(OK, now.as_ms(), Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn health(&self) -> Health {
        match self.0.load(Ordering::Relaxed) {
            OK => Health::Ok,
            since => Health::StaleSince(Timestamp::from_ms(since)),
        }
    }
}
