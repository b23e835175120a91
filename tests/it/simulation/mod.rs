//! The whole service in one process and in virtual time, over a Redis, a ledger and links
//! that are simulated: everything that may go wrong goes wrong, as a seed says, and what
//! came of it is judged against all that is known.
//!
//! A seed always gives the same schedule. A run tries the first [`SCHEDULES`] seeds, or as many
//! as `SYNCKAIROS_SIMULATION_SCHEDULES` says: whether a change passes is not a matter of luck.
//! `SYNCKAIROS_SIMULATION_SECONDS` tries new seeds for so long, and
//! `SYNCKAIROS_SIMULATION_SEED` replays one. Seeds that found something stand in `seeds.txt`,
//! and are tried each time.

mod client;
mod clock;
mod faults;
mod instance;
mod ledger;
mod link;
mod oracle;
mod plan;
mod record;
mod redis;
mod shrink;
mod trace;
mod watcher;
mod world;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::time::Instant;

use self::plan::Plan;
use self::redis::Flaw;
use self::shrink::{Failure, failure};

/// How many seeds are tried, where nothing else is said.
const SCHEDULES: u64 = 1_000;

/// A build that lies is caught within so many seeds.
const MAX_SEEDS_TO_CATCH: u64 = 300;

#[expect(clippy::disallowed_methods, reason = "what a test tries is nothing the service is told")]
fn asked(name: &str) -> Option<u64> {
    let asked = std::env::var(name).ok();
    asked.map(|number| number.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The first of these seeds that fails, tried on all cores.
fn first_failure(seeds: impl Iterator<Item = u64> + Send, flaw: Flaw) -> (usize, Option<Failure>) {
    let (seeds, tried, found) = (Mutex::new(seeds), AtomicUsize::new(0), Mutex::new(None));
    let try_all = || {
        while found.lock().unwrap().is_none() {
            let Some(seed) = seeds.lock().unwrap().next() else { return };
            tried.fetch_add(1, Ordering::Relaxed);
            if let Some(failure) = failure(&Plan::of(seed), flaw) {
                found.lock().unwrap().get_or_insert(failure);
            }
        }
    };
    let threads = available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(try_all))));
    (tried.into_inner(), found.into_inner().unwrap())
}

/// Seeds that nobody has tried, for so long.
fn new_seeds(span: Duration) -> impl Iterator<Item = u64> + Send {
    let (first, began) = (RandomState::new().hash_one(0) >> 16, Instant::now());
    (first..).take_while(move |_| began.elapsed() < span)
}

fn fail_if(failure: Option<Failure>) {
    if let Some(failure) = failure {
        panic!("{}", failure.shrunk(Flaw::None).told());
    }
}

#[test]
fn every_promise_holds_under_any_faults() {
    if let Some(seed) = asked("SYNCKAIROS_SIMULATION_SEED") {
        let outcome = world::run(&Plan::of(seed), Flaw::None);
        println!("{}", trace::of(&outcome));
        return fail_if(failure(&Plan::of(seed), Flaw::None));
    }
    let began = Instant::now();
    let (tried, failure) = match asked("SYNCKAIROS_SIMULATION_SECONDS") {
        Some(seconds) => first_failure(new_seeds(Duration::from_secs(seconds)), Flaw::None),
        None => first_failure(0..asked("SYNCKAIROS_SIMULATION_SCHEDULES").unwrap_or(SCHEDULES), Flaw::None),
    };
    println!("{tried} schedules in {:?}", began.elapsed());
    fail_if(failure);
}

#[test]
fn known_failing_seeds_pass() {
    let seeds = include_str!("seeds.txt").lines().filter(|line| !line.starts_with('#'));
    let seeds: Vec<u64> = seeds.map(|line| line.parse().unwrap()).collect();
    fail_if(first_failure(seeds.into_iter(), Flaw::None).1);
}

#[test]
fn a_seed_gives_the_same_history() {
    let history = |seed| trace::of(&world::run(&Plan::of(seed), Flaw::None));
    for seed in 0..10 {
        assert_eq!(history(seed), history(seed), "{seed}");
    }
    assert_ne!(history(0), history(1));
}

/// Tries seeds until one of them catches it.
fn is_caught(flaw: Flaw) {
    let (tried, failure) = first_failure(0..MAX_SEEDS_TO_CATCH, flaw);
    let Some(failure) = failure else { panic!("{flaw:?} is not caught within {MAX_SEEDS_TO_CATCH} seeds") };
    let failure = failure.shrunk(flaw);
    println!(
        "{flaw:?} is caught after {tried} schedules, with {} commands and faults\n{}",
        failure.size(),
        failure.told()
    );
}

#[test]
fn a_store_that_compares_nothing_is_caught() {
    is_caught(Flaw::ComparesNothing);
}

#[test]
fn a_store_that_knows_no_operations_is_caught() {
    is_caught(Flaw::KnowsNoOperations);
}

#[test]
fn a_store_that_publishes_before_it_stores_is_caught() {
    is_caught(Flaw::TellsFirst);
}

#[test]
fn an_instance_that_trusts_its_cache_is_caught() {
    is_caught(Flaw::TrustsItself);
}
