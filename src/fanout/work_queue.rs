//! Topics that wait for a task's attention, each at most once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::topic::Topic;

/// A queue as long as there are watched sessions, at most: a topic that stands in it
/// knows so, and does not join again.
#[derive(Debug, Default)]
pub(super) struct WorkQueue {
    topics: Mutex<VecDeque<Arc<Topic>>>,
    joined: Notify,
}

impl WorkQueue {
    pub(super) fn push(&self, topic: Arc<Topic>) {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).push_back(topic);
        self.joined.notify_one();
    }

    pub(super) fn try_next(&self) -> Option<Arc<Topic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Waits for one. For one task at a time; dropping it loses nothing.
    pub(super) async fn next(&self) -> Arc<Topic> {
        loop {
            if let Some(topic) = self.try_next() {
                return topic;
            }
            self.joined.notified().await;
        }
    }
}
