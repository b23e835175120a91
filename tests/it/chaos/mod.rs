//! Real faults: three processes behind nginx over a Redis and a PostgreSQL, clients on
//! every transport and door, and something that breaks. Afterwards all must be right
//! again, and the checker judges what everybody was told.
//!
//! The short form is a handful of faults. `scripts/chaos` runs all of them for as long as
//! it is told, by the environment: `SYNCKAIROS_CHAOS_SECONDS`, `SYNCKAIROS_CHAOS_FAULT`
//! and `SYNCKAIROS_CHAOS_SEED`. `SYNCKAIROS_CHAOS_LOG` is what instances take as `RUST_LOG`;
//! the logs of a round that went wrong are kept.

mod client;
mod faults;
#[cfg(feature = "mutants")]
mod mutants;
mod neighbours;
mod redis_faults;
mod round;
mod storm;
mod testbed;
mod watcher;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;

use self::faults::{FAULTS, Fault};
use self::round::{Load, Outcome};

/// From the fault's end until all are right.
const RECOVERY_LIMIT: Duration = Duration::from_secs(2);

/// The same on a machine that is busy with something else.
const AT_WORST: Duration = Duration::from_secs(4);

const SHORT: Load = Load { seed: 1, span: Duration::from_millis(2_500), sessions: 4, timers: 3, crowd: 300 };
const LONG_LOAD: Load = Load { seed: 1, span: Duration::from_secs(8), sessions: 6, timers: 6, crowd: 10_000 };

#[expect(clippy::disallowed_methods, reason = "how long a test runs is nothing the service is told")]
fn setting(name: &str) -> Option<String> {
    std::env::var(format!("SYNCKAIROS_CHAOS_{name}")).ok().filter(|value| !value.is_empty())
}

fn row(fault: &Fault, outcome: &Outcome) -> String {
    let Outcome { right, verdict, not_done, patience, .. } = outcome;
    let right = right.map_or_else(|| "not".to_owned(), |right| format!("{:.2} s", right.as_secs_f64()));
    let figures = verdict.figures;
    let lost = if figures.lost == 0 { "0".to_owned() } else { format!("{}, told by a new epoch", figures.lost) };
    format!(
        "| {} | {} | {right} | {not_done} of {} (longest {:.1} s) | {lost} | `scripts/chaos --fault {}` |",
        fault.name,
        fault.seen,
        figures.applied + figures.refused + figures.unavailable + figures.unknown,
        patience.as_secs_f64(),
        fault.name
    )
}

/// What is said of a round.
struct Round {
    row: String,
    right: Option<Duration>,
    wrong: Vec<String>,
}

async fn is_survived(name: &str, load: Load) -> Round {
    let fault = FAULTS.iter().find(|fault| fault.name == name).unwrap_or_else(|| panic!("no fault is called {name}"));
    let outcome = round::play(fault, load).await;
    let row = row(fault, &outcome);
    println!("{row}");
    let mut wrong = outcome.faults.clone();
    if !outcome.verdict.violations.is_empty() {
        wrong.push(outcome.verdict.to_string());
    }
    println!("  {:?}", outcome.verdict.figures);
    if let Some(right) = outcome.right.filter(|right| *right > RECOVERY_LIMIT) {
        println!("  later than the goal of {RECOVERY_LIMIT:?}");
        if right > AT_WORST {
            wrong.push(format!("right after {right:?} only"));
        }
    }
    for wrong in &wrong {
        println!("  WRONG in {name} with seed {}: {wrong}", load.seed);
    }
    Round { row, right: outcome.right, wrong }
}

macro_rules! short {
    ($($test:ident $name:literal)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let round = is_survived($name, SHORT).await;
                assert_eq!(round.wrong, Vec::<String>::new());
            }
        )*
    };
}

short! {
    an_instance_that_is_killed_loses_nothing "kill"
    a_redis_that_is_killed_goes_on_from_its_file "redis-killed"
    a_redis_that_is_not_heard_leaves_nobody_in_the_dark "redis-mute"
    a_ledger_that_is_away_costs_nothing "postgres-cut"
    a_redis_that_is_emptied_is_noticed "flushall"
    a_cluster_whose_slots_move_is_followed "cluster-migration"
    deployments_beside_it_are_nothing_to_it "neighbours"
    what_the_ledger_refuses_for_good_is_kept "dead-letters"
}

/// All of them, or the one that is named, again and again for as long as is asked; ends
/// with the table. Among the other tests, where nothing is asked, one small round.
#[tokio::test(flavor = "multi_thread")]
async fn all_faults_in_turn() {
    let asked = setting("SECONDS").map(|seconds| seconds.parse().expect("seconds are a number"));
    let seed = setting("SEED").map_or(1, |seed| seed.parse().expect("a seed is a number"));
    let (seconds, load, named) = match asked {
        Some(seconds) => (seconds, LONG_LOAD, setting("FAULT")),
        None => (0, SHORT, Some("scripts-flushed".to_owned())),
    };
    let chosen = || FAULTS.iter().filter(|fault| named.as_ref().is_none_or(|named| fault.name == *named));
    assert!(chosen().count() > 0, "no fault is called {named:?}");
    let until = Instant::now() + Duration::from_secs(seconds);
    // Of each fault, the round after which it took longest until all were right.
    let (mut rows, mut wrong) = (BTreeMap::<_, Round>::new(), Vec::new());
    for round in 0.. {
        for fault in chosen() {
            // Each comes once at least.
            if round > 0 && Instant::now() > until {
                break;
            }
            let survived = is_survived(fault.name, Load { seed: seed + round, ..load });
            let Ok(round) = AssertUnwindSafe(survived).catch_unwind().await else {
                wrong.push(format!("{}: it could not be played", fault.name));
                continue;
            };
            wrong.extend(round.wrong.iter().map(|wrong| format!("{}: {wrong}", fault.name)));
            match rows.get(fault.name) {
                Some(worst) if worst.right >= round.right => {}
                _ => drop(rows.insert(fault.name, round)),
            }
        }
        if Instant::now() > until {
            break;
        }
    }
    println!("\n| fault | what users see | all right after | not done meanwhile | acknowledged and lost | again by |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for round in rows.values() {
        println!("{}", round.row);
    }
    assert!(wrong.is_empty(), "{} things went wrong", wrong.len());
}
