//! Instants and spans in whole milliseconds; the only time the rules know.

use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// The longest span that is accepted: a hundred years. Sums of a few
/// thousand of them still fit a float's 53 bits, so JavaScript reads them exactly.
pub const MAX_SPAN_MS: i64 = 100 * 366 * 24 * 3_600_000;

/// An instant of cluster time: whole milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Later than every instant that occurs.
    pub const NEVER: Self = Self(i64::MAX);

    /// The instant `ms` milliseconds after the Unix epoch.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// How long ago `earlier` was, in ms.
    ///
    /// Zero if `earlier` is still to come: two instances may disagree by a few
    /// milliseconds, and a participant must never gain time from that.
    pub const fn since(self, earlier: Self) -> i64 {
        let span = self.0.saturating_sub(earlier.0);
        if span < 0 { 0 } else { span }
    }
}

impl Add<i64> for Timestamp {
    type Output = Self;
    /// `span_ms` later (earlier, if negative); stops at the ends of time.
    fn add(self, span_ms: i64) -> Self {
        Self(self.0.saturating_add(span_ms))
    }
}

impl Sub<i64> for Timestamp {
    type Output = Self;
    fn sub(self, span_ms: i64) -> Self {
        Self(self.0.saturating_sub(span_ms))
    }
}
