//! `POST /v1/sessions/batch`: many commands, each answered alone.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Api;
use super::answer;
use super::error::ApiError;
use super::extract::{Body, Caller, Conditions, checked_key};
use super::sessions::Named;
use crate::app::Answer;
use crate::domain::id::SessionId;
use crate::wire::problem::{Code, Problem};

/// A batch holds so many commands.
const MAX_COMMANDS: usize = 500;

/// So many of them are under way at once.
const AT_ONCE: usize = 16;

#[derive(Serialize)]
struct Results {
    results: Vec<Each>,
}

#[derive(Serialize)]
struct Each {
    session_id: Value,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Box<Problem>>,
}

/// `POST /sessions/batch`.
pub(super) async fn batch(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Body(mut body): Body,
) -> Result<Response, ApiError> {
    let commands = body.remove("commands");
    if let Some(field) = body.keys().next() {
        return Err(ApiError::invalid(format!("/{field}"), "is no field of a batch"));
    }
    let Some(Value::Array(commands)) = commands else {
        return Err(ApiError::invalid("/commands", "must be a list of commands"));
    };
    if commands.len() > MAX_COMMANDS {
        return Err(ApiError::invalid("/commands", "must be at most 500"));
    }
    let (api, caller) = (&*api, &caller);
    let asked = commands.into_iter().map(|command| one(api, caller, command));
    let results = futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
    Ok(answer::json(StatusCode::OK, &Results { results }))
}

async fn one(api: &Api, caller: &Caller, command: Value) -> Each {
    let Value::Object(mut body) = command else {
        return Each::of(Value::Null, Err(ApiError::invalid("", "must be a JSON object")), api);
    };
    let session_id = body.remove("session_id").unwrap_or(Value::Null);
    let answer = command_in(api, caller, &session_id, body).await;
    Each::of(session_id, answer, api)
}

async fn command_in(
    api: &Api,
    caller: &Caller,
    session_id: &Value,
    mut body: Map<String, Value>,
) -> Result<Answer, ApiError> {
    let id = session_id.as_str().and_then(|id| SessionId::new(id).ok());
    let id = id.ok_or_else(|| ApiError::of(Code::SessionNotFound))?;
    let (name, conditions) = named(&mut body)?;
    let named = Named { name: &name, body, conditions, lag_ms: 0 };
    api.commanded(&caller.principal, &id, named, caller.arrived).await
}

/// Takes a command's name and idempotency key out of its body, as a batch and a
/// socket carry them.
pub(super) fn named(body: &mut Map<String, Value>) -> Result<(String, Conditions), ApiError> {
    let key = match body.remove("idempotency_key") {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => Some(checked_key(&key)?),
        Some(_) => return Err(ApiError::invalid("/idempotency_key", "must be a text")),
    };
    match body.remove("command") {
        Some(Value::String(name)) => Ok((name, Conditions { expected: None, key })),
        _ => Err(ApiError::invalid("/command", "must name a command")),
    }
}

impl Each {
    fn of(session_id: Value, answer: Result<Answer, ApiError>, api: &Api) -> Self {
        match answer {
            Ok(answer) => Self {
                session_id,
                status: 200,
                answer: serde_json::from_slice(&answer::answered(&answer, api.clock.now())).ok(),
                problem: None,
            },
            Err(ApiError(problem)) => {
                Self { session_id, status: problem.of.status(), answer: None, problem: Some(problem) }
            }
        }
    }
}
