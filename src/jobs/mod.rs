//! Background work: what a job is, when it is tried again, when it is put aside.
//!
//! Jobs come in batches and are settled in order. A job may be attempted twice,
//! by the worker that follows one that died; so an attempt must bear repeating.

mod apalis;
mod retry;

use std::time::Duration;

use async_trait::async_trait;

pub use self::apalis::run;

/// What went wrong, for the log.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why an attempt came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nobody answered. It counts for nothing: the same is asked again until somebody does.
    #[error("failed to get an answer")]
    Unanswered(#[source] Source),
    /// It was answered, and refused. For a single job this counts as a try.
    #[error("the job was refused")]
    Refused(#[source] Source),
}

/// A row of jobs, and what is to be done with them.
#[async_trait]
pub trait Work: Send + Sync + 'static {
    /// One of them.
    type Job: Send + Sync + 'static;

    /// The oldest jobs that are not done, in order, at most `max`. Waits for one,
    /// but no longer than `patience`; then none.
    async fn next(&self, max: usize, patience: Duration) -> Result<Vec<Self::Job>, Failure>;

    /// Does them all, or none.
    async fn attempt(&self, jobs: &[Self::Job]) -> Result<(), Failure>;

    /// Puts one aside that was refused for good: nothing is lost.
    async fn dead_letter(&self, job: &Self::Job, reason: &Source) -> Result<(), Failure>;

    /// They are done or buried; `next` will not give them again.
    async fn done(&self, jobs: &[Self::Job]) -> Result<(), Failure>;
}

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
