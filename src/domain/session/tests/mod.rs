//! Invariants of every session, under any command at any instant.
//!
//! Random sessions of every mode and control get random commands at random instants, many of
//! them exactly where something happens. The seed is fixed, and a failure names it.

mod generator;
mod invariants;
mod names;
mod reference;
mod refusals;

use self::generator::Generator;
use crate::domain::session::Session;
use crate::domain::session::command::Command;
use crate::domain::session::event::Step;
use crate::domain::time::Timestamp;

/// The most steps of one session.
const MAX_STEPS: u64 = 60;

/// How many in all; `SYNCKAIROS_RANDOM_STEPS` asks for more.
fn steps() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "how long a test runs is no setting of the service")]
    let steps = std::env::var("SYNCKAIROS_RANDOM_STEPS").ok();
    steps.and_then(|steps| steps.parse().ok()).unwrap_or(1_000_000)
}

/// Runs one session from its creation to its end; gives the number of steps.
fn live(seed: u64) -> u64 {
    let mut random = Generator(seed);
    let mut now = Timestamp::from_ms(i64::try_from(random.below(1_000)).unwrap());
    let mut past = vec![random.session(now)];
    for step in 0..MAX_STEPS {
        let session = past[past.len() - 1].clone();
        now = random.instant(&session, now.max(session.updated_at));
        let command = random.command(now, &past);
        match session.next(&command, now) {
            Step::Refused(_) => {}
            Step::Due(change, _) | Step::Done(change) => {
                invariants::of_a_change(&session, &change, now);
                past.push(change.session);
            }
        }
        invariants::of_a_session(&past[past.len() - 1], now.max(session.updated_at), &mut random);
        if past[past.len() - 1].status.is_ended() && random.once_in(3) {
            return step + 1;
        }
    }
    MAX_STEPS
}

/// Sessions in the states that random commands bring them to, each with a random command.
pub(crate) fn each_state(sessions: u64, mut look: impl FnMut(&Session, &Command, Timestamp)) {
    for seed in 0..sessions {
        let mut random = Generator(seed);
        let mut now = Timestamp::from_ms(0);
        let mut past = vec![random.session(now)];
        for _ in 0..30 {
            let session = past[past.len() - 1].clone();
            now = random.instant(&session, now.max(session.updated_at));
            let command = random.command(now, &past);
            look(&session, &command, now);
            match session.next(&command, now) {
                Step::Refused(_) => {}
                Step::Due(change, _) | Step::Done(change) => past.push(change.session),
            }
        }
    }
}

fn many(one: fn(u64) -> u64, first_seed: u64, steps: u64) {
    let (mut seed, mut taken) = (first_seed, 0);
    while taken < steps {
        let lived = std::panic::catch_unwind(|| one(seed));
        taken += lived.unwrap_or_else(|_| panic!("the session of seed {seed} broke an invariant"));
        seed += 1;
    }
}

macro_rules! parts {
    ($($part:ident from $seed:literal,)*) => {
        $(#[test]
        fn $part() {
            many(live, $seed << 40, steps() / 8);
        })*
    };
}

// In eight parts, so that they share the cores and none comes near the time a test is given.
parts! {
    the_invariants_hold_first_part from 0,
    the_invariants_hold_second_part from 1,
    the_invariants_hold_third_part from 2,
    the_invariants_hold_fourth_part from 3,
    the_invariants_hold_fifth_part from 4,
    the_invariants_hold_sixth_part from 5,
    the_invariants_hold_seventh_part from 6,
    the_invariants_hold_eighth_part from 7,
}

#[test]
fn the_engine_agrees_with_a_clock_that_ticks() {
    many(reference::compare, 0, steps() / 20);
}
