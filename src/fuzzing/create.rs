//! The body of a create: whatever session it makes conserves time and can be shown and stored.
//!
//! What follows the first line end are commands and spans, a byte each, that the session goes through.

use serde_json::Value;

use crate::domain::id::{ParticipantId, SessionId};
use crate::domain::session::Session;
use crate::domain::session::bank::Bank;
use crate::domain::session::command::{Command, Next, Switch, Target};
use crate::domain::session::control::SyncMode;
use crate::domain::session::event::{Change, Step};
use crate::domain::time::Timestamp;
use crate::wire::api_error::ApiError;
use crate::wire::command;
use crate::wire::create::{CreateBody, name_participants};
use crate::wire::frame;
use crate::wire::json;

/// Commands that one session goes through.
const MAX_COMMANDS: usize = 48;

/// What may pass before a command.
const SPANS_MS: &[i64] = &[0, 1, 99, 1_000, 10_000, 60_000, 3_600_000, 86_400_000];

/// When the session is made.
const BEGINNING: Timestamp = Timestamp::from_ms(1_767_225_600_000);

/// A JSON body, a line end, commands.
pub fn check(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let Some(mut session) = created(&input[..end]) else { return };
    let mut now = BEGINNING;
    holds(&session, now);
    for byte in input[end..].iter().skip(1).take(MAX_COMMANDS) {
        now = now + SPANS_MS[usize::from(byte >> 4) % SPANS_MS.len()];
        if let Some(change) = gone_on(&session, &command(byte & 0xf), now) {
            session = change.session;
            holds(&session, now);
        }
    }
}

/// As the route makes it.
fn created(body: &[u8]) -> Option<Session> {
    let mut body = json::object(body).map_err(|error| refused(&ApiError::from(error))).ok()?;
    let id = || ParticipantId::new("made").expect("it is an id");
    name_participants(&mut body, id);
    let body: CreateBody = command::parsed(body).map_err(|error| refused(&ApiError::from(error))).ok()?;
    let id = body.session_id.clone().or_else(|| SessionId::new("made").ok())?;
    Session::create(body.into_new(id)?, BEGINNING).ok().map(|change| change.session)
}

fn refused(error: &ApiError) {
    let problem: Value = serde_json::from_slice(&error.0.json()).expect("a problem document is JSON");
    assert!(problem["code"].is_string(), "a refusal without a code: {problem}");
}

fn command(choice: u8) -> Command {
    let target = Target::Session;
    match choice {
        0 | 1 => Command::Start { at: None, participant: None },
        2 => Command::Pause { reason: None, target, by_participant: false },
        3 => Command::Resume { reason: None, target, by_participant: false },
        4 => Command::Extend,
        5 => Command::Reset,
        6 => Command::Complete { target },
        _ => Command::Switch(Switch { current: None, next: Next::InTurn, acted_at: None, connection_lag_ms: 0 }),
    }
}

/// What is due comes first, a version of its own.
fn gone_on(session: &Session, command: &Command, now: Timestamp) -> Option<Change> {
    match session.next(command, now) {
        Step::Refused(_) => None,
        Step::Due(change, _) | Step::Done(change) => {
            assert_eq!(change.session.position.version, session.position.version + 1, "a change is one version");
            Some(*change)
        }
    }
}

/// What holds of every session.
fn holds(session: &Session, now: Timestamp) {
    let seats = session.participants.iter().map(|participant| &participant.bank);
    let groups = session.groups.iter().map(|group| &group.bank);
    seats.chain(groups).chain([&session.clock]).for_each(|bank| conserves(bank, session.sync_mode));
    let stored = session.stored();
    assert_eq!(&Session::from_stored(&stored).expect("what was stored is read"), session, "stored as it is");
    for later in SPANS_MS {
        let shown = frame::snapshot(session, now + *later);
        let shown: Value = serde_json::from_slice(&shown).expect("a snapshot is JSON");
        assert_eq!(shown["version"], session.position.version, "shown as it is");
    }
}

/// Granted is used and left, and nothing is below zero.
fn conserves(bank: &Bank, mode: SyncMode) {
    let left = bank.left_ms.unwrap_or(0);
    let amounts = [left, bank.delay_left_ms, bank.overrun_ms, bank.used_ms];
    assert!(amounts.iter().all(|ms| *ms >= 0), "below zero: {bank:?}");
    if bank.left_ms.is_some() || mode != SyncMode::CountUp {
        assert_eq!(bank.granted_ms, bank.used_ms + left, "not conserved: {bank:?}");
    }
}
