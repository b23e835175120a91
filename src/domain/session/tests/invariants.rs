//! The invariants themselves.

use std::sync::Arc;

use super::generator::Generator;
use crate::domain::session::bank::Bank;
use crate::domain::session::command::{Command, Switch, Target};
use crate::domain::session::control::{OnOutage, SyncMode};
use crate::domain::session::edges::EdgeKind;
use crate::domain::session::event::{Change, Step};
use crate::domain::session::participant::Participant;
use crate::domain::session::restore::{OUTAGE_MS, Outage};
use crate::domain::session::{Owner, Session, Status};
use crate::domain::time::Timestamp;

/// The chain of advances a look is allowed here; longer ones pause.
const MAX_LOOK_MS: i64 = 5_000;

fn everyone(session: &Session) -> Vec<Owner> {
    let seats = (0..session.participants.len()).map(Owner::Participant);
    let places = (0..session.groups.len()).map(Owner::Group);
    seats.chain(places).chain([Owner::Session]).collect()
}

/// A version follows from the one before it.
pub fn of_a_change(before: &Session, change: &Change, now: Timestamp) {
    let after = &change.session;
    assert_eq!(after.position.version, before.position.version + 1, "a change is one version");
    assert_eq!(after.position.epoch, before.position.epoch, "only a restore makes an epoch");
    assert_eq!(after.updated_at, now.max(before.updated_at), "time does not go back");
    assert!(change.expired.is_sorted_by_key(|expired| expired.at), "expiries come in order");
    assert!(change.expired.iter().all(|expired| expired.at <= after.updated_at), "none comes early");
}

/// What holds of every session at every instant.
pub fn of_a_session(session: &Session, now: Timestamp, random: &mut Generator) {
    for owner in everyone(session) {
        conserves(session.bank(owner), session.sync_mode);
    }
    nothing_runs_unless_running(session);
    charges_add_up(session);
    match random.below(24) {
        0 => survives_the_store(session),
        2 | 3 => looking_changes_nothing(session, now, random),
        4 | 5 => pausing_changes_nothing(session, now, random),
        6 | 7 => runs_with_time(session, now, random),
        8 => edges_come_true(session, now),
        9 => equality_is_late(session, now),
        10 => outages_cost_nothing(session, now, random),
        11 => begins_again(session, now),
        _ => {}
    }
}

/// Granted is used and left; nothing is below zero.
fn conserves(bank: &Bank, mode: SyncMode) {
    let left = bank.left_ms.unwrap_or(0);
    assert!(left >= 0 && bank.delay_left_ms >= 0 && bank.overrun_ms >= 0, "a bank below zero: {bank:?}");
    assert!(bank.used_ms >= 0, "used less than nothing: {bank:?}");
    if bank.left_ms.is_some() || mode != SyncMode::CountUp {
        assert_eq!(bank.granted_ms, bank.used_ms + left, "not conserved: {bank:?}");
    }
}

fn nothing_runs_unless_running(session: &Session) {
    let running = everyone(session).into_iter().filter(|owner| session.bank(*owner).anchor.is_some()).count();
    match session.status {
        Status::Running if session.is_simultaneous() => {}
        Status::Running => assert_eq!(running, 1, "one clock at a time"),
        _ => assert_eq!(running, 0, "nothing runs while {:?}", session.status),
    }
    assert_eq!(session.status == Status::Paused, !session.reasons.is_empty(), "paused while a reason stands");
    if !matches!(session.status, Status::Running | Status::Pending) {
        assert_eq!(session.due_at, None, "nothing is due");
    }
}

/// What the participants were charged is what their banks were.
fn charges_add_up(session: &Session) {
    if session.sync_mode == SyncMode::PerParticipant {
        for participant in &session.participants {
            assert_eq!(participant.used_ms, participant.bank.used_ms, "charged to one's own bank");
        }
    }
}

fn survives_the_store(session: &Session) {
    assert_eq!(&Session::from_stored(&session.stored()).unwrap(), session);
}

/// A clone of the session is what a reset makes of it.
fn begins_again(session: &Session, now: Timestamp) {
    let clone = Session::create(session.blueprint(session.session_id.clone()), now).expect("it made sense before");
    let Some(reset) = apply(session, &Command::Reset, now) else { return };
    assert_eq!(clone.session.status, reset.status);
    assert_eq!((clone.session.clock, clone.session.groups), (reset.clock, reset.groups));
    // A participant that joined later has `joined` set: only in a clone was it there from the beginning.
    let seat = |each: &Arc<Participant>| Participant { joined: None, ..Participant::clone(each) };
    let seats: Vec<_> = reset.participants.iter().map(seat).collect();
    assert!(clone.session.participants.iter().map(Arc::as_ref).eq(&seats), "begun again");
}

/// The state, without what tells how often somebody looked.
fn settled(session: &Session, now: Timestamp) -> Session {
    let mut settled = if session.is_due(now) { session.settled(now).session } else { session.clone() };
    settled.attended_at = settled.attended();
    settled.position.version = 0;
    settled.updated_at = Timestamp::default();
    settled
}

fn looking_changes_nothing(session: &Session, now: Timestamp, random: &mut Generator) {
    let end = now + MAX_LOOK_MS;
    let between = random.instant(session, now).max(now).min(end);
    let looked = settled(session, between);
    assert!(!looked.is_due(between), "settled is settled");
    assert_eq!(settled(&looked, end), settled(session, end), "looking at {between:?} changed the end");
    for owner in everyone(session).into_iter().filter(|_| !session.is_due(between)) {
        assert_eq!(looked.remaining(owner, between), session.remaining(owner, between), "{owner:?} at {between:?}");
    }
}

fn apply(session: &Session, command: &Command, now: Timestamp) -> Option<Session> {
    match session.next(command, now) {
        Step::Done(change) => Some(change.session),
        _ => None,
    }
}

/// Pause then resume at the same instant.
fn pausing_changes_nothing(session: &Session, now: Timestamp, random: &mut Generator) {
    let at = random.instant(session, now).max(now).min(now + MAX_LOOK_MS);
    let session = settled(session, at);
    let reason = Some("a moment".to_owned());
    let target = Target::Session;
    let pause = Command::Pause { reason: reason.clone(), target: target.clone(), by_participant: false };
    let Some(paused) = apply(&session, &pause, at).filter(|_| session.status == Status::Running) else { return };
    let resumed = apply(&paused, &Command::Resume { reason, target, by_participant: false }, at)
        .expect("what was paused resumes");
    assert_eq!((resumed.status, resumed.active), (session.status, session.active));
    assert_eq!((resumed.deadline(), resumed.due_at), (session.deadline(), session.due_at), "the deadline moved");
    let later = at + random.span().min(MAX_LOOK_MS);
    let (resumed, session) = (settled(&resumed, later), settled(&session, later));
    assert_eq!((resumed.status, resumed.active), (session.status, session.active));
    for owner in everyone(&session) {
        assert_eq!(resumed.remaining(owner, later), session.remaining(owner, later), "{owner:?} at {later:?}");
        assert_eq!(resumed.bank(owner).phase, session.bank(owner).phase);
        if !session.rules.time_control.hourglass {
            assert_eq!(resumed.bank(owner).granted_ms, session.bank(owner).granted_ms);
        }
    }
}

/// Between two edges the running clock falls by what has elapsed; others stand still.
fn runs_with_time(session: &Session, now: Timestamp, random: &mut Generator) {
    if session.is_due(now) || session.rules.time_control.hourglass {
        return;
    }
    let later = random.instant(session, now).max(now).min(now + MAX_LOOK_MS);
    for owner in everyone(session) {
        let bank = session.bank(owner);
        let (Some(first), Some(then)) = (session.remaining(owner, now), session.remaining(owner, later)) else {
            continue;
        };
        let Some(anchor) = bank.anchor else {
            if session.sync_mode != SyncMode::PerCycle {
                assert_eq!(first, then, "{owner:?} stands still");
            }
            continue;
        };
        let runs_from = now.max(anchor + bank.delay_left_ms);
        let elapsed = if bank.is_free { 0 } else { later.since(runs_from) };
        match session.sync_mode {
            SyncMode::CountUp => {
                assert_eq!(then, first + elapsed.min(bank.left_ms.unwrap_or(i64::MAX) - (first - bank.used_ms)));
            }
            _ if elapsed < first => assert_eq!(then, first - elapsed, "{owner:?} runs"),
            _ => {}
        }
    }
}

/// What the edges say is what happens when nobody acts.
fn edges_come_true(session: &Session, now: Timestamp) {
    if session.is_due(now) || session.status != Status::Running || session.is_simultaneous() {
        return;
    }
    for edge in session.edges().into_iter().filter(|edge| edge.at > now && edge.at < Timestamp::NEVER) {
        let then = settled(session, edge.at);
        match edge.kind {
            EdgeKind::Expiry => expires_there(session, edge.at),
            _ => assert_eq!(then.remaining(edge.owner, edge.at), shown(session, edge.remaining_ms), "{edge:?}"),
        }
        if matches!(edge.kind, EdgeKind::Overtime | EdgeKind::Reserve) {
            assert_eq!(then.bank(edge.owner).anchor, Some(edge.at), "{edge:?}");
        }
    }
}

/// What counts up shows what has elapsed when so much is left.
fn shown(session: &Session, left_ms: i64) -> Option<i64> {
    let most = session.clock.left_ms.map(|left| left + session.clock.used_ms);
    if session.sync_mode == SyncMode::CountUp { most.map(|most| most - left_ms) } else { Some(left_ms) }
}

fn expires_there(session: &Session, at: Timestamp) {
    assert_eq!(session.deadline(), Some(at), "the last edge is the deadline");
    let Some(due) = session.due_at else { panic!("what has a deadline is due") };
    assert!(!session.settled(due - 1).expired.iter().any(|expired| expired.at == at && due > at), "too early");
    let change = session.settled(due);
    assert!(change.expired.iter().any(|expired| expired.at == at), "nothing ran out at {at:?}");
}

/// A command that arrived at exactly the deadline came too late; a moment before, in time.
fn equality_is_late(session: &Session, now: Timestamp) {
    let Some(due) = session.due_at.filter(|_| session.status == Status::Running) else { return };
    if due <= now || due == Timestamp::NEVER {
        return;
    }
    let pause = Command::Pause { reason: None, target: Target::Session, by_participant: false };
    assert!(matches!(session.next(&pause, due), Step::Due(..)), "late at the deadline");
    let switch = Command::Switch(Switch::default());
    if let Some(deadline) = session.deadline().filter(|deadline| *deadline > now) {
        let before = settled(session, deadline - 1);
        assert!(!matches!(before.next(&switch, deadline - 1), Step::Due(..)), "in time a moment before");
        assert_eq!(before.status, session.status, "nothing ran out before the deadline");
    }
}

/// What nobody could act on is not charged.
fn outages_cost_nothing(session: &Session, now: Timestamp, random: &mut Generator) {
    let alive = random.instant(session, now).max(now).min(now + MAX_LOOK_MS);
    let back = alive + random.span().max(OUTAGE_MS);
    let restored = session.restored(Some(Outage { from: alive, until: back }), back);
    assert!(restored.position > session.position && restored.position.version == session.position.version);
    assert!(restored.recovered.is_some());
    let is_outage = session.rules.on_outage == OnOutage::Pause && back.since(alive) >= OUTAGE_MS;
    if !is_outage || session.status != Status::Running {
        return;
    }
    let alive_then = settled(session, alive);
    let is_in_grace = alive_then.deadline().is_some_and(|deadline| deadline <= alive);
    if alive_then.status == Status::Running && !is_in_grace {
        assert_eq!(restored.status, Status::Paused, "paused at the last proof of life");
        for owner in everyone(session) {
            let (then, now) = (alive_then.remaining(owner, alive), restored.remaining(owner, back));
            assert!(now >= then || restored.bank(owner).expired_at.is_some(), "{owner:?} was charged an outage");
        }
    }
}
