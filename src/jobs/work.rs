//! What a kind of job must be able to do.

use std::time::Duration;

use async_trait::async_trait;

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
