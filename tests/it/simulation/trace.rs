//! A schedule as text: the plan and every event with its time.

use std::fmt::Write as _;

use super::clock::Truth;
use super::world::Outcome;

/// The trace of a schedule.
pub fn of(outcome: &Outcome) -> String {
    let plan = &outcome.plan;
    let mut trace = format!("seed {}, {} instances, {:?}\n", plan.seed, plan.instances, plan.weather);
    for (number, body) in plan.sessions.iter().enumerate() {
        let _ = writeln!(trace, "s{number}: {body}");
    }
    for fault in &plan.faults {
        let _ = writeln!(trace, "{fault}");
    }
    for (at, event) in &outcome.events {
        let _ = writeln!(trace, "{:>6} ms  {event}", Truth::told(*at));
    }
    for (key, last) in &outcome.finals {
        let _ =
            writeln!(trace, "{}: in the end {}, {}", key.session, last.session.position, last.session.status.as_str());
    }
    let _ = writeln!(trace, "all were right {} ms after the last fault", outcome.right_after.as_millis());
    trace
}
