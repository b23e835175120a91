//! `/v1/sessions`: create, read, command, delete.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::Api;
use super::answer;
use super::error::{ApiError, logged};
use super::extract::{Body, Caller, Conditions, InSession, Operator, Part, digest, position_in};
use crate::app::counting;
use crate::app::create::Name;
use crate::app::error::Error;
use crate::app::{Answer, Asked, Expected};
use crate::domain::chain::Digest;
use crate::domain::id::{InvalidId, SessionId};
use crate::domain::session::control::SyncMode;
use crate::domain::session::create::NewSession;
use crate::ids;
use crate::wire::command;
use crate::wire::create::{self, CreateBody};
use crate::wire::problem::Code;

type Answered = Result<Response, ApiError>;

impl Api {
    /// A use case's error as a problem, broken things told in the log.
    pub(super) fn problem(&self, error: &Error) -> ApiError {
        logged(error);
        ApiError::from_app(error, self.clock.now())
    }
}

/// `POST /sessions`.
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Operator(caller): Operator,
    conditions: Conditions,
    Body(mut body): Body,
) -> Answered {
    let digest = digest("create", &body);
    create::name_participants(&mut body, || api.ids.participant(caller.arrived));
    let wanted: CreateBody = command::parsed(body)?;
    let (id, name) = match &wanted.session_id {
        Some(id) => (id.clone(), Name::Given),
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
    InSession(id): InSession,
    Operator(caller): Operator,
    conditions: Conditions,
    Body(mut body): Body,
) -> Answered {
    // In a batch and on a socket `session_id` names the session that is cloned.
    if let Some(clone_id) = body.remove("session_id") {
        body.insert(CLONE_ID.to_owned(), clone_id);
    }
    let named = Named { name: "clone", body, conditions, lag_ms: 0 };
    let answer = api.commanded(&caller, &id, named).await?;
    Ok(api.created_response(&answer))
}

/// What a clone's own id is called where `session_id` names the session that is cloned.
const CLONE_ID: &str = "new_session_id";

impl Api {
    /// An id for what the caller does not name: its key's, so that a repeat finds it.
    fn name(&self, caller: &Caller, conditions: &Conditions) -> (SessionId, Name) {
        let by = &*caller.principal;
        match &conditions.key {
            Some(key) => (ids::derived(&by.tenant, &by.identity(), key), Name::Given),
            None => (self.ids.session(caller.arrived), Name::Fresh),
        }
    }

    async fn created(
        &self,
        caller: &Caller,
        command: &'static str,
        new: NewSession,
        name: Name,
        key: Option<(String, Digest)>,
    ) -> Result<Answer, ApiError> {
        let answer = self.sessions.create(&caller.principal, new, name, key, caller.arrived).await;
        counting::decided(command, answer.as_ref());
        answer.map_err(|error| self.problem(&error))
    }

    fn created_response(&self, answer: &Answer) -> Response {
        let mut response = answer::command(StatusCode::CREATED, answer, self.clock.now());
        let location = format!("/v1/sessions/{}", answer.held.session.session_id);
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
        mut named: Named<'_>,
    ) -> Result<Answer, ApiError> {
        if named.name == "clone" {
            return self.cloned(caller, id, named).await;
        }
        let is_delete = named.name == "delete";
        let key = named.conditions.key.take().map(|key| (key, digest(named.name, &named.body)));
        if named.name == "add_participant" {
            create::name_participant(&mut named.body, || self.ids.participant(caller.arrived));
        }
        let asked = Asked { idempotency: key, ..named.asked()? };
        let done = if is_delete {
            self.sessions.delete(&caller.principal, id, asked, caller.arrived).await
        } else {
            self.sessions.command(&caller.principal, id, asked, caller.arrived).await
        };
        done.map_err(|error| self.problem(&error))
    }

    /// A new pending session of the same configuration.
    async fn cloned(&self, caller: &Caller, id: &SessionId, named: Named<'_>) -> Result<Answer, ApiError> {
        let Named { mut body, conditions, .. } = named;
        let digest = digest(&format!("clone {id}"), &body);
        let wanted = body.remove(CLONE_ID).filter(|id| !id.is_null());
        let expected = command::expected_version(&mut body)?.map(Expected::Version);
        if let Some(field) = body.keys().next() {
            return Err(ApiError::invalid(
                format!("/{field}"),
                "is not a field here; allowed is session_id, in a batch and on a socket new_session_id",
            ));
        }
        let (clone_id, name) = match wanted {
            None => self.name(caller, &conditions),
            Some(wanted) => (clone_id(&wanted)?, Name::Given),
        };
        let expected: Vec<_> = expected.into_iter().chain(conditions.expected).collect();
        let new = self.sessions.blueprint(&caller.principal, id, clone_id, &expected).await;
        let new = new.map_err(|error| {
            counting::decided("clone", Err(&error));
            self.problem(&error)
        })?;
        self.created(caller, "clone", new, name, conditions.key.map(|key| (key, digest))).await
    }
}

fn clone_id(wanted: &Value) -> Result<SessionId, ApiError> {
    let id = wanted.as_str().and_then(|id| SessionId::new(id).ok());
    id.ok_or_else(|| ApiError::invalid("/session_id", InvalidId.to_string()))
}

/// A command by its name, with all that came with it.
pub(super) struct Named<'a> {
    pub name: &'a str,
    pub body: Map<String, Value>,
    pub conditions: Conditions,
    pub lag_ms: i64,
}

impl Named<'_> {
    /// The command that is asked for, without its idempotency key.
    fn asked(self) -> Result<Asked, ApiError> {
        let commanded = command::read(self.name, self.body)?;
        let from_body = commanded.expected_version.map(Expected::Version);
        Ok(Asked {
            wish: commanded.wish,
            expected: from_body.into_iter().chain(self.conditions.expected).collect(),
            idempotency: None,
            lag_ms: self.lag_ms,
        })
    }
}

/// `GET /sessions/{id}`.
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    InSession(id): InSession,
    caller: Caller,
    headers: HeaderMap,
) -> Answered {
    let held = api.sessions.look(&caller.principal, &id).await.map_err(|error| api.problem(&error))?;
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    if known == "*" || known.split(',').any(|tag| position_in(tag) == Some(held.session.position)) {
        return Ok(answer::not_modified(held.session.position));
    }
    Ok(answer::snapshot(&held, api.clock.now()))
}

/// `POST /sessions/{id}/{command}`, for the commands that are written in the URL.
pub(super) async fn command(
    State(api): State<Arc<Api>>,
    InSession(id): InSession,
    Part(name): Part,
    caller: Caller,
    conditions: Conditions,
    Body(body): Body,
) -> Answered {
    if !IN_URL.contains(&name.as_str()) {
        let said = format!("no command is called that; POST takes {}", IN_URL.join(", "));
        return Err(ApiError::saying(Code::NotFound, said));
    }
    let named = Named { name: &name, body, conditions, lag_ms: 0 };
    let answer = api.commanded(&caller, &id, named).await?;
    Ok(answer::command(StatusCode::OK, &answer, api.clock.now()))
}

/// The commands that are sub-resources.
const IN_URL: &[&str] =
    &["start", "switch", "pause", "resume", "complete", "cancel", "reset", "adjust", "extend", "revert"];

/// `DELETE /sessions/{id}`.
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    InSession(id): InSession,
    caller: Caller,
    conditions: Conditions,
) -> Answered {
    let named = Named { name: "delete", body: Map::new(), conditions, lag_ms: 0 };
    api.commanded(&caller, &id, named).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /sessions/{id}/participants`.
pub(super) async fn add_participant(
    State(api): State<Arc<Api>>,
    InSession(id): InSession,
    caller: Caller,
    conditions: Conditions,
    Body(body): Body,
) -> Answered {
    let named = Named { name: "add_participant", body, conditions, lag_ms: 0 };
    let answer = api.commanded(&caller, &id, named).await?;
    Ok(answer::command(StatusCode::CREATED, &answer, api.clock.now()))
}

/// `PATCH /sessions/{id}/participants/{pid}`.
pub(super) async fn change_participant(
    State(api): State<Arc<Api>>,
    InSession(id): InSession,
    Part(participant): Part,
    caller: Caller,
    conditions: Conditions,
    Body(body): Body,
) -> Answered {
    api.of_participant("change_participant", (id, participant), caller, conditions, body).await
}

/// `DELETE /sessions/{id}/participants/{pid}`.
pub(super) async fn remove_participant(
    State(api): State<Arc<Api>>,
    InSession(id): InSession,
    Part(participant): Part,
    caller: Caller,
    conditions: Conditions,
    Body(body): Body,
) -> Answered {
    api.of_participant("remove_participant", (id, participant), caller, conditions, body).await
}

impl Api {
    async fn of_participant(
        &self,
        name: &str,
        (id, participant): (SessionId, String),
        caller: Caller,
        conditions: Conditions,
        mut body: Map<String, Value>,
    ) -> Answered {
        let named = Value::String(participant);
        if body.insert("participant_id".to_owned(), named.clone()).is_some_and(|other| other != named) {
            return Err(ApiError::invalid("/participant_id", "must be the one of the path, or be left out"));
        }
        let named = Named { name, body, conditions, lag_ms: 0 };
        let answer = self.commanded(&caller, &id, named).await?;
        Ok(answer::command(StatusCode::OK, &answer, self.clock.now()))
    }
}
