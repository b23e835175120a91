//! Wakes large crowds a few at a time.
//!
//! Five thousand woken at once would stand before everything else in the runtime's
//! queue, the answer to the very command that woke them included.

use super::line::Line;

/// Runs until it is dropped.
pub(super) async fn run(line: &Line) {
    loop {
        let topic = line.next().await;
        if topic.next_wave() {
            line.join(topic);
        }
        tokio::task::yield_now().await;
    }
}
