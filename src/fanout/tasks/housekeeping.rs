//! Checks silent sessions against the source, evicts old entries, and forgets sessions that
//! have had no subscriber for long.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::fanout::refresh_state::ReadKind;
use crate::fanout::shared::Shared;
use crate::fanout::topic::Topic;

/// Beyond so many sessions without a subscriber, none of them lingers.
const MAX_UNWATCHED: usize = 65_536;

/// Runs until it is dropped.
pub(in crate::fanout) async fn run(shared: Arc<Shared>) {
    let check_interval = shared.settings.position_check;
    let mut ticks = interval((check_interval / 5).clamp(Duration::from_millis(10), Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut checked_at = Instant::now();
    loop {
        let now = ticks.tick().await;
        sweep(&shared, now).await;
        if now.duration_since(checked_at) >= check_interval {
            checked_at = now;
            check(&shared, now);
        }
    }
}

fn check(shared: &Shared, now: Instant) {
    let oldest = now.checked_sub(shared.settings.ring_age);
    for topic in shared.all() {
        shared.apply(&topic, topic.check(oldest));
    }
}

async fn sweep(shared: &Shared, now: Instant) {
    for topic in unwatched(shared, now) {
        shared.parts.bus.unsubscribe(&topic.key).await;
        forget(shared, &topic);
        shared.apply(&topic, topic.end_read());
    }
}

/// Topics without a subscriber for long enough. No read of them begins from now on.
fn unwatched(shared: &Shared, now: Instant) -> Vec<Arc<Topic>> {
    let topics = shared.topics();
    let is_crowded = topics.len() > MAX_UNWATCHED + shared.subscribers();
    let since = if is_crowded { Some(now) } else { now.checked_sub(shared.settings.linger) };
    let Some(since) = since else { return Vec::new() };
    let mut left: Vec<_> = topics.values().filter(|topic| topic.begin_leave(since)).cloned().collect();
    left.sort_unstable_by_key(|topic| topic.number);
    left
}

/// Removes the topic, unless a subscriber joined while the bus was asked; then it is read anew.
fn forget(shared: &Shared, topic: &Arc<Topic>) {
    let mut topics = shared.topics();
    let effects = if topic.is_watched() {
        topic.request(ReadKind::State)
    } else {
        topics.remove(&topic.key);
        // Its next warning may be hours away, and must not keep the topic until then.
        topic.replan()
    };
    drop(topics);
    shared.apply(topic, effects);
}
