//! Looks after what is watched: checks silent sessions against the source, lets old
//! entries go, and forgets what nobody watches any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::fanout::hub::Hub;
use crate::fanout::topic::Topic;

/// Beyond so many sessions that nobody watches, none is waited for.
const MAX_UNWATCHED: usize = 65_536;

/// Runs until it is dropped.
pub(in crate::fanout) async fn run(hub: &Hub) {
    let step = (hub.settings.position_check / 5).clamp(Duration::from_millis(10), Duration::from_secs(1));
    let mut ticks = interval(step);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut checked_at = Instant::now();
    loop {
        let now = ticks.tick().await;
        sweep(hub, now).await;
        if now.duration_since(checked_at) >= hub.settings.position_check {
            checked_at = now;
            check(hub, now);
        }
    }
}

/// A session that was heard of needs no check: what was missed before it shows as a hole.
fn check(hub: &Hub, now: Instant) {
    let oldest = now.checked_sub(hub.settings.ring_age);
    for topic in hub.all() {
        oldest.inspect(|oldest| topic.trim(*oldest));
        if !topic.take_received() && topic.is_watched() {
            topic.request_check();
        }
    }
}

/// Forgets what has been deserted for long.
async fn sweep(hub: &Hub, now: Instant) {
    for topic in unwatched(hub, now) {
        hub.parts.bus.unsubscribe(&topic.key).await;
        forget(hub, &topic);
        topic.end_read();
    }
}

fn unwatched(hub: &Hub, now: Instant) -> Vec<Arc<Topic>> {
    let topics = hub.topics();
    let is_crowded = topics.len() > MAX_UNWATCHED + hub.subscribers();
    let since = if is_crowded { Some(now) } else { now.checked_sub(hub.settings.linger) };
    let Some(since) = since else { return Vec::new() };
    let left = topics.values().filter(|topic| topic.is_unwatched_since(since) && topic.begin_leave());
    let mut left: Vec<_> = left.cloned().collect();
    left.sort_unstable_by_key(|topic| topic.number);
    left
}

/// Takes it off the list, unless somebody came while the bus was told; then it is read anew.
fn forget(hub: &Hub, topic: &Arc<Topic>) {
    let mut topics = hub.topics();
    if topic.is_watched() {
        topic.request_read();
    } else {
        topics.remove(&topic.key);
        // Its next warning may be hours away, and is not waited for.
        topic.replan();
    }
}
