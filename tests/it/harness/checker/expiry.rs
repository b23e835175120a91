//! Clocks run out at their deadline: not before, once, and not without being told.

use std::collections::HashMap;

use super::case::{Case, Step};
use super::{Law, Verdict};

pub(super) fn judge(case: &Case<'_>, verdict: &mut Verdict) {
    let mut told: HashMap<&(String, i64), &Step<'_>> = HashMap::new();
    for (at, step) in case.line.iter().enumerate() {
        for expired in &step.expired {
            if expired.1 > step.row.link.at.as_ms() {
                verdict.broken(Law::Expiry, case, [format!("before its time: {}", step.told())]);
            }
            if let Some(first) = told.insert(expired, step) {
                verdict.broken(Law::Expiry, case, [first.told(), format!("and again: {}", step.told())]);
            }
        }
        if let Some(before) = at.checked_sub(1) {
            at_its_deadline(case, before, verdict);
        }
    }
    frames_in_time(case, verdict);
    missing(case, verdict);
}

/// The first clock that runs out in a change is the one that ran, at its deadline.
fn at_its_deadline(case: &Case<'_>, before: usize, verdict: &mut Verdict) {
    let (earlier, later) = (&case.line[before], &case.line[before + 1]);
    let (Some(state), Some((_, at))) = (&earlier.state, later.expired.first()) else { return };
    let is_restored = earlier.position().epoch != later.position().epoch;
    // A command may move the deadline before it passes.
    if later.command == "settle" && !is_restored && state.deadline().is_some_and(|deadline| deadline.as_ms() != *at) {
        verdict.broken(Law::Expiry, case, [earlier.told(), format!("not at its deadline: {}", later.told())]);
    }
}

fn frames_in_time(case: &Case<'_>, verdict: &mut Verdict) {
    let Some(began_us) = case.history.began_us else { return };
    for seen in case.seen.iter().filter(|seen| seen.kind == "TIME_EXPIRED") {
        let Some(at_ms) = seen.expired_at_ms else { continue };
        if at_ms * 1_000 - began_us > seen.at_us + case.rules.clock_tolerance_us {
            verdict.broken(Law::Expiry, case, [format!("{}, which is still to come", seen.told())]);
        }
    }
}

/// Nobody's clock is past its deadline at the end and still runs.
fn missing(case: &Case<'_>, verdict: &mut Verdict) {
    let (Some(began_us), Some(last)) = (case.history.began_us, case.last) else { return };
    let Some(deadline) = last.deadline_ms.filter(|_| last.status == "running") else { return };
    let over_us = last.at_us - (deadline * 1_000 - began_us);
    if over_us > case.rules.expiry_patience_ms * 1_000 {
        let trace = format!("at {} it still runs, {over_us} us after its deadline", last.shown.position);
        verdict.broken(Law::Expiry, case, [trace]);
    }
}
