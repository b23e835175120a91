//! What happened, for people.

use std::fmt::Write as _;

use synckairos::domain::id::SessionKey;

use super::clock::Truth;
use super::world::Outcome;

/// The story of one session, or of all.
pub fn of(outcome: &Outcome, key: Option<&SessionKey>) -> String {
    let plan = &outcome.plan;
    let mut story = format!("seed {}, {} instances, {:?}\n", plan.seed, plan.instances, plan.weather);
    plan.sessions.iter().enumerate().for_each(|(number, body)| drop(writeln!(story, "s{number}: {body}")));
    plan.faults.iter().for_each(|fault| drop(writeln!(story, "{fault}")));
    for (at, event) in &outcome.events {
        if key.is_none() || event.key().is_none() || event.key() == key {
            let _ = writeln!(story, "{:>6} ms  {event}", Truth::told(*at));
        }
    }
    for (key, last) in &outcome.finals {
        let _ =
            writeln!(story, "{}: in the end {}, {}", key.session, last.session.position, last.session.status.as_str());
    }
    story
}
