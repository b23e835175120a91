//! What refusals say, of random sessions and random commands.

use super::each_state;
use crate::domain::session::command::{Adjustment, Command, Refused, Switch, Target};
use crate::domain::session::event::Step;
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;

const SESSIONS: u64 = 600;

fn refused(session: &Session, command: &Command, now: Timestamp) -> Option<Refused> {
    match session.next(command, now) {
        Step::Refused(why) => Some(why),
        _ => None,
    }
}

#[test]
fn every_refusal_is_explained() {
    let mut seen = std::collections::HashSet::new();
    each_state(SESSIONS, |session, command, now| {
        let Some(why) = refused(session, command, now) else { return };
        seen.insert(why);
        let explained = session.explain(command, why);
        assert!(explained.detail.len() > 16, "{why:?} of {command:?}: {explained:?}");
        assert_ne!(explained.detail, why.to_string());
        let has_state = session.status.is_ended() || !matches!(why, Refused::NotRunning | Refused::AlreadyStarted);
        assert!(has_state || explained.detail.contains(session.status.as_str()), "{explained:?}");
    });
    assert!(seen.len() >= 11, "{seen:?}");
}

/// Each command that needs no more than its name, with what it does need.
fn plain(session: &Session) -> Vec<Command> {
    let some = session.participants.first().map(|each| Target::Participant(each.participant_id.clone()));
    let group = session.groups.first().map(|each| Target::Group(each.group_id.clone()));
    let own = group.or(some).filter(|_| session.has_own_banks());
    let target = own.unwrap_or_default();
    vec![
        Command::Start { at: None, participant: None },
        Command::Switch(Switch::default()),
        Command::Pause { reason: None, target: Target::Session, by_participant: false },
        Command::Resume { reason: None, target: Target::Session, by_participant: false },
        Command::Complete { target: Target::Session },
        Command::Cancel,
        Command::Reset,
        Command::Extend,
        Command::Adjust { target, change: Adjustment::Set(1_000) },
        Command::Revert { then: Box::new(session.clone()) },
    ]
}

#[test]
fn the_possible_commands_are_those_the_state_allows() {
    each_state(SESSIONS, |session, _, now| {
        if session.is_due(now) || session.status == Status::Deleted {
            return;
        }
        for command in plain(session) {
            let of_state = match refused(session, &command, now) {
                // It waits for a switch under way, or a bank is empty: its state would allow it.
                Some(Refused::DeadlinePending) => continue,
                why => matches!(
                    why,
                    Some(
                        Refused::NotRunning
                            | Refused::NotPaused
                            | Refused::AlreadyStarted
                            | Refused::SessionEnded
                            | Refused::WrongMode
                    )
                ),
            };
            let is_possible = session.possible().contains(&command.name());
            assert_eq!(is_possible, !of_state, "{} of {session:?}", command.name());
        }
    });
}
