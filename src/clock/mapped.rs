//! Time as a mapping of a counter: one task moves the mapping, all threads read it.

use std::sync::atomic::{AtomicI64, Ordering};

use crossbeam_utils::atomic::AtomicCell;

use super::mapping::Mapping;

/// Counts microseconds from some instant on: never back, never stepped, and at much
/// the same pace everywhere.
pub trait Counter: Clone + Send + Sync + 'static {
    /// Microseconds so far.
    fn count_us(&self) -> i64;
}

/// The time of a counter. It never goes back, even while its mapping is replaced.
#[derive(Debug)]
pub struct MappedClock<C> {
    counter: C,
    mapping: AtomicCell<Mapping>,
    newest_us: AtomicI64,
}

impl<C: Counter> MappedClock<C> {
    /// Starts with `mapping`.
    pub fn new(counter: C, mapping: Mapping) -> Self {
        Self { counter, mapping: AtomicCell::new(mapping), newest_us: AtomicI64::new(i64::MIN) }
    }

    /// Microseconds since the Unix epoch.
    pub fn now_us(&self) -> i64 {
        // A thread that loaded the mapping before it was replaced may count after.
        let now = self.mapping.load().at(self.counter.count_us());
        now.max(self.newest_us.fetch_max(now, Ordering::Relaxed))
    }

    /// How far that may be off, in microseconds.
    pub fn uncertainty_us(&self) -> i64 {
        self.mapping.load().uncertainty(self.counter.count_us())
    }

    /// Replaces the mapping.
    pub fn set(&self, mapping: Mapping) {
        self.mapping.store(mapping);
    }

    /// Slews to `target_us` from now on. Only one task may call it.
    pub fn slew_to(&self, target_us: i64) {
        self.set(self.mapping.load().slewing_to(target_us, self.counter.count_us()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[derive(Debug, Clone)]
    struct Count(i64);

    impl Counter for Count {
        fn count_us(&self) -> i64 {
            self.0
        }
    }

    fn all(number: i64) -> Mapping {
        Mapping { from: number, at: number, pending_correction: number, measured: number, half: number }
    }

    #[test]
    fn no_thread_reads_half_of_one_mapping_and_half_of_another() {
        let (clock, is_over) = (Arc::new(MappedClock::new(Count(0), all(0))), Arc::new(AtomicBool::new(false)));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (clock, is_over) = (Arc::clone(&clock), Arc::clone(&is_over));
                std::thread::spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        let mapping = clock.mapping.load();
                        assert_eq!(mapping, all(mapping.from));
                    }
                })
            })
            .collect();
        (0..100_000).for_each(|number| clock.set(all(number)));
        is_over.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    }

    #[test]
    fn a_step_of_the_target_is_slewed_at_500_ppm() {
        for (step, corrected) in [(3_600_000_000, 500), (-3_600_000_000, -500), (100, 100)] {
            let mut clock = MappedClock::new(Count(0), Mapping { at: 7, ..Mapping::default() });
            clock.slew_to(7 + step);
            assert_eq!(clock.now_us(), 7);
            clock.counter = Count(1_000_000);
            assert_eq!(clock.now_us(), 7 + 1_000_000 + corrected);
        }
    }
}
