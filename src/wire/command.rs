//! The bodies of commands, the same over REST, in a batch and on a socket.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::create::{ParticipantBody, ParticipantChangeBody};
use super::instant::Instant;
use super::typed;
use crate::domain::id::{GroupId, InvalidId, ParticipantId};
use crate::domain::session::command::{Adjustment, Command, Next, Switch, Target};
use crate::domain::time::{MAX_SPAN_MS, Timestamp};

/// A command as it came in: a revert still needs its version from the ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandInput {
    /// Ready for the rules.
    Command(Command),
    /// Clocks and turn as they stood in that version.
    Revert {
        /// That version.
        to_version: u64,
    },
}

impl CommandInput {
    /// The name of the command.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Command(command) => command.name(),
            Self::Revert { .. } => "revert",
        }
    }
}

/// Every command there is, by its name in a batch and on a socket.
pub const COMMANDS: &[&str] = &[
    "start",
    "switch",
    "pause",
    "resume",
    "complete",
    "cancel",
    "reset",
    "adjust",
    "extend",
    "revert",
    "add_participant",
    "change_participant",
    "remove_participant",
    "clone",
    "delete",
];

/// Why a body is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is no command of that name.
    #[error("there is no such command")]
    UnknownCommand,
    /// A part of the body is not as it should be.
    #[error("{pointer} {detail}")]
    Invalid {
        /// JSON pointer to the part.
        pointer: String,
        /// What is wrong with it.
        detail: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartBody {
    at: Option<Instant>,
    participant_id: Option<ParticipantId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchBody {
    current_participant_id: Option<ParticipantId>,
    next_participant_id: Option<ParticipantId>,
    next_group_id: Option<GroupId>,
    client_time_ms: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    reason: Option<String>,
    participant_id: Option<ParticipantId>,
    group_id: Option<GroupId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetBody {
    participant_id: Option<ParticipantId>,
    group_id: Option<GroupId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdjustBody {
    participant_id: Option<ParticipantId>,
    group_id: Option<GroupId>,
    add_ms: Option<i64>,
    set_ms: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevertBody {
    to_version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveBody {
    participant_id: ParticipantId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmptyBody {}

/// Reads the command called `name` from the rest of its body, and the version it must find.
pub fn read(name: &str, mut body: Map<String, Value>) -> Result<(CommandInput, Option<u64>), ParseError> {
    let expected_version = expected_version(&mut body)?;
    let input = match name {
        "revert" => CommandInput::Revert { to_version: fields::<RevertBody>(body)?.to_version },
        _ => CommandInput::Command(command(name, body)?),
    };
    Ok((input, expected_version))
}

fn command(name: &str, body: Map<String, Value>) -> Result<Command, ParseError> {
    Ok(match name {
        "start" => start(fields(body)?),
        "switch" => Command::Switch(switch(fields(body)?)?),
        "pause" => {
            let (reason, target) = paused(fields(body)?)?;
            Command::Pause { reason, target, by_participant: false }
        }
        "resume" => {
            let (reason, target) = paused(fields(body)?)?;
            Command::Resume { reason, target, by_participant: false }
        }
        "complete" => {
            let body: TargetBody = fields(body)?;
            Command::Complete { target: target(body.participant_id, body.group_id)? }
        }
        "cancel" => plain(body, Command::Cancel)?,
        "delete" => plain(body, Command::Delete)?,
        "reset" => plain(body, Command::Reset)?,
        "extend" => plain(body, Command::Extend)?,
        "adjust" => adjust(fields(body)?)?,
        "add_participant" => Command::AddParticipant(Box::new(fields::<ParticipantBody>(body)?.into())),
        "change_participant" => change(body)?,
        "remove_participant" => Command::RemoveParticipant { id: fields::<RemoveBody>(body)?.participant_id },
        _ => return Err(ParseError::UnknownCommand),
    })
}

/// Takes the version out of a body that the command must find.
pub fn expected_version(body: &mut Map<String, Value>) -> Result<Option<u64>, ParseError> {
    match body.remove("expected_version") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .map(Some)
            .ok_or_else(|| invalid("/expected_version", "must be a whole number, a version of the session")),
    }
}

/// Reads a body, telling which part is wrong by its JSON pointer, and what is allowed there.
pub fn parsed<T: DeserializeOwned>(body: Map<String, Value>) -> Result<T, ParseError> {
    Ok(typed::read(body, &[])?)
}

/// The same of a command, whose common field was taken out before.
fn fields<T: DeserializeOwned>(body: Map<String, Value>) -> Result<T, ParseError> {
    Ok(typed::read(body, &["expected_version"])?)
}

impl From<typed::Refusal> for ParseError {
    fn from(refusal: typed::Refusal) -> Self {
        Self::Invalid { pointer: refusal.pointer, detail: refusal.detail }
    }
}

fn invalid(pointer: &str, detail: &str) -> ParseError {
    ParseError::Invalid { pointer: pointer.to_owned(), detail: detail.to_owned() }
}

fn plain(body: Map<String, Value>, command: Command) -> Result<Command, ParseError> {
    fields::<EmptyBody>(body).map(|_| command)
}

fn start(body: StartBody) -> Command {
    Command::Start { at: body.at.map(|at| at.0), participant: body.participant_id }
}

fn switch(body: SwitchBody) -> Result<Switch, ParseError> {
    let next = match (body.next_participant_id, body.next_group_id) {
        (None, None) => Next::InTurn,
        (Some(id), None) => Next::Participant(id),
        (None, Some(id)) => Next::Group(id),
        (Some(_), Some(_)) => {
            return Err(invalid("/next_group_id", "does not go with next_participant_id; send one of the two"));
        }
    };
    Ok(Switch {
        current: body.current_participant_id,
        next,
        acted_at: body.client_time_ms.map(floored),
        connection_lag_ms: 0,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "a float beyond i64 saturates, and a claim is bounded anyway")]
fn floored(ms: f64) -> Timestamp {
    Timestamp::from_ms(ms.floor() as i64)
}

fn paused(body: PauseBody) -> Result<(Option<String>, Target), ParseError> {
    const MAX_REASON_BYTES: usize = 64;
    if let Some(reason) = &body.reason
        && (reason.is_empty() || reason.len() > MAX_REASON_BYTES || reason.chars().any(char::is_control))
    {
        return Err(invalid("/reason", "must be a text of 1 to 64 bytes without control characters"));
    }
    Ok((body.reason, target(body.participant_id, body.group_id)?))
}

fn target(participant: Option<ParticipantId>, group: Option<GroupId>) -> Result<Target, ParseError> {
    match (participant, group) {
        (None, None) => Ok(Target::Session),
        (Some(id), None) => Ok(Target::Participant(id)),
        (None, Some(id)) => Ok(Target::Group(id)),
        (Some(_), Some(_)) => Err(invalid("/group_id", "does not go with participant_id; send one of the two")),
    }
}

fn adjust(body: AdjustBody) -> Result<Command, ParseError> {
    let change = match (body.add_ms, body.set_ms) {
        (Some(ms), None) if ms.unsigned_abs() > MAX_SPAN_MS.unsigned_abs() => {
            return Err(invalid("/add_ms", &format!("must be from {} to {MAX_SPAN_MS}", -MAX_SPAN_MS)));
        }
        (Some(ms), None) => Adjustment::Add(ms),
        (None, Some(ms)) if ms >= 0 => Adjustment::Set(ms),
        (None, Some(_)) => return Err(invalid("/set_ms", &format!("must be from 0 to {MAX_SPAN_MS}"))),
        _ => {
            return Err(invalid(
                "/add_ms",
                "or set_ms is needed, and not both: milliseconds to give or take, or to set",
            ));
        }
    };
    Ok(Command::Adjust { target: target(body.participant_id, body.group_id)?, change })
}

fn change(mut body: Map<String, Value>) -> Result<Command, ParseError> {
    let id = body.remove("participant_id").unwrap_or_default();
    let id = id.as_str().and_then(|id| ParticipantId::new(id).ok());
    let id = id.ok_or_else(|| invalid("/participant_id", &InvalidId.to_string()))?;
    Ok(Command::ChangeParticipant { id, change: Box::new(fields::<ParticipantChangeBody>(body)?.into()) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_command_has_a_right() {
        let rights: Vec<_> = crate::domain::access::COMMANDS.iter().map(|right| right.name).collect();
        assert_eq!(rights, COMMANDS);
    }

    #[test]
    fn a_parsed_command_has_the_name_it_was_read_by() {
        for (name, body) in [
            ("start", json!({})),
            ("switch", json!({})),
            ("pause", json!({})),
            ("resume", json!({})),
            ("complete", json!({})),
            ("cancel", json!({})),
            ("reset", json!({})),
            ("adjust", json!({"add_ms": 1})),
            ("extend", json!({})),
            ("add_participant", json!({"participant_id": "p"})),
            ("change_participant", json!({"participant_id": "p"})),
            ("remove_participant", json!({"participant_id": "p"})),
            ("delete", json!({})),
        ] {
            let Value::Object(body) = body else { panic!("an object") };
            let CommandInput::Command(command) = read(name, body).unwrap().0 else { panic!("{name}") };
            assert_eq!(command.name(), name);
        }
    }
}
