//! The straight line from what the host counts to cluster time: moved by one, read by all.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering, fence};

/// So many microseconds pass while one is corrected: 500 parts per million.
const MAX_SLEW_PPM: i64 = 2_000;

/// In so many microseconds, two hosts part by one at most: 200 parts per million.
pub const MAX_DRIFT_PPM: i64 = 5_000;

/// Cluster time from one instant on. All in microseconds; instants are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mapping {
    /// From when on it holds.
    pub from: i64,
    /// Cluster time then.
    pub at: i64,
    /// What was to be corrected then.
    pub pending_correction: i64,
    /// When the exchange was that it rests on.
    pub measured: i64,
    /// Half of that exchange's round trip.
    pub half: i64,
}

impl Mapping {
    /// Cluster time when `count` was counted. It rises with every count.
    #[must_use]
    pub fn at(self, count: i64) -> i64 {
        let counted = count - self.from;
        self.at + counted + self.corrected(counted)
    }

    /// How far that may be from the truth.
    #[must_use]
    pub fn uncertainty(self, count: i64) -> i64 {
        let left = self.pending_correction - self.corrected(count - self.from);
        self.half + (count - self.measured).max(0) / MAX_DRIFT_PPM + left.abs()
    }

    fn corrected(self, counted: i64) -> i64 {
        let most = counted.max(0) / MAX_SLEW_PPM;
        self.pending_correction.clamp(-most, most)
    }

    fn parts(self) -> [i64; 5] {
        [self.from, self.at, self.pending_correction, self.measured, self.half]
    }

    fn of([from, at, owed, measured, half]: [i64; 5]) -> Self {
        Self { from, at, pending_correction: owed, measured, half }
    }
}

/// A line that many read while one moves it; nobody waits for anybody.
#[derive(Debug, Default)]
pub struct SharedMapping {
    /// Odd while the parts are being changed.
    turn: AtomicU64,
    parts: [AtomicI64; 5],
}

impl SharedMapping {
    /// One that starts as `line`.
    #[must_use]
    pub fn new(line: Mapping) -> Self {
        let shared = Self::default();
        shared.set(line);
        shared
    }

    /// Only ever called by one at a time.
    pub fn set(&self, line: Mapping) {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        for (part, value) in self.parts.iter().zip(line.parts()) {
            part.store(value, Ordering::Relaxed);
        }
        self.turn.store(turn + 2, Ordering::Release);
    }

    /// The newest line, whole.
    pub fn get(&self) -> Mapping {
        loop {
            let before = self.turn.load(Ordering::Acquire);
            let parts = std::array::from_fn(|index| self.parts[index].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.turn.load(Ordering::Relaxed) == before {
                return Mapping::of(parts);
            }
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use proptest::prelude::{ProptestConfig, proptest};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn it_rises_and_is_corrected_no_faster_than_it_may(owed in -10_000_i64..10_000, from in 0_i64..1_000_000, step in 1_i64..5_000_000) {
            let line = Mapping { from, at: 7, pending_correction: owed, ..Mapping::default() };
            let (one, two) = (line.at(from + step), line.at(from + 2 * step));
            let gained = two - one - step;
            assert!(two > one && gained.abs() <= step / MAX_SLEW_PPM + 1, "{gained} in {step}");
            assert!((line.at(from + 30_000_000) - 7 - 30_000_000) == owed);
            // Who counted a moment before the line was moved.
            assert_eq!(line.at(from - 3), 4);
        }
    }

    #[test]
    fn what_is_not_known_grows_with_time_and_shrinks_with_what_is_paid() {
        let line = Mapping { from: 1_000, pending_correction: -500, measured: 500, half: 80, ..Mapping::default() };
        assert_eq!(line.uncertainty(1_000), 580);
        assert_eq!(line.uncertainty(1_000_500), 80 + 200 + 1);
        assert_eq!(line.uncertainty(10_000_500), 80 + 2_000);
    }

    #[test]
    fn nobody_reads_half_of_one_line_and_half_of_another() {
        let (shared, ends) = (Arc::new(SharedMapping::default()), Arc::new(AtomicBool::new(false)));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (shared, ends) = (Arc::clone(&shared), Arc::clone(&ends));
                std::thread::spawn(move || {
                    while !ends.load(Ordering::Relaxed) {
                        let parts = shared.get().parts();
                        assert!(parts.iter().all(|part| *part == parts[0]), "{parts:?}");
                    }
                })
            })
            .collect();
        (0..100_000).for_each(|number| shared.set(Mapping::of([number; 5])));
        ends.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    }
}
