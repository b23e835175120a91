//! The line of versions: without a hole, linked, each once in the ledger, and where all
//! clients end.

use std::collections::HashMap;

use serde_json::Value;
use synckairos::domain::chain::Digest;
use synckairos::domain::position::Position;
use synckairos::ledger::Row;
use synckairos::wire::frame;

use super::case::{Case, Step, told};
use super::{Law, Verdict};
use crate::harness::history::content;

pub(super) fn judge(case: &Case<'_>, verdict: &mut Verdict) {
    is_whole(case, verdict);
    is_linked(case, verdict);
    branches(case, verdict);
    contents(case, verdict);
    ends(case, verdict);
}

fn is_whole(case: &Case<'_>, verdict: &mut Verdict) {
    if let Some(first) = case.line.first()
        && (first.position().version != 1 || first.row.link.previous != Digest::NONE)
    {
        verdict.broken(Law::Hole, case, [format!("nothing leads to {}", first.told())]);
    }
    for pair in case.line.windows(2) {
        if pair[1].position().version != pair[0].position().version + 1 {
            verdict.broken(Law::Hole, case, pair.iter().map(Step::told));
        }
    }
}

fn is_linked(case: &Case<'_>, verdict: &mut Verdict) {
    for step in &case.line {
        let Some(body) = &step.row.body else { continue };
        let stands_there = step.state.as_ref().is_some_and(|state| state.position == step.position());
        if Digest::of(body) != step.row.link.body || !stands_there {
            verdict.broken(Law::Ledger, case, [format!("another body in {}", step.told())]);
        }
    }
}

/// Beside the line there may be what a new epoch superseded, each once.
fn branches(case: &Case<'_>, verdict: &mut Verdict) {
    let newest = case.line.last().map(Step::position).max(case.last.map(|last| last.shown.position));
    // The ledger knows it once something was written on.
    let is_known_so = |row: &Row| row.superseded || case.line.iter().all(|step| step.position() < row.link.position);
    for (at, row) in case.aside.iter().enumerate() {
        let position = row.link.position;
        let same = |other: &Position| *other == position;
        if case
            .line
            .iter()
            .map(Step::position)
            .chain(case.aside[..at].iter().map(|row| row.link.position))
            .any(|p| same(&p))
        {
            verdict.broken(Law::Fork, case, [format!("a second row: {}", told(row))]);
        } else if newest.is_none_or(|newest| newest.epoch <= position.epoch) || !is_known_so(row) {
            verdict.broken(Law::Fork, case, [format!("not on the line, and no new epoch: {}", told(row))]);
        }
    }
}

/// What every observer of a position saw, and the ledger holds.
fn contents(case: &Case<'_>, verdict: &mut Verdict) {
    let mut all: HashMap<Position, (String, String)> = HashMap::new();
    let of_ledger = case.line.iter().filter_map(|step| {
        let state = step.state.as_ref()?;
        let snapshot: Value = serde_json::from_slice(&frame::snapshot(state, state.updated_at)).ok()?;
        Some((step.position(), content(&snapshot), step.told()))
    });
    let of_calls = case.calls.iter().filter_map(|call| {
        let shown = call.answer.shown()?;
        Some((shown.position, shown.content.clone(), call.told()))
    });
    let states = case.seen.iter().filter(|seen| seen.kind.starts_with("STATE_"));
    let of_frames = states.filter_map(|seen| Some((seen.position?, seen.content.clone()?, seen.told())));
    for (position, content, trace) in of_ledger.chain(of_calls).chain(of_frames) {
        let (first, by) = all.entry(position).or_insert_with(|| (content.clone(), trace.clone()));
        if *first != content {
            verdict.broken(Law::TwoContents, case, [by.clone(), trace]);
        }
    }
}

fn ends(case: &Case<'_>, verdict: &mut Verdict) {
    let Some(last) = case.last else { return };
    let position = last.shown.position;
    match case.line.last() {
        None => verdict.broken(Law::Ledger, case, [format!("it holds nothing, and the session is at {position}")]),
        Some(newest) if newest.position().version != position.version || newest.position().epoch > position.epoch => {
            verdict.broken(Law::Ledger, case, [newest.told(), format!("and the session is at {position}")]);
        }
        Some(_) => {}
    }
    for end in &case.ends {
        if end.position != Some(position) {
            let at = end.position.map_or_else(|| "nothing".to_owned(), |position| position.to_string());
            let last_seen = case.seen.iter().rfind(|seen| seen.client == end.client && seen.position.is_some());
            let last_seen = last_seen.map_or_else(String::new, |seen| seen.told());
            verdict.broken(
                Law::EndsElsewhere,
                case,
                [last_seen, format!("{} ends on {at}, the session on {position}", end.client)],
            );
        }
    }
}
