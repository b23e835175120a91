//! How long and how often a job is tried.

use std::time::Duration;

/// Spans that double from `first` to `most`.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// No wait is longer.
    pub most: Duration,
}

impl Backoff {
    /// The waits, one after the other, without end.
    pub(crate) fn waits(self) -> impl Iterator<Item = Duration> {
        std::iter::successors(Some(self.first), move |wait| Some(wait.saturating_mul(2).min(self.most)))
    }
}

/// How long and how often to try.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Jobs taken at once.
    pub batch: usize,
    /// Refusals after which a job is buried.
    pub tries: usize,
    /// Between two tries of a job that is refused.
    pub refused: Backoff,
    /// Between two questions nobody answers.
    pub unanswered: Backoff,
    /// How long to listen for jobs before looking around.
    pub patience: Duration,
    /// From taking a batch that was not full to taking the next. A lone job is
    /// taken at once; where they come fast, it is cheaper to take a few together.
    pub gather: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let hundred = Duration::from_millis(100);
        Self {
            batch: 1000,
            tries: 5,
            refused: Backoff { first: hundred, most: Duration::from_secs(1) },
            unanswered: Backoff { first: hundred, most: Duration::from_secs(5) },
            patience: Duration::from_secs(1),
            gather: Duration::from_millis(5),
        }
    }
}
