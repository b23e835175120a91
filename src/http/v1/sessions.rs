//! `/v1/sessions`: create, read, command, delete.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::app::command_metrics;
use crate::app::create::IdSource;
use crate::app::{CommandRequest, CommandResult, Precondition};
use crate::domain::chain::Digest;
use crate::domain::id::{InvalidId, SessionId};
use crate::domain::session::control::SyncMode;
use crate::domain::session::new::NewSession;
use crate::http::api::Api;
use crate::http::extract::{
    Body, Caller, NoBody, Operator, ParticipantPath, Preconditions, SessionPath, digest, position_in,
};
use crate::http::response;
use crate::ids;
use crate::seal::KeyScope;
use crate::wire::api_error::ApiError;
use crate::wire::command;
use crate::wire::create::{self, CreateBody};
use crate::wire::error_code::Code;

type HandlerResult = Result<Response, ApiError>;

/// `POST /sessions`.
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Operator(caller): Operator,
    conditions: Preconditions,
    Body(mut body): Body,
) -> HandlerResult {
    let digest = digest("create", &body);
    create::name_participants(&mut body, || api.ids.participant(caller.arrived));
    let wanted: CreateBody = command::parsed(body)?;
    let (id, name) = match &wanted.session_id {
        Some(id) => (id.clone(), IdSource::Caller),
        None => api.name(&caller, &conditions),
    };
    let new = wanted.into_new(id).ok_or_else(needs_mode)?;
    let answer = api.created(&caller, "create", new, name, conditions.key.map(|key| (key, digest))).await?;
    Ok(api.created_response(&answer))
}

fn needs_mode() -> ApiError {
    let modes = SyncMode::ALL.iter().map(|mode| mode.as_str()).collect::<Vec<_>>().join(", ");
    ApiError::invalid("/sync_mode", format!("is needed and must be one of {modes}"))
}

/// `POST /sessions/{id}/clone`.
pub(super) async fn clone(
    State(api): State<Arc<Api>>,
    SessionPath(id): SessionPath,
    Operator(caller): Operator,
    conditions: Preconditions,
    Body(mut body): Body,
) -> HandlerResult {
    // In a batch and on a socket `session_id` names the session that is cloned.
    if let Some(clone_id) = body.remove("session_id") {
        body.insert(CLONE_ID.to_owned(), clone_id);
    }
    let named = NamedCommand { name: "clone", body, conditions, lag_ms: 0 };
    let answer = api.commanded(&caller, &id, named).await?;
    Ok(api.created_response(&answer))
}

/// What a clone's own id is called where `session_id` names the session that is cloned.
const CLONE_ID: &str = "new_session_id";

impl Api {
    /// An id for what the caller does not name: its key's, so that a repeat finds it.
    fn name(&self, caller: &Caller, conditions: &Preconditions) -> (SessionId, IdSource) {
        let by = &*caller.principal;
        match &conditions.key {
            Some(key) => (ids::derived(&by.tenant, &by.identity(), key), IdSource::Caller),
            None => (self.ids.session(caller.arrived), IdSource::Server),
        }
    }

    async fn created(
        &self,
        caller: &Caller,
        command: &'static str,
        new: NewSession,
        name: IdSource,
        key: Option<(String, Digest)>,
    ) -> Result<CommandResult, ApiError> {
        let answer = self.sessions.create(&caller.principal, new, name, key, caller.arrived).await;
        command_metrics::count(command, answer.as_ref());
        Ok(answer?)
    }

    fn created_response(&self, answer: &CommandResult) -> Response {
        let mut response = response::command(StatusCode::CREATED, answer, self.clock.now());
        let location = format!("/v1/sessions/{}", answer.stored.session.session_id);
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }

    /// Does what the command called `name` says, the same over REST, in a batch and on a socket.
    pub(super) async fn commanded(
        &self,
        caller: &Caller,
        id: &SessionId,
        mut named: NamedCommand<'_>,
    ) -> Result<CommandResult, ApiError> {
        if named.name == "clone" {
            return self.cloned(caller, id, named).await;
        }
        let is_delete = named.name == "delete";
        let key = named.conditions.key.take().map(|key| (key, digest(named.name, &named.body)));
        if named.name == "add_participant" {
            create::name_participant(&mut named.body, || self.ids.participant(caller.arrived));
        }
        let asked = CommandRequest { idempotency: key, ..named.asked()? };
        if is_delete {
            Ok(self.sessions.delete(&caller.principal, id, asked, caller.arrived).await?)
        } else {
            Ok(self.sessions.command(&caller.principal, id, asked, caller.arrived).await?)
        }
    }

    /// A new pending session of the same configuration.
    async fn cloned(
        &self,
        caller: &Caller,
        id: &SessionId,
        named: NamedCommand<'_>,
    ) -> Result<CommandResult, ApiError> {
        let NamedCommand { mut body, conditions, .. } = named;
        let digest = digest(&format!("clone {id}"), &body);
        let wanted = body.remove(CLONE_ID).filter(|id| !id.is_null());
        let expected = command::expected_version(&mut body)?.map(Precondition::Version);
        if let Some(field) = body.keys().next() {
            return Err(ApiError::invalid(
                format!("/{field}"),
                "is not a field here; allowed is session_id, in a batch and on a socket new_session_id",
            ));
        }
        let (clone_id, name) = match wanted {
            None => self.name(caller, &conditions),
            Some(wanted) => (clone_id(&wanted)?, IdSource::Caller),
        };
        let expected: Vec<_> = expected.into_iter().chain(conditions.expected).collect();
        let new = self.sessions.blueprint(&caller.principal, id, clone_id, &expected).await;
        let new = new.inspect_err(|error| command_metrics::count("clone", Err(error)))?;
        self.created(caller, "clone", new, name, conditions.key.map(|key| (key, digest))).await
    }
}

fn clone_id(wanted: &Value) -> Result<SessionId, ApiError> {
    let id = wanted.as_str().and_then(|id| SessionId::new(id).ok());
    id.ok_or_else(|| ApiError::invalid("/session_id", InvalidId.to_string()))
}

/// A command by its name, with all that came with it.
pub(super) struct NamedCommand<'a> {
    pub name: &'a str,
    pub body: Map<String, Value>,
    pub conditions: Preconditions,
    pub lag_ms: i64,
}

impl NamedCommand<'_> {
    /// The command that is asked for, without its idempotency key.
    fn asked(self) -> Result<CommandRequest, ApiError> {
        let (input, expected_version) = command::read(self.name, self.body)?;
        Ok(CommandRequest {
            input,
            expected: expected_version.map(Precondition::Version).into_iter().chain(self.conditions.expected).collect(),
            idempotency: None,
            lag_ms: self.lag_ms,
        })
    }
}

/// `GET /sessions/{id}`.
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    SessionPath(id): SessionPath,
    caller: Caller,
    headers: HeaderMap,
) -> HandlerResult {
    let held = api.sessions.read(&caller.principal, &id).await?;
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    if known == "*" || known.split(',').any(|tag| position_in(tag) == Some(held.session.position)) {
        return Ok(response::not_modified(held.session.position));
    }
    let key = api.sessions.key(&caller.principal, &id)?;
    let seal = |snapshot| api.sealing.object(KeyScope::Session(&key, held.session.position.epoch), snapshot);
    Ok(response::snapshot(&held, api.clock.now(), seal))
}

/// `POST /sessions/{id}/{command}`, for the commands that are written in the URL.
pub(super) async fn command(
    State(api): State<Arc<Api>>,
    SessionPath(id): SessionPath,
    ParticipantPath(name): ParticipantPath,
    caller: Caller,
    conditions: Preconditions,
    Body(body): Body,
) -> HandlerResult {
    if !IN_URL.contains(&name.as_str()) {
        let said = format!("no command is called that; POST takes {}", IN_URL.join(", "));
        return Err(ApiError::with_detail(Code::NotFound, said));
    }
    let named = NamedCommand { name: &name, body, conditions, lag_ms: 0 };
    let answer = api.commanded(&caller, &id, named).await?;
    Ok(response::command(StatusCode::OK, &answer, api.clock.now()))
}

/// The commands that are sub-resources.
const IN_URL: &[&str] =
    &["start", "switch", "pause", "resume", "complete", "cancel", "reset", "adjust", "extend", "revert"];

/// `DELETE /sessions/{id}`.
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    SessionPath(id): SessionPath,
    caller: Caller,
    conditions: Preconditions,
    _: NoBody,
) -> HandlerResult {
    let named = NamedCommand { name: "delete", body: Map::new(), conditions, lag_ms: 0 };
    api.commanded(&caller, &id, named).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /sessions/{id}/participants`.
pub(super) async fn add_participant(
    State(api): State<Arc<Api>>,
    SessionPath(id): SessionPath,
    caller: Caller,
    conditions: Preconditions,
    Body(body): Body,
) -> HandlerResult {
    let named = NamedCommand { name: "add_participant", body, conditions, lag_ms: 0 };
    let answer = api.commanded(&caller, &id, named).await?;
    Ok(response::command(StatusCode::CREATED, &answer, api.clock.now()))
}

/// `PATCH /sessions/{id}/participants/{pid}`.
pub(super) async fn change_participant(
    State(api): State<Arc<Api>>,
    SessionPath(id): SessionPath,
    ParticipantPath(participant): ParticipantPath,
    caller: Caller,
    conditions: Preconditions,
    Body(body): Body,
) -> HandlerResult {
    api.of_participant("change_participant", (id, participant), caller, conditions, body).await
}

/// `DELETE /sessions/{id}/participants/{pid}`.
pub(super) async fn remove_participant(
    State(api): State<Arc<Api>>,
    SessionPath(id): SessionPath,
    ParticipantPath(participant): ParticipantPath,
    caller: Caller,
    conditions: Preconditions,
    Body(body): Body,
) -> HandlerResult {
    api.of_participant("remove_participant", (id, participant), caller, conditions, body).await
}

impl Api {
    async fn of_participant(
        &self,
        name: &str,
        (id, participant): (SessionId, String),
        caller: Caller,
        conditions: Preconditions,
        mut body: Map<String, Value>,
    ) -> HandlerResult {
        let named = Value::String(participant);
        if body.insert("participant_id".to_owned(), named.clone()).is_some_and(|other| other != named) {
            return Err(ApiError::invalid("/participant_id", "must be the one of the path, or be left out"));
        }
        let named = NamedCommand { name, body, conditions, lag_ms: 0 };
        let answer = self.commanded(&caller, &id, named).await?;
        Ok(response::command(StatusCode::OK, &answer, self.clock.now()))
    }
}
