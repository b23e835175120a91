//! Sends warnings at the instants of their thresholds: each instance to its own subscribers,
//! by the edges of the newest state. One task serves all sessions.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;
use crate::fanout::shared::Shared;
use crate::fanout::topic::Topic;
use crate::fanout::update::Update;
use crate::fanout::warning_plan::Plan;

/// A later warning is of no use to a subscriber.
const MAX_LATENESS_MS: i64 = 2_000;

/// The next warning of each session that has one.
type WarningSchedule = BTreeMap<(Timestamp, SessionKey), Weak<Topic>>;

/// Runs until it is dropped.
pub(in crate::fanout) async fn run(shared: Arc<Shared>) {
    let mut due = WarningSchedule::new();
    loop {
        shared.planned_warnings.store(due.len(), Ordering::Relaxed);
        let next = due.first_key_value().map_or(Timestamp::NEVER, |((at, _), _)| *at);
        tokio::select! {
            // Always in this order, so that a run can be repeated: due warnings come first.
            biased;
            () = shared.parts.clock.sleep_until(next), if !due.is_empty() => send_due(&shared, &mut due),
            topic = shared.replans.next() => {
                let now = shared.parts.clock.now();
                replan(&mut due, &topic, now);
                while let Some(topic) = shared.replans.try_next() {
                    replan(&mut due, &topic, now);
                }
            }
        }
    }
}

fn replan(due: &mut WarningSchedule, topic: &Arc<Topic>, now: Timestamp) {
    let (mut plan, is_watched, delta) = topic.take_plan();
    let before = plan.next();
    if is_watched {
        plan.begin(now);
        plan.follow(delta);
    } else {
        plan = Plan::default();
    }
    reschedule(due, topic, before, plan.next());
    topic.put_plan(plan);
}

fn reschedule(due: &mut WarningSchedule, topic: &Arc<Topic>, before: Option<Timestamp>, next: Option<Timestamp>) {
    if before == next {
        return;
    }
    if let Some(at) = before {
        let place = (at, topic.key.clone());
        // If the session was forgotten and is watched again, this may be the later topic's place.
        if due.get(&place).is_some_and(|planned| planned.as_ptr() == Arc::as_ptr(topic)) {
            due.remove(&place);
        }
    }
    if let Some(at) = next {
        due.insert((at, topic.key.clone()), Arc::downgrade(topic));
    }
}

fn send_due(shared: &Shared, due: &mut WarningSchedule) {
    let now = shared.parts.clock.now();
    while let Some(entry) = due.first_entry().filter(|entry| entry.key().0 <= now) {
        let Some(topic) = entry.remove().upgrade() else { continue };
        let (warnings, next) = topic.take_warnings(now);
        reschedule(due, &topic, None, next);
        let mut in_time = warnings.iter().filter(|warning| now.since(warning.at.0) <= MAX_LATENESS_MS).peekable();
        if in_time.peek().is_some() {
            let update = Update::warnings(&topic.key.session, in_time);
            shared.apply(&topic, topic.warn(update, &shared.settings));
        }
    }
}
