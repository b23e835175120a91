//! Tells thresholds at their instant: each instance its own subscribers, from the
//! edges of the newest state. One task for all sessions.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;
use crate::fanout::hub::Hub;
use crate::fanout::topic::Topic;
use crate::fanout::update::Update;
use crate::fanout::warning_plan::Plan;

/// Told later than this a warning is no use to anyone.
const MAX_LATENESS_MS: i64 = 2_000;

/// The next warning of each session that has one.
type WarningSchedule = BTreeMap<(Timestamp, SessionKey), Weak<Topic>>;

/// Runs until it is dropped.
pub(in crate::fanout) async fn run(hub: &Hub) {
    let mut due = WarningSchedule::new();
    loop {
        hub.shared.planned_warnings.store(due.len(), Ordering::Relaxed);
        let next = due.first_key_value().map_or(Timestamp::NEVER, |((at, _), _)| *at);
        tokio::select! {
            // In this order always, so that a run can be repeated: what is due is told first.
            biased;
            () = hub.parts.clock.sleep_until(next), if !due.is_empty() => send_due(hub, &mut due),
            topic = hub.shared.warnings.next() => {
                let now = hub.parts.clock.now();
                replan(&mut due, &topic, now);
                while let Some(topic) = hub.shared.warnings.try_next() {
                    replan(&mut due, &topic, now);
                }
            }
        }
    }
}

/// The topic's state has changed, or somebody came: what was planned is planned anew.
fn replan(due: &mut WarningSchedule, topic: &Arc<Topic>, now: Timestamp) {
    let mut plan = topic.plan();
    let before = plan.next();
    if topic.is_watched() {
        plan.begin(now);
        let news = topic.delta(plan.seen());
        plan.follow(news);
    } else {
        topic.delta(None);
        *plan = Plan::default();
    }
    reschedule(due, topic, before, plan.next());
}

fn reschedule(due: &mut WarningSchedule, topic: &Arc<Topic>, before: Option<Timestamp>, next: Option<Timestamp>) {
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

fn send_due(hub: &Hub, due: &mut WarningSchedule) {
    let now = hub.parts.clock.now();
    while let Some(entry) = due.first_entry().filter(|entry| entry.key().0 <= now) {
        let Some(topic) = entry.remove().upgrade() else { continue };
        let (told, next) = {
            let mut plan = topic.plan();
            (plan.take(now), plan.next())
        };
        reschedule(due, &topic, None, next);
        let mut in_time = told.iter().filter(|warning| now.since(warning.at.0) <= MAX_LATENESS_MS).peekable();
        if in_time.peek().is_some() {
            topic.warn(Update::warnings(&topic.key.session, in_time), &hub.settings);
        }
    }
}
