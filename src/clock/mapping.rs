//! The straight line from a counter to time.

/// Microseconds that pass while one is corrected: 500 parts per million.
const MIN_US_PER_CORRECTION: i64 = 2_000;

/// Microseconds in which two hosts drift apart by one, at the fastest: 200 parts per million.
pub const MIN_US_PER_DRIFT: i64 = 5_000;

/// Time from one instant on. All in microseconds; instants are counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mapping {
    /// The count from which on it holds.
    pub from: i64,
    /// The time then.
    pub at: i64,
    /// The correction still to be made then.
    pub pending_correction: i64,
    /// When the exchange that it rests on was made.
    pub measured: i64,
    /// Half of that exchange's round trip.
    pub half: i64,
}

impl Mapping {
    /// The time at `count`. It rises with every count.
    pub fn at(self, count: i64) -> i64 {
        let counted = count - self.from;
        self.at + counted + self.corrected(counted)
    }

    /// How far that may be from the truth.
    pub fn uncertainty(self, count: i64) -> i64 {
        let left = self.pending_correction - self.corrected(count - self.from);
        self.half + (count - self.measured).max(0) / MIN_US_PER_DRIFT + left.abs()
    }

    /// The mapping from `count` on that slews to `target`.
    pub fn slewing_to(self, target: i64, count: i64) -> Self {
        let at = self.at(count);
        Self { from: count, at, pending_correction: target - at, ..self }
    }

    fn corrected(self, counted: i64) -> i64 {
        let max = counted.max(0) / MIN_US_PER_CORRECTION;
        self.pending_correction.clamp(-max, max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, proptest};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn it_rises_and_slews_no_faster_than_500_ppm(pending in -10_000_i64..10_000, from in 0_i64..1_000_000, step in 1_i64..5_000_000) {
            let mapping = Mapping { from, at: 7, pending_correction: pending, ..Mapping::default() };
            let (one, two) = (mapping.at(from + step), mapping.at(from + 2 * step));
            let gained = two - one - step;
            assert!(two > one && gained.abs() <= step / MIN_US_PER_CORRECTION + 1, "{gained} in {step}");
            assert!((mapping.at(from + 30_000_000) - 7 - 30_000_000) == pending);
            // A count from before the mapping was set.
            assert_eq!(mapping.at(from - 3), 4);
        }
    }

    #[test]
    fn uncertainty_grows_with_age_and_shrinks_with_the_correction() {
        let mapping = Mapping { from: 1_000, pending_correction: -500, measured: 500, half: 80, ..Mapping::default() };
        assert_eq!(mapping.uncertainty(1_000), 580);
        assert_eq!(mapping.uncertainty(1_000_500), 80 + 200 + 1);
        assert_eq!(mapping.uncertainty(10_000_500), 80 + 2_000);
    }
}
