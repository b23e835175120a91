//! The whole service in one process and in virtual time, over a Redis, a ledger and links
//! that are simulated: everything that may go wrong goes wrong, as a seed says, and what
//! came of it is judged against all that is known.
//!
//! A seed always gives the same schedule. `SYNCKAIROS_SIMULATION_SEED` replays one, and
//! `SYNCKAIROS_SIMULATION_SECONDS` says for how long new ones are tried.

mod client;
mod clock;
mod faults;
mod instance;
mod judge;
mod ledger;
mod link;
mod plan;
mod record;
mod redis;
mod story;
mod watcher;
mod world;

use self::plan::Plan;
use self::redis::Flaw;

#[expect(clippy::disallowed_methods, reason = "what a test tries is nothing the service is told")]
fn asked(name: &str) -> Option<u64> {
    let asked = std::env::var(name).ok();
    asked.map(|number| number.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn first() {
    if let Some(seed) = asked("SYNCKAIROS_SIMULATION_SEED") {
        let outcome = world::run(&Plan::of(seed), Flaw::None);
        println!("{:?}", outcome.judge());
        println!("{}", story::of(&outcome, None));
        return;
    }
    let began = tokio::time::Instant::now();
    let (mut bad, mut kinds) = (0, std::collections::BTreeMap::<String, Vec<u64>>::new());
    let end = asked("SYNCKAIROS_SIMULATION_SECONDS").unwrap_or(2);
    let mut seed = 0;
    while began.elapsed().as_secs() < end {
        let outcome = world::run(&Plan::of(seed), Flaw::None);
        if let Err(complaint) = outcome.judge() {
            bad += 1;
            let kind: String = complaint.what.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
            kinds.entry(kind).or_default().push(seed);
        }
        seed += 1;
    }
    println!("{seed} schedules, {bad} bad, {:?}", began.elapsed());
    for (kind, seeds) in kinds {
        println!("{} {kind}: {:?}", seeds.len(), &seeds[..seeds.len().min(8)]);
    }
}
