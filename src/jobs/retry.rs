//! Brings a batch to its end: every job done, or buried after its last try.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tracing::warn;

use super::policy::RetryPolicy;
use super::work::{Failure, Source, Work};
use crate::telemetry::outage::{Outage, OutageTracker};

static OUTAGE: Outage = Outage::new("jobs", "nobody answers; jobs wait", "jobs are done again");

/// Settles `jobs` in order. A refused batch is halved until the refused job stands alone.
pub(super) async fn run_batch<W: Work>(work: &W, jobs: &[W::Job], pace: &RetryPolicy) {
    let mut rest = vec![jobs];
    while let Some(part) = rest.pop() {
        match (retry_until_answered(pace, || work.attempt(part)).await, part) {
            (Ok(()), _) => {}
            (Err(refusal), [job]) => retry(work, job, refusal, pace).await,
            (Err(_), _) => {
                let (before, after) = part.split_at(part.len() / 2);
                rest.extend([after, before]);
                continue;
            }
        }
        if let Err(refusal) = retry_until_answered(pace, || work.done(part)).await {
            warn!(error = refusal, "a settled batch was not let go; it will come again");
        }
    }
}

/// Tries a refused job again, a few times, and buries it if that does not help.
async fn retry<W: Work>(work: &W, job: &W::Job, first: Source, pace: &RetryPolicy) {
    let alone = std::slice::from_ref(job);
    let mut refusal = first;
    for wait in pace.refused.waits().take(pace.tries.saturating_sub(1)) {
        tokio::time::sleep(wait).await;
        match retry_until_answered(pace, || work.attempt(alone)).await {
            Ok(()) => return,
            Err(again) => refusal = again,
        }
    }
    if let Err(refusal) = retry_until_answered(pace, || work.dead_letter(job, &refusal)).await {
        warn!(error = refusal, "a refused job could not be put aside");
    }
}

/// Asks until somebody answers, and counts nothing while nobody does.
async fn retry_until_answered<F>(pace: &RetryPolicy, ask: impl Fn() -> F) -> Result<(), Source>
where
    F: Future<Output = Result<(), Failure>>,
{
    let mut waits = pace.unanswered.waits();
    let mut asker = OutageTracker::of(&OUTAGE);
    loop {
        let failure = match catch_panic(ask()).await {
            Err(Failure::Unanswered(failure)) => failure,
            Err(Failure::Refused(refusal)) => return Err(refusal),
            Ok(()) => return Ok(()),
        };
        asker.failed(&*failure);
        tokio::time::sleep(waits.next().unwrap_or(pace.unanswered.most)).await;
    }
}

/// A panic refuses: a batch that kills its worker each time must end among the dead, not end the worker.
async fn catch_panic<F>(ask: F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let outcome = AssertUnwindSafe(ask).catch_unwind().await;
    outcome.unwrap_or_else(|panic| Err(Failure::Refused(message(&*panic).into())))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a word"))
}
