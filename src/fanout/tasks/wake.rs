//! Wakes large crowds a few at a time.
//!
//! Five thousand woken at once would stand before everything else in the runtime's
//! queue, the answer to the very command that woke them included.

use crate::fanout::work_queue::WorkQueue;

/// Runs until it is dropped.
pub(in crate::fanout) async fn run(line: &WorkQueue) {
    loop {
        let topic = line.next().await;
        if topic.wake_next_batch() {
            line.push(topic);
        }
        tokio::task::yield_now().await;
    }
}
