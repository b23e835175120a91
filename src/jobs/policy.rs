//! How long and how often a job is tried.

use std::time::Duration;

/// Waits that double from `first` to `max`.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Backoff {
    /// The waits in order, without end.
    pub(crate) fn waits(self) -> impl Iterator<Item = Duration> {
        std::iter::successors(Some(self.first), move |wait| Some(wait.saturating_mul(2).min(self.max)))
    }
}

/// How long and how often to try.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// The most jobs of a batch.
    pub batch_size: usize,
    /// Refusals after which a job becomes a dead letter.
    pub max_attempts: usize,
    /// Between two attempts of a refused job.
    pub refused_backoff: Backoff,
    /// Between two attempts without an answer.
    pub unavailable_backoff: Backoff,
    /// How long to wait for jobs before the next look at the stop signal.
    pub poll_timeout: Duration,
    /// From a batch that was not full to the next. A lone job is taken at once; while jobs come
    /// fast, a few together are cheaper.
    pub gather_time: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let first = Duration::from_millis(100);
        Self {
            batch_size: 1000,
            max_attempts: 5,
            refused_backoff: Backoff { first, max: Duration::from_secs(1) },
            unavailable_backoff: Backoff { first, max: Duration::from_secs(5) },
            poll_timeout: Duration::from_secs(1),
            gather_time: Duration::from_millis(5),
        }
    }
}
