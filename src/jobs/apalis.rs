//! The only file that names apalis: a queue of jobs as its backend.
//!
//! A task is a batch. apalis has two traps. An error from `poll_next` would end its worker, so
//! this file retries reads itself. The end of the queue does not end the worker, so this file
//! stops it.

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
use super::work::BatchWork;
use crate::telemetry::outage::{OutageLog, OutageTracker};

static OUTAGE: OutageLog = OutageLog::new("jobs", "failed to read jobs; waiting", "jobs can be read again");

/// Does `work` until `soft` is cancelled and the queue is empty, or until `hard` is cancelled.
/// The next worker repeats an interrupted batch.
pub async fn run<W: BatchWork>(
    name: &str,
    work: Arc<W>,
    policy: RetryPolicy,
    soft: &CancellationToken,
    hard: &CancellationToken,
) {
    let mut waits = policy.unavailable_backoff.waits();
    loop {
        let (work, soft) = (Arc::clone(&work), soft.clone());
        let batches = Batches { work, policy, soft, next: None, not_before: Instant::now() };
        tokio::select! {
            biased;
            () = hard.cancelled() => return,
            is_drained = drain(name, batches) => if is_drained { return },
        }
        tokio::time::sleep(waits.next().unwrap_or(policy.unavailable_backoff.max)).await;
    }
}

/// Runs one of apalis's workers to its end; returns whether the queue is empty.
async fn drain<W: BatchWork>(name: &str, batches: Batches<W>) -> bool {
    let (work, policy, soft) = (Arc::clone(&batches.work), batches.policy, batches.soft.clone());
    let run = move |jobs: Vec<W::Job>| {
        let work = Arc::clone(&work);
        async move { run_batch(&*work, &jobs, &policy).await }
    };
    // One batch at a time keeps the order; the next one is read meanwhile.
    let worker = WorkerBuilder::new(name).backend(batches).concurrency(1).build(run);
    match worker.run().await {
        Ok(()) => soft.is_cancelled(),
        Err(failure) => {
            error!(worker = name, error = %failure, "a worker ended; starting it again");
            false
        }
    }
}

/// Batches that apalis polls, one after the other.
struct Batches<W: BatchWork> {
    work: Arc<W>,
    policy: RetryPolicy,
    soft: CancellationToken,
    next: Option<BoxFuture<'static, Option<Vec<W::Job>>>>,
    not_before: Instant,
}

impl<W: BatchWork> Backend for Batches<W> {
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
        let (policy, not_before) = (self.policy, self.not_before);
        let begin = || next(Arc::clone(&self.work), policy, self.soft.clone(), not_before).boxed();
        let jobs = std::task::ready!(self.next.get_or_insert_with(begin).as_mut().poll(cx));
        self.next = None;
        let is_full = jobs.as_ref().is_some_and(|jobs| jobs.len() >= policy.batch_size);
        self.not_before = Instant::now() + if is_full { Duration::ZERO } else { policy.gather_time };
        if jobs.is_none() {
            // It fails only for a worker that was never started, and this one polls.
            let _ = worker.stop();
        }
        Poll::Ready(jobs.map(|jobs| Ok(TaskBuilder::new(jobs).build())))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl<W: BatchWork> BackendConfig for Batches<W> {
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

/// The next batch; `None` once the queue is empty after `soft` is cancelled.
async fn next<W: BatchWork>(
    work: Arc<W>,
    policy: RetryPolicy,
    soft: CancellationToken,
    not_before: Instant,
) -> Option<Vec<W::Job>> {
    soft.run_until_cancelled(tokio::time::sleep_until(not_before)).await;
    let (mut waits, mut outage) = (policy.unavailable_backoff.waits(), OutageTracker::of(&OUTAGE));
    loop {
        let is_ending = soft.is_cancelled();
        let limit = if is_ending { Duration::ZERO } else { policy.poll_timeout };
        let read = tokio::select! {
            // A fixed order, so that a simulation is reproducible.
            biased;
            read = work.next(policy.batch_size, limit) => read,
            () = soft.cancelled(), if !is_ending => continue,
        };
        outage.record(read.as_ref().err());
        match read {
            Ok(jobs) if !jobs.is_empty() => return Some(jobs),
            Ok(_) if is_ending => return None,
            Ok(_) => waits = policy.unavailable_backoff.waits(),
            Err(_) => {
                tokio::time::sleep(waits.next().unwrap_or(policy.unavailable_backoff.max)).await;
            }
        }
    }
}
