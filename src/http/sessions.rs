//! `/v1/sessions`: create, read, command, delete.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::Api;
use super::answer;
use super::error::{ApiError, logged};
use super::extract::{Body, Caller, Conditions, InSession, Part, digest, position_in};
use crate::app::error::Error;
use crate::app::sessions::Name;
use crate::app::{Answer, Asked, Expected};
use crate::domain::chain::Digest;
use crate::domain::id::SessionId;
use crate::domain::principal::Principal;
use crate::domain::session::command::Command;
use crate::domain::session::create::NewSession;
use crate::domain::time::Timestamp;
use crate::ids;
use crate::wire::command::{self, Wish};
use crate::wire::create::CreateBody;
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
    caller: Caller,
    conditions: Conditions,
    Body(body): Body,
) -> Answered {
    let digest = digest("create", &body);
    let wanted: CreateBody = command::parsed(body)?;
    let (id, name) = match &wanted.session_id {
        Some(id) => (id.clone(), Name::Given),
        None => api.name(&caller, &conditions)?,
    };
    let new = wanted.into_new(id).ok_or_else(|| ApiError::invalid("/sync_mode", "is needed"))?;
    api.created(&caller, new, name, conditions.key.map(|key| (key, digest))).await
}

/// `POST /sessions/{id}/clone`.
pub(super) async fn clone(
    State(api): State<Arc<Api>>,
    InSession(id): InSession,
    caller: Caller,
    conditions: Conditions,
    Body(mut body): Body,
) -> Answered {
    let digest = digest(&format!("clone {id}"), &body);
    let named = body.remove("session_id").filter(|id| !id.is_null());
    if let Some(field) = body.keys().next() {
        return Err(ApiError::invalid(format!("/{field}"), "is no field of a clone"));
    }
    let (clone_id, name) = match named {
        None => api.name(&caller, &conditions)?,
        Some(id) => id
            .as_str()
            .and_then(|id| SessionId::new(id).ok())
            .map(|id| (id, Name::Given))
            .ok_or_else(|| ApiError::invalid("/session_id", "must be an identifier"))?,
    };
    let new = api.sessions.blueprint(&caller.principal, &id, clone_id).await;
    let new = new.map_err(|error| api.problem(&error))?;
    api.created(&caller, new, name, conditions.key.map(|key| (key, digest))).await
}

impl Api {
    /// An id for what the caller does not name: its key's, so that a repeat finds it.
    fn name(&self, caller: &Caller, conditions: &Conditions) -> Result<(SessionId, Name), ApiError> {
        let Principal { tenant, subject, .. } = &*caller.principal;
        let (made, name) = match &conditions.key {
            Some(key) => (ids::derived(tenant, subject, key), Name::Given),
            None => (self.ids.session(caller.arrived), Name::Fresh),
        };
        Ok((made.map_err(|_| ApiError::of(Code::Internal))?, name))
    }

    async fn created(&self, caller: &Caller, new: NewSession, name: Name, key: Option<(String, Digest)>) -> Answered {
        let answer = self.sessions.create(&caller.principal, new, name, key, caller.arrived).await;
        let answer = answer.map_err(|error| self.problem(&error))?;
        let mut response = answer::command(StatusCode::CREATED, &answer, self.clock.now());
        let location = format!("/v1/sessions/{}", answer.held.session.session_id);
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        Ok(response)
    }

    /// Asks for the command called `name`.
    pub(super) async fn commanded(
        &self,
        by: &Principal,
        id: &SessionId,
        named: Named<'_>,
        arrived: Timestamp,
    ) -> Result<Answer, ApiError> {
        let asked = named.asked()?;
        self.sessions.command(by, id, asked, arrived).await.map_err(|error| self.problem(&error))
    }
}

/// A command by its name, with all that came with it.
pub(super) struct Named<'a> {
    pub name: &'a str,
    pub body: Map<String, Value>,
    pub conditions: Conditions,
    pub lag_ms: i64,
}

impl Named<'_> {
    fn asked(self) -> Result<Asked, ApiError> {
        let key = self.conditions.key.map(|key| (key, digest(self.name, &self.body)));
        let commanded = command::read(self.name, self.body)?;
        let from_body = commanded.expected_version.map(Expected::Version);
        Ok(Asked {
            wish: commanded.wish,
            expected: from_body.into_iter().chain(self.conditions.expected).collect(),
            idempotency: key,
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
        let tag = [(header::ETAG, answer::entity_tag(held.session.position))];
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
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
        return Err(ApiError::of(Code::NotFound));
    }
    let named = Named { name: &name, body, conditions, lag_ms: 0 };
    let answer = api.commanded(&caller.principal, &id, named, caller.arrived).await?;
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
    let asked =
        Asked { expected: conditions.expected.into_iter().collect(), ..Asked::plainly(Wish::Command(Command::Delete)) };
    let deleted = api.sessions.delete(&caller.principal, &id, asked, caller.arrived).await;
    deleted.map_err(|error| api.problem(&error))?;
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
    let answer = api.commanded(&caller.principal, &id, named, caller.arrived).await?;
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
            return Err(ApiError::invalid("/participant_id", "must be the one of the path"));
        }
        let named = Named { name, body, conditions, lag_ms: 0 };
        let answer = self.commanded(&caller.principal, &id, named, caller.arrived).await?;
        Ok(answer::command(StatusCode::OK, &answer, self.clock.now()))
    }
}
