//! The bodies of commands, the same over REST, in a batch and on a socket.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::create::{ParticipantBody, ParticipantChangeBody};
use super::instant::Instant;
use crate::domain::id::{GroupId, ParticipantId};
use crate::domain::session::command::{Adjustment, Command, Next, Switch, Target};
use crate::domain::time::{MAX_SPAN_MS, Timestamp};

/// A wish as it came in: most are commands already, a revert needs the past.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// Ready to be asked of the rules.
    Command(Command),
    /// Clocks and turn as they stood in that version.
    Revert {
        /// That version.
        to_version: u64,
    },
}

/// A command that was named, with what else its body said.
#[derive(Debug, Clone, PartialEq)]
pub struct Commanded {
    /// What is wished for.
    pub wish: Wish,
    /// Applied only on this version.
    pub expected_version: Option<u64>,
}

/// Why a body is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
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
    #[serde(default)]
    at: Option<Instant>,
    #[serde(default)]
    participant_id: Option<ParticipantId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchBody {
    #[serde(default)]
    current_participant_id: Option<ParticipantId>,
    #[serde(default)]
    next_participant_id: Option<ParticipantId>,
    #[serde(default)]
    next_group_id: Option<GroupId>,
    #[serde(default)]
    client_time_ms: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    participant_id: Option<ParticipantId>,
    #[serde(default)]
    group_id: Option<GroupId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetBody {
    #[serde(default)]
    participant_id: Option<ParticipantId>,
    #[serde(default)]
    group_id: Option<GroupId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdjustBody {
    #[serde(default)]
    participant_id: Option<ParticipantId>,
    #[serde(default)]
    group_id: Option<GroupId>,
    #[serde(default)]
    add_ms: Option<i64>,
    #[serde(default)]
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

/// Reads the command called `name` from the rest of its body.
pub fn read(name: &str, mut body: Map<String, Value>) -> Result<Commanded, Unreadable> {
    let expected_version = expected(&mut body)?;
    let wish = match name {
        "revert" => Wish::Revert { to_version: parsed::<RevertBody>(body)?.to_version },
        _ => Wish::Command(command(name, body)?),
    };
    Ok(Commanded { wish, expected_version })
}

fn command(name: &str, body: Map<String, Value>) -> Result<Command, Unreadable> {
    Ok(match name {
        "start" => start(parsed(body)?),
        "switch" => Command::Switch(switch(parsed(body)?)?),
        "pause" => {
            let (reason, target) = paused(parsed(body)?)?;
            Command::Pause { reason, target }
        }
        "resume" => {
            let (reason, target) = paused(parsed(body)?)?;
            Command::Resume { reason, target }
        }
        "complete" => {
            let body: TargetBody = parsed(body)?;
            Command::Complete { target: target(body.participant_id, body.group_id)? }
        }
        "cancel" => plain(body, Command::Cancel)?,
        "reset" => plain(body, Command::Reset)?,
        "extend" => plain(body, Command::Extend)?,
        "adjust" => adjust(parsed(body)?)?,
        "add_participant" => Command::AddParticipant(Box::new(parsed::<ParticipantBody>(body)?.into())),
        "change_participant" => change(body)?,
        "remove_participant" => Command::RemoveParticipant { id: parsed::<RemoveBody>(body)?.participant_id },
        _ => return Err(Unreadable::UnknownCommand),
    })
}

fn expected(body: &mut Map<String, Value>) -> Result<Option<u64>, Unreadable> {
    match body.remove("expected_version") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| invalid("/expected_version", "must be a version")),
    }
}

/// Reads a body, telling which part is wrong by its JSON pointer.
pub fn parsed<T: DeserializeOwned>(body: Map<String, Value>) -> Result<T, Unreadable> {
    serde_path_to_error::deserialize(Value::Object(body)).map_err(|error| {
        let pointer = pointer(error.path());
        invalid(&pointer, &said_plainly(&error.into_inner().to_string()))
    })
}

/// A serde path as a JSON pointer.
#[must_use]
pub fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } => {
            format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
        }
        Segment::Enum { variant } => format!("{pointer}/{variant}"),
        Segment::Unknown => pointer,
    })
}

/// What the reader found, in words that are ours and name no type of the code.
#[must_use]
pub fn said_plainly(message: &str) -> String {
    let between = |before: &str| message.strip_prefix(before)?.split('`').next().map(str::to_owned);
    if let Some(field) = between("unknown field `") {
        return format!("has no field {field}");
    }
    if let Some(field) = between("missing field `") {
        return format!("needs the field {field}");
    }
    if message.starts_with("unknown variant") {
        return "is none of the values that are known".to_owned();
    }
    if message.starts_with("invalid type") {
        return "is of the wrong type".to_owned();
    }
    if message.starts_with("invalid value") || message.starts_with("number out of range") {
        return "is out of range".to_owned();
    }
    if message.starts_with("must") {
        message.split(" at line").next().unwrap_or(message).to_owned()
    } else {
        "is not valid".to_owned()
    }
}

fn invalid(pointer: &str, detail: &str) -> Unreadable {
    Unreadable::Invalid { pointer: pointer.to_owned(), detail: detail.to_owned() }
}

fn plain(body: Map<String, Value>, command: Command) -> Result<Command, Unreadable> {
    parsed::<EmptyBody>(body).map(|_| command)
}

fn start(body: StartBody) -> Command {
    Command::Start { at: body.at.map(|at| at.0), participant: body.participant_id }
}

fn switch(body: SwitchBody) -> Result<Switch, Unreadable> {
    let next = match (body.next_participant_id, body.next_group_id) {
        (None, None) => Next::InTurn,
        (Some(id), None) => Next::Participant(id),
        (None, Some(id)) => Next::Group(id),
        (Some(_), Some(_)) => {
            return Err(invalid("/next_group_id", "does not go with next_participant_id"));
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

fn paused(body: PauseBody) -> Result<(Option<String>, Target), Unreadable> {
    const LONGEST: usize = 64;
    if let Some(reason) = &body.reason
        && (reason.is_empty() || reason.len() > LONGEST || reason.chars().any(char::is_control))
    {
        return Err(invalid("/reason", "must be 1 to 64 printable bytes"));
    }
    Ok((body.reason, target(body.participant_id, body.group_id)?))
}

fn target(participant: Option<ParticipantId>, group: Option<GroupId>) -> Result<Target, Unreadable> {
    match (participant, group) {
        (None, None) => Ok(Target::Session),
        (Some(id), None) => Ok(Target::Participant(id)),
        (None, Some(id)) => Ok(Target::Group(id)),
        (Some(_), Some(_)) => Err(invalid("/group_id", "does not go with participant_id")),
    }
}

fn adjust(body: AdjustBody) -> Result<Command, Unreadable> {
    let change = match (body.add_ms, body.set_ms) {
        (Some(ms), None) if ms.unsigned_abs() > MAX_SPAN_MS.unsigned_abs() => {
            return Err(invalid("/add_ms", "must not exceed a hundred years"));
        }
        (Some(ms), None) => Adjustment::Add(ms),
        (None, Some(ms)) if ms >= 0 => Adjustment::Set(ms),
        (None, Some(_)) => return Err(invalid("/set_ms", "must not be negative")),
        _ => return Err(invalid("/add_ms", "or set_ms is needed, not both")),
    };
    Ok(Command::Adjust { target: target(body.participant_id, body.group_id)?, change })
}

fn change(mut body: Map<String, Value>) -> Result<Command, Unreadable> {
    let id = body.remove("participant_id").unwrap_or_default();
    let id = id.as_str().and_then(|id| ParticipantId::new(id).ok());
    let id = id.ok_or_else(|| invalid("/participant_id", "must be an identifier"))?;
    Ok(Command::ChangeParticipant { id, change: Box::new(parsed::<ParticipantChangeBody>(body)?.into()) })
}
