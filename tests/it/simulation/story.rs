//! What happened, for people.

use std::fmt::Write as _;

use super::clock::Truth;
use super::world::Outcome;

/// The story of a schedule.
pub fn of(outcome: &Outcome) -> String {
    let plan = &outcome.plan;
    let mut story = format!("seed {}, {} instances, {:?}\n", plan.seed, plan.instances, plan.weather);
    for (number, body) in plan.sessions.iter().enumerate() {
        let _ = writeln!(story, "s{number}: {body}");
    }
    for fault in &plan.faults {
        let _ = writeln!(story, "{fault}");
    }
    for (at, event) in &outcome.events {
        let _ = writeln!(story, "{:>6} ms  {event}", Truth::told(*at));
    }
    for (key, last) in &outcome.finals {
        let _ =
            writeln!(story, "{}: in the end {}, {}", key.session, last.session.position, last.session.status.as_str());
    }
    let _ = writeln!(story, "all were right {} ms after the last fault", outcome.right_after.as_millis());
    story
}
