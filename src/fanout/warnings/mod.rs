//! Tells thresholds at their instant: each instance its own subscribers, from the
//! edges of the newest state. One task for all sessions.

mod edges;
mod plan;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::hub::Hub;
use super::told::Told;
use super::topic::Topic;
use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;

pub(super) use self::plan::Plan;

/// Told later than this a warning is no use to anyone.
const LATE_MS: i64 = 2_000;

/// The next warning of each session that has one.
type Due = BTreeMap<(Timestamp, SessionKey), Weak<Topic>>;

/// Runs until it is dropped.
pub(super) async fn run(hub: &Hub) {
    let mut due = Due::new();
    loop {
        hub.lines.planned.store(due.len(), Ordering::Relaxed);
        let next = due.first_key_value().map_or(Timestamp::NEVER, |((at, _), _)| *at);
        tokio::select! {
            // In this order always, so that a run can be repeated: what is due is told first.
            biased;
            () = hub.parts.clock.sleep_until(next), if !due.is_empty() => tell(hub, &mut due),
            topic = hub.lines.warnings.next() => {
                let now = hub.parts.clock.now();
                look_at(&mut due, &topic, now);
                while let Some(topic) = hub.lines.warnings.try_next() {
                    look_at(&mut due, &topic, now);
                }
            }
        }
    }
}

/// The topic's state has changed, or somebody came: what was planned is planned anew.
fn look_at(due: &mut Due, topic: &Arc<Topic>, now: Timestamp) {
    let mut plan = topic.plan();
    let before = plan.next();
    if topic.is_watched() {
        plan.begin(now);
        let news = topic.news(plan.seen());
        plan.follow(news);
    } else {
        topic.news(None);
        *plan = Plan::default();
    }
    reschedule(due, topic, before, plan.next());
}

fn reschedule(due: &mut Due, topic: &Arc<Topic>, before: Option<Timestamp>, next: Option<Timestamp>) {
    if before == next {
        return;
    }
    if let Some(at) = before {
        let place = (at, topic.key.clone());
        // Of a session that was forgotten and is watched again, the later topic's stands there.
        if due.get(&place).is_some_and(|planned| planned.as_ptr() == Arc::as_ptr(topic)) {
            due.remove(&place);
        }
    }
    if let Some(at) = next {
        due.insert((at, topic.key.clone()), Arc::downgrade(topic));
    }
}

fn tell(hub: &Hub, due: &mut Due) {
    let now = hub.parts.clock.now();
    while let Some(entry) = due.first_entry().filter(|entry| entry.key().0 <= now) {
        let Some(topic) = entry.remove().upgrade() else { continue };
        let (told, next) = {
            let mut plan = topic.plan();
            (plan.take(now), plan.next())
        };
        reschedule(due, &topic, None, next);
        let mut in_time = told.iter().filter(|warning| now.since(warning.at.0) <= LATE_MS).peekable();
        if in_time.peek().is_some() {
            topic.warn(Told::warnings(&topic.key.session, in_time), &hub.settings);
        }
    }
}
