//! Explains a refusal: the state of the session, what the command needs, what is possible.
//!
//! Only a refusal pays for it: the rules themselves answer with a small code.

use super::command::{Adjustment, Command, Next, Refused, Target};
use super::control::MAX_PARTICIPANTS;
use super::validate::{ValidationError, check_metadata, newcomer_error};
use super::{Session, Status};
use crate::domain::id::{GroupId, ParticipantId};
use crate::domain::time::MAX_SPAN_MS;

/// The most names that are listed.
const MAX_LISTED: usize = 16;

/// Why a command was refused, for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// JSON pointer to the part of the command that is wrong; empty where none is.
    pub pointer: String,
    /// What is the matter, and what would do.
    pub detail: String,
}

impl From<String> for Explanation {
    fn from(detail: String) -> Self {
        Self { pointer: String::new(), detail }
    }
}

impl From<ValidationError> for Explanation {
    fn from(error: ValidationError) -> Self {
        Self { pointer: error.pointer, detail: error.detail.to_owned() }
    }
}

impl Session {
    /// Why the rules refuse `command`.
    pub fn explain(&self, command: &Command, why: Refused) -> Explanation {
        let status = self.status.as_str();
        match why {
            Refused::NotRunning => self.with_possible(format!(
                "the session is {status}; {} needs it {}",
                command.name(),
                if matches!(command, Command::Switch(_) | Command::Extend) { "running" } else { "running or paused" }
            )),
            Refused::NotPaused => self.with_possible(self.not_paused(command)),
            Refused::AlreadyStarted => self.with_possible(self.already_started(command)),
            Refused::SessionEnded => {
                format!("the session is {status} and takes no command any more; clone makes a new one of it").into()
            }
            Refused::NotActive => self.with_possible(self.not_active(command)),
            Refused::WrongMode => self.with_possible(self.wrong_mode(command)),
            Refused::DeadlinePending => format!(
                "the clock is at zero and waits up to {} ms for a switch under way; possible now: switch, complete, cancel",
                self.grace_ms()
            )
            .into(),
            Refused::ParticipantExpired => self.with_possible(no_time_left(command).to_owned()),
            Refused::UnknownParticipant => self.unknown_participant(command),
            Refused::UnknownGroup => self.unknown_group(command),
            Refused::InvalidParticipants => self.invalid_participants(command),
            Refused::OutOfBounds | Refused::InvalidTimeControl => self.misfit(command),
        }
    }

    /// The commands that the session's state and mode allow now, by name.
    pub fn possible(&self) -> Vec<&'static str> {
        let by_status: &[_] = match self.status {
            Status::Pending => &["start"],
            Status::Running if self.is_simultaneous() => &["pause", "complete"],
            Status::Running => &["switch", "pause", "complete"],
            Status::Paused => &["resume", "pause", "complete"],
            Status::Expired | Status::Completed | Status::Cancelled | Status::Deleted => return Vec::new(),
        };
        let extend = self.status == Status::Running && self.rules.soft_close.is_some();
        let always = ["adjust", "revert", "reset", "cancel"];
        by_status.iter().copied().chain(extend.then_some("extend")).chain(always).collect()
    }

    fn with_possible(&self, said: String) -> Explanation {
        match self.possible().as_slice() {
            [] => said.into(),
            possible => format!("{said}; possible now: {}", possible.join(", ")).into(),
        }
    }

    fn not_paused(&self, command: &Command) -> String {
        let Command::Resume { reason, target, .. } = command else { return "the session is not paused".to_owned() };
        let reasons = match target {
            Target::Session => Some(&self.reasons),
            target => self.targeted(target).ok().map(|owner| &self.bank(owner).reasons),
        };
        let standing: Vec<_> = reasons.into_iter().flatten().take(MAX_LISTED).map(String::as_str).collect();
        match (reason, target) {
            (Some(reason), _) if !standing.is_empty() => {
                format!(
                    "it is not paused for {reason} but for {}; resume takes one of these, or no reason",
                    standing.join(", ")
                )
            }
            (_, Target::Session) => format!("the session is {}; resume needs it paused", self.status.as_str()),
            (_, Target::Participant(id)) => format!("the clock of {id} is not paused"),
            (_, Target::Group(id)) => format!("the clock of {id} is not paused"),
        }
    }

    fn already_started(&self, command: &Command) -> String {
        let what = match command {
            Command::ChangeParticipant { .. } => "total_time_ms, group_id and time_control change only",
            _ => "start is possible only",
        };
        format!("the session is {}; {what} while it is pending, which reset makes it", self.status.as_str())
    }

    fn not_active(&self, command: &Command) -> String {
        let named = match command {
            Command::Switch(switch) => switch.current.as_ref(),
            _ => None,
        };
        match (self.active_participant(), named) {
            (Some(active), Some(named)) => {
                format!("{} is active, and {named} is not; only the active one's cycle ends", active.participant_id)
            }
            (Some(active), None) => format!("{} is active by now", active.participant_id),
            (None, _) => "nobody is active; leave current_participant_id out".to_owned(),
        }
    }

    fn wrong_mode(&self, command: &Command) -> String {
        let mode = self.sync_mode.as_str();
        match command {
            Command::Switch(_) if self.is_simultaneous() => {
                "concurrency is simultaneous, so there is no turn to hand on; pause, resume and complete take the \
                 participant_id or group_id of one clock"
                    .to_owned()
            }
            Command::Switch(_) => format!("next_group_id goes only with sync_mode per_group; here it is {mode}"),
            Command::Start { .. } => {
                "participant_id goes only with concurrency exclusive; here all clocks start at once".to_owned()
            }
            Command::Extend => "extend needs a session that was created with soft_close".to_owned(),
            Command::AddParticipant(_) => "an hourglass has its two participants and takes no third".to_owned(),
            Command::Pause { target, .. }
            | Command::Resume { target, .. }
            | Command::Complete { target }
            | Command::Adjust { target, .. } => self.wrong_target(target),
            _ => format!("{} does not go with sync_mode {mode}", command.name()),
        }
    }

    fn wrong_target(&self, target: &Target) -> String {
        let mode = self.sync_mode.as_str();
        match target {
            target if self.targeted(target).is_ok() => {
                "participant_id and group_id go only with concurrency simultaneous \
                 here; leave them out to command the session as a whole"
                    .to_owned()
            }
            Target::Group(_) => format!("group_id goes only with sync_mode per_group; here it is {mode}"),
            _ => format!("participant_id goes only with sync_mode per_participant or per_cycle; here it is {mode}"),
        }
    }

    fn unknown_participant(&self, command: &Command) -> Explanation {
        match named(command).into_iter().find(|(_, id)| self.seat(id).is_none()) {
            Some((field, id)) => {
                let there = self.participants.iter().map(|each| each.participant_id.as_str());
                Explanation { pointer: format!("/{field}"), detail: unknown("participant", id.as_str(), there) }
            }
            None if matches!(command, Command::Switch(_)) => {
                "the group has no participant who could be next".to_owned().into()
            }
            None => Explanation {
                pointer: "/participant_id".to_owned(),
                detail: "or group_id is needed: each has a clock of its own, and no single one is active".to_owned(),
            },
        }
    }

    /// That there is no such participant, and who there is.
    pub fn unknown_to(&self, id: &ParticipantId) -> String {
        unknown("participant", id.as_str(), self.participants.iter().map(|each| each.participant_id.as_str()))
    }

    fn unknown_group(&self, command: &Command) -> Explanation {
        let there = self.groups.iter().map(|each| each.group_id.as_str());
        match named_group(command) {
            Some((field, id)) => {
                Explanation { pointer: format!("/{field}"), detail: unknown("group", id.as_str(), there) }
            }
            None => unknown("group", "that", there).into(),
        }
    }

    fn invalid_participants(&self, command: &Command) -> Explanation {
        let detail = match command {
            Command::AddParticipant(new) if self.seat(&new.participant_id).is_some() => {
                "is that of a participant who is there; choose another"
            }
            Command::AddParticipant(_) => {
                return format!("a session has at most {MAX_PARTICIPANTS} participants").into();
            }
            _ if self.rules.time_control.hourglass => "cannot leave: an hourglass needs both participants",
            _ => "cannot leave: this sync_mode needs one participant or more",
        };
        Explanation { pointer: "/participant_id".to_owned(), detail: detail.to_owned() }
    }

    fn misfit(&self, command: &Command) -> Explanation {
        let error = match command {
            Command::AddParticipant(new) => newcomer_error(self, new),
            Command::ChangeParticipant { id, change } => {
                let metadata = change.metadata.iter().find_map(|words| check_metadata("/metadata", words).err());
                let renewed = self.seat(id).map(|seat| self.renewed(seat, change));
                metadata.or_else(|| renewed.and_then(|renewed| newcomer_error(self, &renewed)))
            }
            _ => None,
        };
        error.map_or_else(|| out_of_bounds(command), Into::into)
    }
}

fn out_of_bounds(command: &Command) -> Explanation {
    let field = match command {
        Command::Adjust { change: Adjustment::Set(_), .. } => "/set_ms",
        Command::Adjust { .. } => "/add_ms",
        _ => "",
    };
    Explanation { pointer: field.to_owned(), detail: format!("must leave the clock at 0 to {MAX_SPAN_MS} ms") }
}

const fn no_time_left(command: &Command) -> &'static str {
    match command {
        Command::Start { .. } => "nobody who could begin has time left; adjust gives some",
        Command::Switch(_) => "whoever would be next has no time left; name another, or adjust gives some",
        Command::Extend => "the clock has no deadline that could be moved",
        Command::Resume { .. } => "the clock that would go on has no time left; adjust gives some",
        _ => "that clock has ended; adjust gives it time again",
    }
}

/// The participants a command names, with the fields that name them.
fn named(command: &Command) -> Vec<(&'static str, &ParticipantId)> {
    let of = |field, id: Option<_>| id.map(|id| (field, id));
    let named = match command {
        Command::Start { participant, .. } => [of("participant_id", participant.as_ref()), None],
        Command::Switch(switch) => {
            let next = if let Next::Participant(id) = &switch.next { Some(id) } else { None };
            [of("current_participant_id", switch.current.as_ref()), of("next_participant_id", next)]
        }
        Command::ChangeParticipant { id, .. } | Command::RemoveParticipant { id } => {
            [of("participant_id", Some(id)), None]
        }
        command => [of("participant_id", target(command).and_then(Target::participant)), None],
    };
    named.into_iter().flatten().collect()
}

fn named_group(command: &Command) -> Option<(&'static str, &GroupId)> {
    match command {
        Command::Switch(switch) => match &switch.next {
            Next::Group(id) => Some(("next_group_id", id)),
            _ => None,
        },
        Command::AddParticipant(new) => new.group_id.as_ref().map(|id| ("group_id", id)),
        Command::ChangeParticipant { change, .. } => change.group_id.as_ref().map(|id| ("group_id", id)),
        command => match target(command)? {
            Target::Group(id) => Some(("group_id", id)),
            _ => None,
        },
    }
}

const fn target(command: &Command) -> Option<&Target> {
    match command {
        Command::Pause { target, .. }
        | Command::Resume { target, .. }
        | Command::Complete { target }
        | Command::Adjust { target, .. } => Some(target),
        _ => None,
    }
}

impl Target {
    const fn participant(&self) -> Option<&ParticipantId> {
        match self {
            Self::Participant(id) => Some(id),
            Self::Session | Self::Group(_) => None,
        }
    }
}

/// That `id` is nobody, and who there is.
fn unknown<'a>(what: &str, id: &str, there: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = there.len();
    let listed: Vec<_> = there.take(MAX_LISTED).collect();
    match count {
        0 => format!("{id} is no {what} of this session, which has none"),
        _ if count > listed.len() => {
            format!("{id} is no {what} of this session; there are {count}: {}, ...", listed.join(", "))
        }
        _ => format!("{id} is no {what} of this session; there are {}", listed.join(", ")),
    }
}
