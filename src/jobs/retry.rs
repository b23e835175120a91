//! Runs a batch until every job is done or a dead letter.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tracing::warn;

use super::policy::RetryPolicy;
use super::work::{BatchWork, Failure, Source};
use crate::telemetry::outage::{OutageLog, OutageTracker};

static OUTAGE: OutageLog = OutageLog::new("jobs", "no answer; jobs wait", "jobs are done again");

/// Does `jobs` in order. A refused batch is halved until the refused job stands alone.
pub(super) async fn run_batch<W: BatchWork>(work: &W, jobs: &[W::Job], policy: &RetryPolicy) {
    let mut rest = vec![jobs];
    while let Some(part) = rest.pop() {
        match (retry_until_answered(policy, || work.attempt(part)).await, part) {
            (Ok(()), _) => {}
            (Err(refusal), [job]) => retry(work, job, refusal, policy).await,
            (Err(_), _) => {
                let (before, after) = part.split_at(part.len() / 2);
                rest.extend([after, before]);
                continue;
            }
        }
        if let Err(refusal) = retry_until_answered(policy, || work.done(part)).await {
            warn!(error = refusal, "failed to remove a batch that is done; it will be repeated");
        }
    }
}

/// Retries a refused job a few times, and then makes it a dead letter.
async fn retry<W: BatchWork>(work: &W, job: &W::Job, first: Source, policy: &RetryPolicy) {
    let alone = std::slice::from_ref(job);
    let mut refusal = first;
    for wait in policy.refused_backoff.waits().take(policy.max_attempts.saturating_sub(1)) {
        tokio::time::sleep(wait).await;
        match retry_until_answered(policy, || work.attempt(alone)).await {
            Ok(()) => return,
            Err(again) => refusal = again,
        }
    }
    if let Err(refusal) = retry_until_answered(policy, || work.dead_letter(job, &refusal)).await {
        warn!(error = refusal, "failed to make a refused job a dead letter");
    }
}

/// Retries until there is an answer; attempts without one do not count.
async fn retry_until_answered<F>(policy: &RetryPolicy, attempt: impl Fn() -> F) -> Result<(), Source>
where
    F: Future<Output = Result<(), Failure>>,
{
    let mut waits = policy.unavailable_backoff.waits();
    let mut outage = OutageTracker::of(&OUTAGE);
    loop {
        let failure = match catch_panic(attempt()).await {
            Err(Failure::Unavailable(failure)) => failure,
            Err(Failure::Refused(refusal)) => return Err(refusal),
            Ok(()) => return Ok(()),
        };
        outage.failed(&*failure);
        tokio::time::sleep(waits.next().unwrap_or(policy.unavailable_backoff.max)).await;
    }
}

/// A panic counts as a refusal, so a job that always panics becomes a dead letter.
async fn catch_panic<F>(attempt: F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let outcome = AssertUnwindSafe(attempt).catch_unwind().await;
    outcome.unwrap_or_else(|panic| Err(Failure::Refused(message(&*panic).into())))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("no message"))
}
