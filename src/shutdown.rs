//! How an instance stops: softly (finish what is under way), then hard (drop it).
//!
//! Every task that outlives its caller is spawned here, so that a stop can wait for
//! it, a panic in it is counted, and a test can fail on what is left over.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

/// How long a dropped task may take to go: one that never yields does not hold up the exit.
const AFTER_HARD_STOP: Duration = Duration::from_secs(1);

/// One instance's stop. Clones are the same stop.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    running: Mutex<BTreeMap<&'static str, usize>>,
    panics: AtomicUsize,
}

/// How a stop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// Every task ended by itself.
    Drained,
    /// These were dropped, by name.
    Cut(Vec<&'static str>),
}

impl Shutdown {
    /// A stop nobody has asked for yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everyone to finish. Asking again changes nothing.
    pub fn begin(&self) {
        self.0.soft.cancel();
    }

    /// Drops every task at its next await.
    pub fn abort(&self) {
        self.begin();
        self.0.hard.cancel();
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.0.soft.is_cancelled()
    }

    /// Returns once a stop is asked for.
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.0.soft.cancelled()
    }

    /// The soft stop as a token, for what wants to own one.
    #[must_use]
    pub fn soft(&self) -> CancellationToken {
        self.0.soft.clone()
    }

    /// Returns once the stop became a hard one.
    pub fn aborted(&self) -> WaitForCancellationFuture<'_> {
        self.0.hard.cancelled()
    }

    /// Runs `task` until it ends, panics, or a hard stop drops it.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shutdown = self.clone();
        let held = Held::of(name, self);
        self.0.tasks.spawn(async move {
            let _held = held;
            tokio::select! {
                biased;
                () = shutdown.aborted() => {}
                outcome = AssertUnwindSafe(task).catch_unwind() => if outcome.is_err() {
                    shutdown.panicked(name);
                },
            }
        });
    }

    fn panicked(&self, name: &'static str) {
        self.0.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!(task = name, "a task panicked");
    }

    /// Asks everyone to finish, waits for it, and drops who takes longer than `within`.
    pub async fn finish(&self, within: Duration) -> Finished {
        self.begin();
        self.0.tasks.close();
        if timeout(within, self.0.tasks.wait()).await.is_ok() {
            return Finished::Drained;
        }
        let cut = self.running();
        tracing::warn!(tasks = ?cut, "stopped waiting");
        self.abort();
        // Who does not go even now is named in the line above.
        let _ = timeout(AFTER_HARD_STOP, self.0.tasks.wait()).await;
        Finished::Cut(cut)
    }

    /// How many tasks still run.
    #[must_use]
    pub fn leftovers(&self) -> usize {
        self.0.tasks.len()
    }

    /// Which tasks still run, each name once.
    #[must_use]
    pub fn running(&self) -> Vec<&'static str> {
        self.0.running().keys().copied().collect()
    }

    /// How many tasks ended in a panic.
    #[must_use]
    pub fn panics(&self) -> usize {
        self.0.panics.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn running(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running task's entry in the list of names; gone when it is dropped.
struct Held {
    name: &'static str,
    shutdown: Shutdown,
}

impl Held {
    fn of(name: &'static str, shutdown: &Shutdown) -> Self {
        *shutdown.0.running().entry(name).or_default() += 1;
        Self { name, shutdown: shutdown.clone() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut running = self.shutdown.0.running();
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_soft_stop_waits_for_what_is_under_way() {
        let shutdown = Shutdown::new();
        let stop = shutdown.soft();
        shutdown.spawn("worker", async move {
            stop.cancelled().await;
            tokio::task::yield_now().await;
        });
        assert_eq!((shutdown.leftovers(), shutdown.running()), (1, vec!["worker"]));
        assert_eq!(shutdown.finish(LONG).await, Finished::Drained);
        assert_eq!((shutdown.leftovers(), shutdown.running()), (0, vec![]));
    }

    #[tokio::test]
    async fn what_does_not_end_is_cut_and_named() {
        let shutdown = Shutdown::new();
        shutdown.spawn("deaf", pending());
        shutdown.spawn("deaf", pending());
        assert_eq!(shutdown.finish(SOON).await, Finished::Cut(vec!["deaf"]));
        assert_eq!(shutdown.leftovers(), 0);
    }

    #[tokio::test]
    async fn a_hard_stop_ends_a_soft_one_early() {
        let shutdown = Shutdown::new();
        shutdown.spawn("deaf", pending());
        let second = shutdown.clone();
        let stopping = shutdown.finish(LONG);
        let ((), finished) = tokio::join!(async move { second.abort() }, timeout(LONG / 2, stopping));
        assert_eq!(finished, Ok(Finished::Drained));
        assert!(shutdown.is_begun());
    }

    #[tokio::test]
    async fn a_panic_is_counted_and_hurts_nobody_else() {
        let shutdown = Shutdown::new();
        shutdown.spawn("bad", async { panic!("on purpose") });
        let stop = shutdown.soft();
        shutdown.spawn("good", async move { stop.cancelled().await });
        assert_eq!(shutdown.finish(LONG).await, Finished::Drained);
        assert_eq!((shutdown.panics(), shutdown.leftovers()), (1, 0));
    }
}
