//! Real time: nothing stands before what had been seen when it was asked for, and no
//! answer shows less than what had been seen then. Refusals name a version that was
//! the newest meanwhile, and the rules refuse on it.

use std::sync::LazyLock;

use synckairos::domain::position::Position;
use synckairos::domain::session::Session;
use synckairos::domain::session::command::Command;
use synckairos::domain::session::event::Step as Judged;
use synckairos::domain::session::restore::{OUTAGE_MS, Outage};
use synckairos::domain::time::Timestamp;
use synckairos::wire::error_code::Code;

use super::case::{Case, Known};
use super::replay::command_of;
use super::{Law, Verdict};
use crate::harness::history::{Answer, Call, ShownSession};

pub(super) fn judge(case: &Case<'_>, verdict: &mut Verdict) {
    let newest = running_newest(&case.known);
    for call in &case.calls {
        if let Some(shown) = call.answer.shown() {
            is_new_enough(case, call, shown, &newest, verdict);
        }
        match &call.answer {
            Answer::Applied { made, is_replay: false, .. } => is_after_what_was_seen(case, call, *made, verdict),
            Answer::Refused { code, shown: Some(shown) } => has_reason(case, call, code, shown, verdict),
            _ => {}
        }
        if let (Answer::Applied { made, is_replay: false, .. }, Some(expected)) = (&call.answer, call.asked.expected)
            && (made.epoch, made.version) != (expected.epoch, expected.version + 1)
        {
            verdict.broken(Law::Expected, case, [call.told()]);
        }
    }
}

/// At each instant something was learnt, the newest that was known: the place of it.
fn running_newest(known: &[Known]) -> Vec<usize> {
    let mut best = 0;
    let newest = known.iter().enumerate().map(|(at, each)| {
        if each.position > known[best].position {
            best = at;
        }
        best
    });
    newest.collect()
}

fn is_new_enough(case: &Case<'_>, call: &Call, shown: &ShownSession, newest: &[usize], verdict: &mut Verdict) {
    let before = case.known.partition_point(|known| known.at_us < call.invoked_us);
    let Some(known) = before.checked_sub(1).map(|last| &case.known[newest[last]]) else { return };
    if known.position > shown.position {
        verdict.broken(Law::StaleRead, case, [known.by.clone(), call.told()]);
    }
}

fn is_after_what_was_seen(case: &Case<'_>, call: &Call, made: Position, verdict: &mut Verdict) {
    let Some(step) = case.step(made) else { return };
    if let Some(known) = case.first_known(step).filter(|known| known.at_us < call.invoked_us) {
        verdict.broken(Law::RealTime, case, [known.by.clone(), call.told()]);
    }
}

/// That the version shown was not too old is looked at for every answer.
fn has_reason(case: &Case<'_>, call: &Call, code: &str, shown: &ShownSession, verdict: &mut Verdict) {
    if code == "stale_version" {
        let was_it = call.asked.expected == Some(shown.position);
        let of_body = call.asked.body.get("expected_version").and_then(serde_json::Value::as_u64);
        if was_it || (call.asked.expected.is_none() && of_body == Some(shown.position.version)) {
            verdict.broken(Law::Refusal, case, [call.told()]);
        }
        return;
    }
    let Some(command) = RULES.contains(&code).then(|| command_of(&call.asked)).flatten() else { return };
    let states = states_at(case, shown);
    if states.is_empty() {
        return;
    }
    if states.iter().any(|(state, command_before)| refuses(state, &command, code, *command_before)) {
        verdict.figures.refusals_judged += 1;
    } else {
        let trace = states.iter().map(|(state, _)| format!("{} is {}", state.position, state.status.as_str()));
        verdict.broken(Law::Refusal, case, std::iter::once(call.told()).chain(trace));
    }
}

/// What stood at that position, and (marked so) what a settling may have made it from.
fn states_at(case: &Case<'_>, shown: &ShownSession) -> Vec<(Session, bool)> {
    let on_line = case.step(shown.position).map(|step| &case.line[step]);
    if let Some(step) = on_line {
        let own = step.state.clone().map(|state| (state, false));
        let at = case.step(shown.position).and_then(|at| at.checked_sub(1)).filter(|_| step.command == "settle");
        let before = at.and_then(|at| case.line[at].state.clone()).map(|state| (state, true));
        return own.into_iter().chain(before).collect();
    }
    if let Some(row) = case.aside.iter().find(|row| row.link.position == shown.position) {
        let state = row.body.as_deref().and_then(|body| Session::from_stored(body).ok());
        return state.map(|state| (state, false)).into_iter().collect();
    }
    let Some(step) = case.step_behind(shown.position) else { return Vec::new() };
    let Some(state) = &case.line[step].state else { return Vec::new() };
    // A restoring is no row. How long nobody was there does not matter here, only that
    // it was long.
    let absence = Outage { from: state.updated_at, until: state.updated_at + OUTAGE_MS };
    let absence = shown.reasons.iter().any(|reason| reason == "outage").then_some(absence);
    vec![(state.restored(absence, Timestamp::from_ms(shown.position.epoch)), false)]
}

/// When a command arrived is not known to the millisecond: what matters is on which
/// side of what falls due.
fn refuses(state: &Session, command: &Command, code: &str, is_before_settling: bool) -> bool {
    let due = state.due_at;
    let nows = [Some(state.updated_at), due.map(|due| due - 1), due, state.deadline()];
    nows.into_iter().flatten().any(|now| match state.next(command, now) {
        Judged::Refused(why) => !is_before_settling && Code::from(why).as_str() == code,
        Judged::Due(_, Some(why)) => Code::from(why).as_str() == code,
        _ => false,
    })
}

/// What only rules answer with.
static RULES: LazyLock<[&'static str; 10]> = LazyLock::new(|| {
    [
        Code::NotRunning,
        Code::NotPaused,
        Code::AlreadyStarted,
        Code::SessionEnded,
        Code::NotActive,
        Code::WrongMode,
        Code::DeadlinePending,
        Code::ParticipantExpired,
        Code::UnknownParticipant,
        Code::UnknownGroup,
    ]
    .map(Code::as_str)
});
