//! A histogram of latencies.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::numbers::real;

/// Ten minutes, in microseconds; longer spans count as that.
const MAX_LATENCY_US: u64 = 600_000_000;

const SIGNIFICANT_DIGITS: u8 = 3;

/// The reported percentiles, by name.
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

/// A histogram in microseconds, to three digits.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

/// The same as it goes from one driver process to another: each value and how often it came.
pub type LatencyCounts = Vec<(u64, u64)>;

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, MAX_LATENCY_US, SIGNIFICANT_DIGITS).expect("these bounds make a histogram"))
    }
}

impl Latencies {
    pub fn record(&mut self, span: Duration) {
        self.record_us(u64::try_from(span.as_micros()).unwrap_or(MAX_LATENCY_US));
    }

    pub fn record_us(&mut self, us: u64) {
        self.0.saturating_record(us.max(1));
    }

    /// From one stamp to another. A clock that was set back in between must not make it long.
    pub fn record_between(&mut self, from_ns: u64, to_ns: u64) {
        self.record_us(to_ns.saturating_sub(from_ns) / 1_000);
    }

    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    pub fn counts(&self) -> LatencyCounts {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
    }

    pub fn add_counts(&mut self, counts: &[(u64, u64)]) {
        for (us, count) in counts {
            self.0.saturating_record_n(*us, *count);
        }
    }

    /// Percentiles, maximum and mean; empty without values.
    pub fn percentiles_ms(&self) -> Vec<(&'static str, f64)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let at = |(name, quantile)| (name, real(self.0.value_at_quantile(quantile)) / 1e3);
        let ends = [("max", real(self.0.max()) / 1e3), ("mean", self.0.mean() / 1e3)];
        PERCENTILES.map(at).into_iter().chain(ends).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(us: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        us.into_iter().for_each(|us| latencies.record_us(us));
        latencies
    }

    #[test]
    fn percentiles_are_told_in_milliseconds() {
        let told = of((1..=1_000).map(|ms| ms * 1_000)).percentiles_ms();
        for ((name, ms), expected) in told.iter().zip([500.0, 900.0, 990.0, 999.0, 1_000.0, 500.5]) {
            assert!((ms - expected).abs() <= expected / 1_000.0, "{name} is {ms}");
        }
    }

    #[test]
    fn what_one_driver_counted_another_can_add() {
        let (some, others) = (of([100, 200, 200]), of([5_000_000]));
        let mut all = Latencies::default();
        all.add_counts(&some.counts());
        all.add_counts(&others.counts());
        let mut expected = some;
        expected.add(&others);
        assert_eq!((all.count(), all.percentiles_ms()), (4, expected.percentiles_ms()));
    }

    #[test]
    fn what_is_out_of_bounds_counts_as_the_bound() {
        let mut latencies = of([0]);
        latencies.record(Duration::from_secs(10_000));
        latencies.record_between(2_000_000, 1_000_000);
        assert_eq!(latencies.count(), 3);
        let told = latencies.percentiles_ms();
        assert!(told.iter().all(|(_, ms)| *ms > 0.0 && *ms < 601_000.0), "{told:?}");
    }
}
