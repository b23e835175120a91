//! Every version is made again by the rules from the one before it: same command, same
//! instant, same session to the last field. Time is counted once more without them.

use synckairos::domain::chain::Digest;
use synckairos::domain::session::command::{Command, Switch};
use synckairos::domain::session::control::{SyncMode, TimeControl};
use synckairos::domain::session::event::Step as Judged;
use synckairos::domain::session::{Session, Status};
use synckairos::domain::time::Timestamp;
use synckairos::wire::command;

use super::case::{Case, Step};
use super::{Law, Verdict};
use crate::harness::history::{Answer, Call, Invocation};

pub(super) fn judge(case: &Case<'_>, verdict: &mut Verdict) {
    for at in 1..case.line.len() {
        let step = &case.line[at];
        if step.state.is_none() || case.line[at - 1].state.is_none() {
            continue;
        }
        verdict.figures.versions_judged += 1;
        let maker = case.acknowledged().find(|(_, made)| *made == step.position()).map(|(call, _)| call);
        let is_so = match maker {
            _ if step.command == "settle" => is_settled(case, at),
            Some(call) if call.asked.command != step.command => false,
            Some(call) => is_made_by(case, at, &call.asked, then_of(case, &call.asked).as_ref()),
            // Who may have asked for it is looked for elsewhere.
            None => true,
        };
        if !is_so {
            let maker = maker.map(Call::told);
            let trace = [case.line[at - 1].told(), step.told(), differs(case, at)];
            verdict.broken(Law::Charged, case, trace.into_iter().chain(maker));
        }
        is_counted(case, at, verdict);
        is_in_time(case, at, verdict);
    }
}

/// What was asked, as the rules take it; nothing for what is no command of theirs.
pub(super) fn command_of(asked: &Invocation) -> Option<Command> {
    match command::read(&asked.command, asked.body.clone()).ok()?.0 {
        command::CommandInput::Command(command) => Some(command),
        command::CommandInput::Revert { .. } => None,
    }
}

/// The version that a revert goes back to.
pub(super) fn then_of(case: &Case<'_>, asked: &Invocation) -> Option<Command> {
    let version = asked.body.get("to_version")?.as_u64()?;
    let then = case.line.iter().find(|step| step.position().version == version)?.state.clone()?;
    Some(Command::Revert { then: Box::new(then) })
}

/// Whether that command makes the step from the one before.
pub(super) fn is_made_by(case: &Case<'_>, at: usize, asked: &Invocation, revert: Option<&Command>) -> bool {
    let (Some(base), Some(state)) = (at.checked_sub(1), &case.line[at].state) else { return asked.command == "create" };
    if asked.command == "create" {
        return case.line[base].state.as_ref().is_some_and(|before| is_created_after(before, state));
    }
    let Some(command) = command_of(asked).or_else(|| revert.cloned()) else { return false };
    bases(case, base, state).iter().any(|base| match base.next(&command, state.updated_at) {
        Judged::Done(change) => is_same(change.session, state),
        _ => false,
    })
}

/// Only an id whose session was deleted is free, and the next session of that id knows of it.
fn is_created_after(before: &Session, state: &Session) -> bool {
    let is_newer = state.position.epoch > before.position.epoch;
    let is_next = is_newer && state.position.version == before.position.version + 1;
    let is_new = state.status == Status::Pending && state.created_at == state.updated_at;
    before.status == Status::Deleted && state.predecessor == Some(before.position) && is_next && is_new
}

fn is_settled(case: &Case<'_>, at: usize) -> bool {
    let Some(state) = &case.line[at].state else { return true };
    bases(case, at - 1, state).iter().any(|base| {
        let in_grace = match base.next(&Command::Switch(Switch::default()), state.updated_at) {
            Judged::Due(change, Some(_)) => is_same(change.session, state),
            _ => false,
        };
        in_grace || is_same(base.settled(state.updated_at).session, state)
    })
}

fn is_same(made: Session, state: &Session) -> bool {
    // What a restoring did stands in the history of the version after it.
    Session { previous: Digest::NONE, outage: None, ..made }
        == Session { previous: Digest::NONE, outage: None, ..state.clone() }
}

/// What a version may have been made from: the one before, or that as it was restored.
fn bases(case: &Case<'_>, before: usize, state: &Session) -> Vec<Session> {
    let Some(base) = &case.line[before].state else { return Vec::new() };
    if state.position.epoch == base.position.epoch {
        return vec![base.clone()];
    }
    let absences = std::iter::once(None).chain(case.history.absences.iter().map(|absence| Some(*absence)));
    let restored = absences.map(|absence| {
        let now = state.recovered.map_or(Timestamp::from_ms(state.position.epoch), |recovered| recovered.at);
        let mut restored = base.restored(absence, now);
        restored.position.epoch = state.position.epoch;
        // What was merely read back is not marked.
        restored.recovered = state.recovered;
        restored
    });
    restored.collect()
}

/// The first field in which the rules would have it otherwise.
fn differs(case: &Case<'_>, at: usize) -> String {
    let Some(state) = &case.line[at].state else { return String::new() };
    let maker = case.acknowledged().find(|(_, made)| *made == case.line[at].position());
    let asked = maker.and_then(|(call, _)| command_of(&call.asked).or_else(|| then_of(case, &call.asked)));
    let Some(base) = bases(case, at - 1, state).into_iter().next() else { return String::new() };
    let made = match asked.map(|command| base.next(&command, state.updated_at)) {
        Some(Judged::Done(change) | Judged::Due(change, _)) => change.session,
        Some(Judged::Refused(why)) => return format!("the rules refuse it on {}: {why}", base.position),
        None => base.settled(state.updated_at).session,
    };
    let (made, state) = (serde_json::to_value(&made), serde_json::to_value(state));
    let (Ok(made), Ok(state)) = (made, state) else { return String::new() };
    let fields = made.as_object().into_iter().flatten().filter(|(name, _)| *name != "previous");
    let other = fields.filter(|(name, value)| state.get(name.as_str()) != Some(*value));
    other
        .map(|(name, value)| short(&format!("{name}: {value} by the rules, {} in fact; ", state[name.as_str()])))
        .collect()
}

/// The ledger has the rest.
fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

/// While it runs what was used grows as time does, and else not at all.
fn is_counted(case: &Case<'_>, at: usize, verdict: &mut Verdict) {
    let (Some(before), Some(after)) = (&case.line[at - 1].state, &case.line[at].state) else { return };
    let then = after.updated_at;
    let set_anew = ["reset", "adjust", "revert", "remove_participant"].contains(&case.line[at].command.as_str());
    let is_restored = before.position.epoch != after.position.epoch;
    if set_anew || is_restored || !is_plain(before) || before.is_due(then) || before.status == Status::Pending {
        return;
    }
    let grown = used_at(after, then) - used_at(before, before.updated_at);
    let ran = if before.status == Status::Running { then.since(before.updated_at) } else { 0 };
    if grown != ran {
        let trace = format!("{ran} ms ran, {grown} ms were charged");
        verdict.broken(Law::Charged, case, [case.line[at - 1].told(), case.line[at].told(), trace]);
    }
}

/// Every millisecond that runs is charged, to one clock.
fn is_plain(session: &Session) -> bool {
    let plain = TimeControl::default();
    let is_fair = |control: Option<&TimeControl>| control.is_none_or(|control| *control == plain);
    let has_one = matches!(session.sync_mode, SyncMode::PerParticipant | SyncMode::Global | SyncMode::CountUp);
    let is_fair_to_all = session.participants.iter().all(|each| is_fair(each.time_control.as_ref()));
    has_one && !session.is_simultaneous() && is_fair(Some(&session.rules.time_control)) && is_fair_to_all
}

fn used_at(session: &Session, now: Timestamp) -> i64 {
    let used = match session.sync_mode {
        SyncMode::PerParticipant => session.participants.iter().map(|participant| participant.bank.used_ms).sum(),
        _ => session.clock.used_ms,
    };
    let anchor = session.running().and_then(|owner| session.bank(owner).anchor);
    used + anchor.map_or(0, |anchor| now.since(anchor))
}

/// A change happened when its question arrived: between that was asked and answered.
fn is_in_time(case: &Case<'_>, at: usize, verdict: &mut Verdict) {
    let (Some(began_us), Some(state)) = (case.history.began_us, &case.line[at].state) else { return };
    let step: &Step<'_> = &case.line[at];
    let asked = case.acknowledged().find(|(call, made)| {
        *made == step.position()
            && call.asked.key.is_none()
            && !matches!(call.answer, Answer::Applied { is_replay: true, .. })
    });
    let Some((call, _)) = asked else { return };
    let at_us = state.updated_at.as_ms() * 1_000 - began_us;
    let tolerance = case.rules.clock_tolerance_us;
    if at_us + 1_000 + tolerance < call.invoked_us || at_us - tolerance > call.returned_us {
        let trace = format!("which is {at_us} us after it began");
        verdict.broken(Law::Clock, case, [call.told(), step.told(), trace]);
    }
}
