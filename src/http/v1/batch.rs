//! `POST /v1/sessions/batch`: many commands, each answered alone.
//!
//! A result says what its command came to and shows no session. Who wants to see the sessions
//! asks for `snapshots`: each session is shown once, however many commands it was sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::sessions::NamedCommand;
use crate::app::CommandResult;
use crate::domain::id::SessionId;
use crate::http::api::Api;
use crate::http::extract::{Body, Caller, Preconditions, checked_key};
use crate::http::layers::RequestId;
use crate::http::response;
use crate::http::response::CommandBody;
use crate::limits::Class;
use crate::wire::api_error::ApiError;
use crate::wire::command::ParseError;
use crate::wire::error_code::Code;
use crate::wire::frame;
use crate::wire::problem::Problem;

/// A batch holds so many commands.
const MAX_COMMANDS: usize = 500;

/// So many of them are under way at once.
const MAX_CONCURRENT_COMMANDS: usize = 16;

/// Snapshots take no more of an answer than this, in bytes.
const MAX_SNAPSHOT_BYTES: usize = 1024 * 1024;

#[derive(Serialize)]
struct Results<'a> {
    results: Vec<BatchResult<'a>>,
    #[serde(flatten)]
    shown: Option<Snapshots>,
}

#[derive(Serialize)]
struct BatchResult<'a> {
    session_id: &'a Value,
    status: u16,
    #[serde(flatten)]
    done: Option<CommandBody<'a>>,
    /// The session that a clone made.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_session_id: Option<&'a SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a Problem>,
}

/// The sessions of a batch as they stand after it.
#[derive(Serialize)]
struct Snapshots {
    snapshots: Vec<Box<RawValue>>,
    /// These did not fit: they are there to be read one by one.
    snapshots_left_out: Vec<SessionId>,
}

/// What a batch asks for.
struct Batch {
    commands: Vec<Value>,
    wants_snapshots: bool,
    key: Option<String>,
}

/// What a command of a batch came to, and for which session it was meant.
type CommandOutcome = (Value, Result<CommandResult, ApiError>);

/// `POST /sessions/batch`.
pub(super) async fn batch(
    State(api): State<Arc<Api>>,
    Extension(id): Extension<RequestId>,
    caller: Caller,
    headers: HeaderMap,
    conditions: Preconditions,
    Body(body): Body,
) -> Result<Response, ApiError> {
    if headers.contains_key(header::IF_MATCH) {
        let detail = "If-Match does not go with a batch; give each command its own expected_version";
        return Err(ApiError::with_detail(Code::Invalid, detail));
    }
    let batch = Batch::read(body, conditions.key)?;
    api.count_batch(&caller, &batch).await?;
    let mut outcomes = api.outcomes(&caller, &batch).await;
    for ApiError(problem) in outcomes.iter_mut().filter_map(|(_, outcome)| outcome.as_mut().err()) {
        id.as_str().clone_into(&mut problem.request_id);
    }
    let shown = if batch.wants_snapshots { Some(api.snapshots(&caller, &outcomes).await) } else { None };
    Ok(response::json(StatusCode::OK, &Results { results: outcomes.iter().map(BatchResult::of).collect(), shown }))
}

impl Batch {
    fn read(mut body: Map<String, Value>, key: Option<String>) -> Result<Self, ApiError> {
        let (commands, snapshots) = (body.remove("commands"), body.remove("snapshots"));
        if let Some(field) = body.keys().next() {
            return Err(ApiError::invalid(
                format!("/{field}"),
                "is not a field here; allowed are commands and snapshots",
            ));
        }
        let Some(Value::Array(commands)) = commands else {
            return Err(ApiError::invalid(
                "/commands",
                "must be a list of at most 500 objects, each with session_id and command",
            ));
        };
        if commands.len() > MAX_COMMANDS {
            return Err(ApiError::invalid("/commands", "must be at most 500 commands"));
        }
        match snapshots {
            None | Some(Value::Null) => Ok(Self { commands, wants_snapshots: false, key }),
            Some(Value::Bool(wants_snapshots)) => Ok(Self { commands, wants_snapshots, key }),
            Some(_) => Err(ApiError::invalid("/snapshots", "must be true or false")),
        }
    }

    /// The key of a batch stands for the key of each of its commands, with its place.
    fn key_at(&self, place: usize) -> Option<String> {
        self.key.as_ref().map(|key| format!("{key}#{place}"))
    }
}

impl Api {
    /// Each command of a batch counts as a command.
    async fn count_batch(&self, caller: &Caller, batch: &Batch) -> Result<(), ApiError> {
        let Some(count) = u32::try_from(batch.commands.len()).ok().filter(|count| *count > 0) else { return Ok(()) };
        self.limits.check(Class::Command, count, || caller.counted())?;
        self.take_commands(caller, count).await
    }

    async fn outcomes(&self, caller: &Caller, batch: &Batch) -> Vec<CommandOutcome> {
        let commands = batch.commands.iter().cloned().zip(0..);
        let asked = commands.map(|(command, place)| self.one(caller, command, batch.key_at(place)));
        futures::stream::iter(asked).buffered(MAX_CONCURRENT_COMMANDS).collect().await
    }

    async fn one(&self, caller: &Caller, command: Value, key: Option<String>) -> CommandOutcome {
        let Value::Object(mut body) = command else {
            return (Value::Null, Err(ApiError::invalid("", "must be a JSON object with session_id and command")));
        };
        let session_id = body.remove("session_id").unwrap_or(Value::Null);
        let answer = self.command_in(caller, &session_id, body, key).await;
        (session_id, answer)
    }

    async fn command_in(
        &self,
        caller: &Caller,
        session_id: &Value,
        mut body: Map<String, Value>,
        key: Option<String>,
    ) -> Result<CommandResult, ApiError> {
        let id = session_id.as_str().and_then(|id| SessionId::new(id).ok());
        let id = id.ok_or_else(|| ApiError::of(Code::SessionNotFound))?;
        let (name, mut conditions) = named(&mut body)?;
        conditions.key = conditions.key.or(key);
        let answer = self.counted(caller, &id, NamedCommand { name: &name, body, conditions, lag_ms: 0 }).await;
        answer.map_err(ApiError::without_session)
    }

    /// Every session that something was done to, once, as it stands now.
    async fn snapshots(&self, caller: &Caller, outcomes: &[CommandOutcome]) -> Snapshots {
        let done = outcomes.iter().filter_map(|(_, answer)| answer.as_ref().ok());
        let ids: BTreeSet<_> = done.map(|answer| answer.stored.session.session_id.clone()).collect();
        let (mut snapshots, mut snapshots_left_out, mut room) = (Vec::new(), Vec::new(), MAX_SNAPSHOT_BYTES);
        for id in ids {
            // A session that was deleted is not shown.
            let Ok(held) = self.sessions.read(&caller.principal, &id).await else { continue };
            match frame::raw_snapshot(&held.session, self.clock.now()) {
                Some(snapshot) if snapshot.get().len() <= room => {
                    room -= snapshot.get().len();
                    snapshots.push(snapshot);
                }
                _ => snapshots_left_out.push(id),
            }
        }
        Snapshots { snapshots, snapshots_left_out }
    }
}

/// Takes a command's name and idempotency key out of its body, as a batch and a
/// socket carry them.
pub(super) fn named(body: &mut Map<String, Value>) -> Result<(String, Preconditions), ApiError> {
    let key = match body.remove("idempotency_key") {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => Some(checked_key(&key)?),
        Some(_) => return Err(ApiError::invalid("/idempotency_key", "must be a text of 1 to 256 bytes")),
    };
    match body.remove("command") {
        Some(Value::String(name)) => Ok((name, Preconditions { expected: None, key })),
        _ => Err(ParseError::UnknownCommand.into()),
    }
}

impl<'a> BatchResult<'a> {
    fn of((session_id, answer): &'a CommandOutcome) -> Self {
        let nothing = Self { session_id, status: 200, done: None, new_session_id: None, problem: None };
        match answer {
            Ok(answer) => {
                let made = &answer.stored.session.session_id;
                let is_clone = session_id != made.as_str();
                Self { done: Some(CommandBody::of(answer)), new_session_id: is_clone.then_some(made), ..nothing }
            }
            Err(ApiError(problem)) => Self { status: problem.of.status(), problem: Some(problem), ..nothing },
        }
    }
}
