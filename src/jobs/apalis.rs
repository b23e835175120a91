//! The one file that says apalis: our rows of jobs as its backend.
//!
//! A task is a batch. Two traps: an error from `poll_next` would end apalis's
//! worker, so there is none (what cannot be read now is asked for again in
//! here); and a row that has ended does not end the worker, it wants to be told.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis::prelude::{Backend, Task, WorkerBuilder, WorkerBuilderExt, WorkerContext};
use apalis_core::backend::BackendConfig;
use apalis_core::backend::finalize::Ephemeral;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::RandomId;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::layer::util::Identity;
use tracing::error;

use super::policy::RetryPolicy;
use super::retry::run_batch;
use super::work::Work;
use crate::telemetry::outage::{Outage, OutageTracker};

static OUTAGE: Outage = Outage::new("jobs", "failed to ask for jobs; waiting", "jobs come again");

/// Does `work` until `soft` is cancelled and nothing is left, or at once until
/// `hard` is. What is half done then comes again to the next worker.
pub async fn run<W: Work>(
    name: &str,
    work: Arc<W>,
    pace: RetryPolicy,
    soft: &CancellationToken,
    hard: &CancellationToken,
) {
    let mut waits = pace.unanswered.waits();
    loop {
        let (work, soft) = (Arc::clone(&work), soft.clone());
        let batches = Batches { work, pace, soft, next: None, not_before: Instant::now() };
        tokio::select! {
            biased;
            () = hard.cancelled() => return,
            is_drained = drain(name, batches) => if is_drained { return },
        }
        tokio::time::sleep(waits.next().unwrap_or(pace.unanswered.most)).await;
    }
}

/// Runs apalis's worker to its end. Anything but an empty row is not the end of ours.
async fn drain<W: Work>(name: &str, batches: Batches<W>) -> bool {
    let (work, pace, soft) = (Arc::clone(&batches.work), batches.pace, batches.soft.clone());
    let settle = move |jobs: Vec<W::Job>| {
        let work = Arc::clone(&work);
        async move { run_batch(&*work, &jobs, &pace).await }
    };
    // One batch at a time keeps the order, and the next one collects meanwhile.
    let worker = WorkerBuilder::new(name).backend(batches).concurrency(1).build(settle);
    match worker.run().await {
        Ok(()) => soft.is_cancelled(),
        Err(failure) => {
            error!(worker = name, error = %failure, "a worker ended; starting it again");
            false
        }
    }
}

/// Batches as apalis takes them: polled, one after the other.
struct Batches<W: Work> {
    work: Arc<W>,
    pace: RetryPolicy,
    soft: CancellationToken,
    next: Option<BoxFuture<'static, Option<Vec<W::Job>>>>,
    not_before: Instant,
}

impl<W: Work> Backend for Batches<W> {
    type Task = Task<Vec<W::Job>>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        let (pace, not_before) = (self.pace, self.not_before);
        let begin = || next(Arc::clone(&self.work), pace, self.soft.clone(), not_before).boxed();
        let jobs = std::task::ready!(self.next.get_or_insert_with(begin).as_mut().poll(cx));
        self.next = None;
        let is_full = jobs.as_ref().is_some_and(|jobs| jobs.len() >= pace.batch);
        self.not_before = Instant::now() + if is_full { Duration::ZERO } else { pace.gather };
        if jobs.is_none() {
            // Refused only to a worker that was never started, and this one polls.
            let _ = worker.stop();
        }
        Poll::Ready(jobs.map(|jobs| Ok(TaskBuilder::new(jobs).build())))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl<W: Work> BackendConfig for Batches<W> {
    type Args = Vec<W::Job>;
    type Id = RandomId;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}

/// The next batch; none once there is nothing left and nothing more is to come.
async fn next<W: Work>(
    work: Arc<W>,
    pace: RetryPolicy,
    soft: CancellationToken,
    not_before: Instant,
) -> Option<Vec<W::Job>> {
    soft.run_until_cancelled(tokio::time::sleep_until(not_before)).await;
    let (mut waits, mut asker) = (pace.unanswered.waits(), OutageTracker::of(&OUTAGE));
    loop {
        let is_ending = soft.is_cancelled();
        let patience = if is_ending { Duration::ZERO } else { pace.patience };
        let asked = tokio::select! {
            // In this order always, so that a run can be repeated.
            biased;
            asked = work.next(pace.batch, patience) => asked,
            () = soft.cancelled(), if !is_ending => continue,
        };
        asker.record(asked.as_ref().err());
        match asked {
            Ok(jobs) if !jobs.is_empty() => return Some(jobs),
            Ok(_) if is_ending => return None,
            Ok(_) => waits = pace.unanswered.waits(),
            Err(_) => {
                tokio::time::sleep(waits.next().unwrap_or(pace.unanswered.most)).await;
            }
        }
    }
}
