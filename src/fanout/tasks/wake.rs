//! Wakes the subscribers of large topics in batches.
//!
//! Five thousand at once would stand before everything else in the runtime's queue,
//! including the answer to the command that woke them.

use std::sync::Arc;

use crate::fanout::shared::Shared;

/// Runs until it is dropped.
pub(in crate::fanout) async fn run(shared: Arc<Shared>) {
    loop {
        let topic = shared.wakes.next().await;
        if topic.wake_list.wake_next_batch() {
            shared.wakes.push(topic);
        }
        tokio::task::yield_now().await;
    }
}
