//! A service that lies, in one way at a time: the checker catches each, and tells how.
//!
//! `cargo nextest run --features mutants --test it -E 'test(mutants)'`

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::faults::Fault;
use super::redis_faults::memory_full;
use super::round;
use super::round::Load;
use super::testbed::{Deployed, Testbed};
use crate::harness::checker::Law;
use crate::harness::process::Host;

/// Two sessions, so that many write to each at once.
const LOAD: Load = Load { seed: 1, span: Duration::from_secs(3), sessions: 2, timers: 0, crowd: 0 };

/// Seeds are tried until the lie is told; what did not happen cannot be noticed.
const MAX_ROUNDS: u64 = 2;

async fn play_on(_: &mut Testbed, load: Load) {
    sleep(load.span).await;
}

/// Answers are lost again and again.
async fn cut_again_and_again(testbed: &mut Testbed, load: Load) {
    let until = Instant::now() + load.span;
    while Instant::now() < until {
        testbed.redis_door().disconnect_all();
        sleep(Duration::from_millis(60)).await;
    }
}

async fn is_caught(mutant: &str, fault: Fault, laws: &[Law]) {
    for seed in 1..=MAX_ROUNDS {
        let outcome = round::play(&fault, Load { seed, ..LOAD }).await;
        let found: BTreeSet<_> = outcome.verdict.laws();
        if laws.iter().any(|law| found.contains(law)) {
            println!("{mutant} is caught with seed {seed}: {}", outcome.verdict);
            return;
        }
        println!("{mutant} with seed {seed}: {}", outcome.verdict);
    }
    panic!("{mutant} is not caught");
}

macro_rules! mutants {
    ($($test:ident $mutant:literal $strike:ident $laws:expr;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                fn lying(_: usize, host: Host) -> Host {
                    host.with("SYNCKAIROS_MUTANT", $mutant)
                }
                let fault = Fault {
                    name: $mutant,
                    seen: "",
                    deployed: Deployed::Appending,
                    may_lose: false,
                    hosts: lying,
                    strike: |testbed, load| Box::pin($strike(testbed, load)),
                };
                is_caught($mutant, fault, &$laws).await;
            }
        )*
    };
}

mutants! {
    a_commit_that_compares_nothing_is_caught "no_compare" play_on [Law::Fork, Law::Lost, Law::Twice, Law::TwoContents];
    a_write_that_is_done_twice_is_caught "no_operations" cut_again_and_again [Law::Phantom, Law::Twice];
    what_is_told_before_it_is_stored_is_caught "publish_first" memory_full [Law::TwoContents, Law::Frames];
    a_refusal_by_what_is_remembered_is_caught "trusts_memory" play_on [Law::StaleRead, Law::Refusal];
}
