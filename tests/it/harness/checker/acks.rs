//! Acknowledgements: what was acknowledged is there once, and what is there was asked for.

use std::collections::{HashMap, HashSet};

use synckairos::domain::position::Position;

use super::case::{Case, Step};
use super::replay::{is_made_by, then_of};
use super::{Law, Verdict};
use crate::harness::history::{Answer, Call};

pub(super) fn judge(case: &Case<'_>, verdict: &mut Verdict) {
    kept(case, verdict);
    let taken = once(case, verdict);
    asked_for(case, &taken, verdict);
}

fn kept(case: &Case<'_>, verdict: &mut Verdict) {
    for (call, made) in case.acknowledged() {
        if case.step(made).is_some() {
            continue;
        }
        verdict.figures.lost += 1;
        let newest = case.line.last().map(Step::position).max(case.last.map(|last| last.shown.position));
        // Created again and lost, it is deleted as it was before: that has no epoch, and needs none.
        let is_deleted = case.line.last().is_some_and(|step| step.command == "delete" && step.position() < made);
        if !case.rules.may_lose {
            verdict.broken(Law::Lost, case, [call.told()]);
        } else if !is_deleted && newest.is_none_or(|newest| newest.epoch <= made.epoch) {
            verdict.broken(Law::Lost, case, [call.told(), "and no new epoch tells".to_owned()]);
        }
    }
}

/// Who asked: a key, or one call without.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Asker<'a> {
    Key(&'a str),
    Call(usize),
}

fn asker(at: usize, call: &Call) -> Asker<'_> {
    call.asked.key.as_deref().map_or(Asker::Call(at), Asker::Key)
}

/// Each asker made one version at most, and each version has one asker.
fn once<'a>(case: &Case<'a>, verdict: &mut Verdict) -> HashMap<Asker<'a>, Position> {
    let (mut made_by, mut makers) = (HashMap::new(), HashMap::<Position, (Asker<'_>, &Call)>::new());
    for (at, call) in case.calls.iter().enumerate() {
        let Answer::Applied { made, .. } = call.answer else { continue };
        // What was lost may be done again.
        if case.step(made).is_none() {
            continue;
        }
        let asker = asker(at, call);
        let first = *made_by.entry(asker.clone()).or_insert(made);
        let maker = makers.entry(made).or_insert((asker.clone(), call));
        if first != made {
            verdict.broken(Law::Twice, case, [format!("first {first}"), call.told()]);
        } else if maker.0 != asker {
            verdict.broken(Law::Twice, case, [maker.1.told(), call.told()]);
        }
    }
    made_by
}

/// What nobody was told of is the doing of somebody who was told nothing.
fn asked_for(case: &Case<'_>, taken: &HashMap<Asker<'_>, Position>, verdict: &mut Verdict) {
    let told: HashSet<_> = taken.values().collect();
    let unknown = |call: &Call| call.answer == Answer::Unknown;
    let mut free: Vec<_> = case.calls.iter().enumerate().filter(|(_, call)| unknown(call)).collect();
    free.retain(|(at, call)| !taken.contains_key(&asker(*at, call)));
    for (at, step) in case.line.iter().enumerate() {
        if step.command == "settle" || told.contains(&step.position()) {
            continue;
        }
        let known = case.first_known(at).map_or(i64::MAX, |known| known.at_us);
        let fits = |call: &Call| {
            call.asked.command == step.command
                && call.invoked_us <= known
                && is_made_by(case, at, &call.asked, then_of(case, &call.asked).as_ref())
        };
        match free.iter().position(|(_, call)| fits(call)) {
            Some(place) => {
                let (at, call) = free.remove(place);
                let spent = asker(at, call);
                free.retain(|(at, call)| asker(*at, call) != spent);
            }
            None => verdict.broken(Law::Phantom, case, repeated(case, step)),
        }
    }
}

/// The version that nobody asked for, and who might have asked for it twice.
fn repeated(case: &Case<'_>, step: &Step<'_>) -> Vec<String> {
    let next = Position { version: step.position().version + 1, ..step.position() };
    let near =
        case.acknowledged().filter(|(call, made)| call.asked.command == step.command && *made >= step.position());
    let near = near.min_by_key(|(_, made)| (*made != next, *made)).map(|(call, _)| call.told());
    [format!("nobody asked for {}", step.told())].into_iter().chain(near).collect()
}
