//! Work that waits for a task.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::Notify;

use super::lock::lock;

/// A queue without a bound of its own: the caller enqueues each item at most once.
#[derive(Debug)]
pub(super) struct WorkQueue<T> {
    items: Mutex<VecDeque<T>>,
    pushed: Notify,
}

impl<T> WorkQueue<T> {
    pub(super) fn new() -> Self {
        Self { items: Mutex::default(), pushed: Notify::new() }
    }

    pub(super) fn push(&self, item: T) {
        lock(&self.items).push_back(item);
        self.pushed.notify_one();
    }

    pub(super) fn try_next(&self) -> Option<T> {
        lock(&self.items).pop_front()
    }

    /// Waits for the next item. One task at a time may call it; dropping the future loses nothing.
    pub(super) async fn next(&self) -> T {
        loop {
            if let Some(item) = self.try_next() {
                return item;
            }
            self.pushed.notified().await;
        }
    }
}
