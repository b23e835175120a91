//! A plan that fails is made as small as it can be and still fail.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::link::Weather;
use super::plan::Plan;
use super::redis::Flaw;
use super::trace;
use super::world;
use super::world::Outcome;

/// So many smaller ones are tried.
const MAX_RUNS: usize = 120;

/// A plan that failed, and how.
pub struct Failure {
    plan: Plan,
    what: String,
    outcome: Option<Outcome>,
}

/// Lets a plan happen; gives how it failed, if it did.
pub fn failure(plan: &Plan, flaw: Flaw) -> Option<Failure> {
    let happened = catch_unwind(AssertUnwindSafe(|| {
        let outcome = world::run(plan, flaw);
        (outcome.judge().err(), outcome)
    }));
    match happened {
        Ok((None, _)) => None,
        Ok((Some(complaint), outcome)) => {
            let what = format!("{}: {}", complaint.key.session, complaint.what);
            Some(Failure { plan: plan.clone(), what, outcome: Some(outcome) })
        }
        Err(_) => Some(Failure { plan: plan.clone(), what: "a panic, told above".to_owned(), outcome: None }),
    }
}

impl Failure {
    /// The smallest that was found to fail, by leaving out one part after another.
    pub fn shrunk(mut self, flaw: Flaw) -> Self {
        let mut tries = 0;
        'smaller: loop {
            for plan in smaller(&self.plan) {
                tries += 1;
                if tries > MAX_RUNS {
                    return self;
                }
                if let Some(failure) = failure(&plan, flaw) {
                    self = failure;
                    continue 'smaller;
                }
            }
            return self;
        }
    }

    pub fn told(&self) -> String {
        let trace = self.outcome.as_ref().map_or_else(|| format!("{:#?}", self.plan), trace::of);
        format!("{}\n{trace}", self.what)
    }

    /// How many commands and faults are in it.
    pub fn size(&self) -> usize {
        self.plan.clients.iter().map(Vec::len).sum::<usize>() + self.plan.faults.len()
    }
}

/// The plan with one part left out, the largest parts first.
fn smaller(plan: &Plan) -> Vec<Plan> {
    let with = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        plan
    };
    let mut smaller = Vec::new();
    for client in 0..plan.clients.len() {
        // Its place stays, so that the others keep their names.
        if !plan.clients[client].is_empty() {
            smaller.push(with(&|plan| plan.clients[client].clear()));
        }
    }
    for fault in 0..plan.faults.len() {
        smaller.push(with(&|plan| {
            plan.faults.remove(fault);
        }));
    }
    if !plan.watchers.is_empty() {
        smaller.push(with(&|plan| plan.watchers.clear()));
        smaller.push(with(&|plan| plan.watchers.truncate(plan.watchers.len() - 1)));
    }
    if plan.weather != Weather::FAIR {
        smaller.push(with(&|plan| plan.weather = Weather::FAIR));
    }
    for (client, steps) in plan.clients.iter().enumerate() {
        for step in 0..steps.len() {
            smaller.push(with(&|plan| {
                plan.clients[client].remove(step);
            }));
        }
    }
    smaller
}
