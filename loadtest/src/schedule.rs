//! When each of a row of calls is due.
//!
//! An open loop sends by the clock, not by the last answer. What a call took is counted from when it was due, so a
//! stall shows in every call that had to wait behind it.

use std::time::Duration;

use tokio::time::Instant;

use crate::report::real;

/// Calls at an even rate, from an instant on.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    start: Instant,
    per_second: f64,
}

impl Schedule {
    /// `per_second` is more than zero.
    pub const fn new(start: Instant, per_second: f64) -> Self {
        Self { start, per_second }
    }

    /// Worked out from the start each time, so that no error adds up.
    pub fn due(&self, call: u64) -> Instant {
        self.start + Duration::from_secs_f64(real(call) / self.per_second)
    }
}

/// The calls that fall to one of several workers: `things` in turn, round after round, each always to the same worker.
pub fn share(worker: usize, workers: usize, things: usize) -> impl Iterator<Item = (u64, usize)> + Send {
    let mine = move || (worker..things).step_by(workers);
    let rounds = (0_u64..).take_while(move |_| worker < things);
    rounds.flat_map(move |round| mine().map(move |thing| (round * things as u64 + thing as u64, thing)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_due_evenly_and_without_drift() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 3_000.0);
        assert_eq!(schedule.due(0), start);
        assert_eq!(schedule.due(3), start + Duration::from_millis(1));
        assert_eq!(schedule.due(3_000_000), start + Duration::from_secs(1_000));
    }

    #[test]
    fn every_call_falls_to_exactly_one_worker() {
        let mut calls: Vec<_> =
            (0..3).flat_map(|worker| share(worker, 3, 5).take_while(|(call, _)| *call < 20)).collect();
        calls.sort_unstable();
        let expected: Vec<_> = (0..20_u64).map(|call| (call, usize::try_from(call % 5).unwrap())).collect();
        assert_eq!(calls, expected);
    }

    #[test]
    fn a_worker_without_a_thing_has_no_calls() {
        assert_eq!(share(2, 3, 2).count(), 0);
    }
}
