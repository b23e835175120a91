//! How an instance stops: the stop is announced (clients go elsewhere), then soft (tasks
//! finish), then hard (tasks are dropped).
//!
//! Every task that outlives its caller is spawned here, so that a stop can wait for
//! it, a panic in it is counted, and a test can fail on leftover tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

/// How long a dropped task may take to end: one that never yields does not hold up the exit.
const HARD_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// One instance's stop. Clones are the same stop.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    announced: CancellationToken,
    soft: CancellationToken,
    hard: CancellationToken,
    /// The state of `soft` without its lock: every stream reads it on each wake-up.
    is_begun: AtomicBool,
    tasks: TaskTracker,
    spawned: AtomicU64,
    running: Mutex<BTreeMap<u64, Running>>,
    panics: AtomicUsize,
}

/// A task that runs, or is about to.
#[derive(Debug)]
struct Running {
    name: &'static str,
    abort: Option<AbortHandle>,
}

/// How a stop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// Every task ended by itself.
    Drained,
    /// These were dropped, by name.
    Aborted(Vec<&'static str>),
}

impl Shutdown {
    /// A stop that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Announces the stop, so that balancers send clients elsewhere. All tasks go on.
    pub fn announce(&self) {
        self.0.announced.cancel();
    }

    /// Returns once a stop is announced, or has begun.
    pub fn announced(&self) -> WaitForCancellationFuture<'_> {
        self.0.announced.cancelled()
    }

    /// A token that is cancelled once a stop is announced, or has begun.
    pub fn draining(&self) -> CancellationToken {
        self.0.announced.clone()
    }

    /// Begins the soft stop, which asks all tasks to finish. A second call changes nothing.
    pub fn begin(&self) {
        self.announce();
        self.0.is_begun.store(true, Ordering::Release);
        self.0.soft.cancel();
    }

    /// Drops every task at its next await.
    pub fn abort(&self) {
        self.begin();
        self.0.hard.cancel();
        let tasks: Vec<_> = self.0.running.lock().values().filter_map(|task| task.abort.clone()).collect();
        for task in tasks {
            task.abort();
        }
    }

    /// Whether the soft stop has begun.
    pub fn is_begun(&self) -> bool {
        self.0.is_begun.load(Ordering::Acquire)
    }

    /// Returns once the soft stop has begun.
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.0.soft.cancelled()
    }

    /// The soft stop as a token.
    pub fn soft(&self) -> CancellationToken {
        self.0.soft.clone()
    }

    /// Returns once the hard stop has begun.
    pub fn aborted(&self) -> WaitForCancellationFuture<'_> {
        self.0.hard.cancelled()
    }

    /// Runs `task` until it ends, panics, or a hard stop drops it.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(self.spawn_abortable(name, task));
    }

    /// The same, and drops `task` once the soft stop begins.
    pub fn spawn_until_stopped<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let soft = self.soft();
        self.spawn(name, async move {
            soft.run_until_cancelled(task).await;
        });
    }

    /// Like [`Self::spawn`]; the handle drops the task at its next await.
    pub fn spawn_abortable<F>(&self, name: &'static str, task: F) -> AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = self.0.spawned.fetch_add(1, Ordering::Relaxed);
        let guard = TaskGuard::new(id, name, self);
        // In a box: an async block that awaits a future stores it twice.
        let task = Box::pin(task);
        let task = self.0.tasks.spawn(async move {
            let _guard = guard;
            task.await;
        });
        let abort = task.abort_handle();
        self.remember(id, &abort);
        abort
    }

    /// The task may have ended already, and a hard stop may come before this or after.
    fn remember(&self, id: u64, abort: &AbortHandle) {
        if let Some(task) = self.0.running.lock().get_mut(&id) {
            task.abort = Some(abort.clone());
        }
        if self.0.hard.is_cancelled() {
            abort.abort();
        }
    }

    /// Asks all tasks to finish, and drops those that take longer than `within`.
    pub async fn finish(&self, within: Duration) -> Finished {
        self.begin();
        self.0.tasks.close();
        if timeout(within, self.0.tasks.wait()).await.is_ok() {
            return Finished::Drained;
        }
        let aborted = self.running();
        tracing::warn!(tasks = ?aborted, "dropped tasks that did not finish in time");
        self.abort();
        // The line above names tasks that do not end even now.
        let _ = timeout(HARD_STOP_TIMEOUT, self.0.tasks.wait()).await;
        Finished::Aborted(aborted)
    }

    /// How many tasks still run.
    pub fn leftovers(&self) -> usize {
        self.0.tasks.len()
    }

    /// Which tasks still run, each name once.
    pub fn running(&self) -> Vec<&'static str> {
        let names: BTreeSet<_> = self.0.running.lock().values().map(|task| task.name).collect();
        names.into_iter().collect()
    }

    /// How many tasks ended in a panic.
    pub fn panics(&self) -> usize {
        self.0.panics.load(Ordering::Relaxed)
    }
}

/// Removes a task from the list when it is dropped: by its end, by a hard stop, or by the
/// panic that unwinds it.
struct TaskGuard {
    id: u64,
    name: &'static str,
    shutdown: Shutdown,
}

impl TaskGuard {
    fn new(id: u64, name: &'static str, shutdown: &Shutdown) -> Self {
        shutdown.0.running.lock().insert(id, Running { name, abort: None });
        Self { id, name, shutdown: shutdown.clone() }
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.shutdown.0.running.lock().remove(&self.id);
        if std::thread::panicking() {
            self.shutdown.0.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(task = self.name, "a task panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const SHORT_TIMEOUT: Duration = Duration::from_millis(20);
    const LONG_TIMEOUT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_soft_stop_waits_for_tasks() {
        let shutdown = Shutdown::new();
        let stop = shutdown.soft();
        shutdown.spawn("worker", async move {
            stop.cancelled().await;
            tokio::task::yield_now().await;
        });
        assert_eq!((shutdown.leftovers(), shutdown.running()), (1, vec!["worker"]));
        assert_eq!(shutdown.finish(LONG_TIMEOUT).await, Finished::Drained);
        assert_eq!((shutdown.leftovers(), shutdown.running()), (0, vec![]));
    }

    #[tokio::test]
    async fn an_announced_stop_has_not_begun_and_a_begun_stop_is_announced() {
        let shutdown = Shutdown::new();
        shutdown.announce();
        assert!(shutdown.draining().is_cancelled() && !shutdown.is_begun());
        let sudden = Shutdown::new();
        sudden.begin();
        assert!(sudden.draining().is_cancelled() && sudden.is_begun());
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_cut_and_named() {
        let shutdown = Shutdown::new();
        shutdown.spawn("stuck", pending());
        shutdown.spawn("stuck", pending());
        assert_eq!(shutdown.finish(SHORT_TIMEOUT).await, Finished::Aborted(vec!["stuck"]));
        assert_eq!(shutdown.leftovers(), 0);
    }

    #[tokio::test]
    async fn a_hard_stop_ends_a_soft_one_early() {
        let shutdown = Shutdown::new();
        shutdown.spawn("stuck", pending());
        let second = shutdown.clone();
        let stopping = shutdown.finish(LONG_TIMEOUT);
        let ((), finished) = tokio::join!(async move { second.abort() }, timeout(LONG_TIMEOUT / 2, stopping));
        assert_eq!(finished, Ok(Finished::Drained));
        assert!(shutdown.is_begun());
    }

    #[tokio::test]
    async fn a_panic_is_counted_and_ends_no_other_task() {
        let shutdown = Shutdown::new();
        shutdown.spawn("bad", async { panic!("on purpose") });
        let stop = shutdown.soft();
        shutdown.spawn("good", async move { stop.cancelled().await });
        assert_eq!(shutdown.finish(LONG_TIMEOUT).await, Finished::Drained);
        assert_eq!((shutdown.panics(), shutdown.leftovers()), (1, 0));
    }
}
