//! A kind of job: where jobs come from, and how to do them.

use std::time::Duration;

use async_trait::async_trait;

/// The cause of a failure, for the log.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There was no answer. It does not count as an attempt: the same is retried without limit.
    #[error("failed to get an answer")]
    Unavailable(#[source] Source),
    /// The answer was a refusal. For a single job it counts as an attempt.
    #[error("the job was refused")]
    Refused(#[source] Source),
}

/// A queue of jobs, and how to do them.
#[async_trait]
pub trait BatchWork: Send + Sync + 'static {
    /// A job of the queue.
    type Job: Send + Sync + 'static;

    /// The oldest jobs that are not done, in order, at most `max`. Waits up to `limit` for the
    /// first; empty if none comes.
    async fn next(&self, max: usize, limit: Duration) -> Result<Vec<Self::Job>, Failure>;

    /// Does all of these jobs, or none.
    async fn attempt(&self, jobs: &[Self::Job]) -> Result<(), Failure>;

    /// Keeps a job that was refused for good, so that it is not lost.
    async fn dead_letter(&self, job: &Self::Job, reason: &Source) -> Result<(), Failure>;

    /// Removes jobs from the queue: each is done or a dead letter.
    async fn done(&self, jobs: &[Self::Job]) -> Result<(), Failure>;
}
