//! What was: the list of sessions, a session's history, and how it stood.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Api;
use super::answer;
use super::error::ApiError;
use super::extract::{Caller, InSession};
use super::query::{Query, limit};
use crate::app::Filter;
use crate::domain::id::SessionId;
use crate::domain::position::Position;
use crate::domain::session::control::SyncMode;
use crate::domain::time::Timestamp;
use crate::wire::frame;
use crate::wire::history::Item;
use crate::wire::instant::{Instant, parse};

const STATUSES: &[&str] = &["pending", "running", "paused", "expired", "completed", "cancelled", "deleted"];

#[derive(Serialize)]
struct ListBody {
    sessions: Vec<Option<Box<RawValue>>>,
    as_of: Instant,
    next_cursor: Option<SessionId>,
}

/// `GET /sessions`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Query::of(query.as_deref())?;
    let limit = limit(&mut query)?;
    let cursor = query.take("cursor").map(|id| SessionId::new(id).map_err(|_| ApiError::invalid("/cursor", "is none")));
    let cursor = cursor.transpose()?;
    let mut filter = filter(&mut query)?;
    query.end()?;
    filter.sessions = caller.principal.sessions.as_ref().map(|ids| ids.iter().cloned().collect());
    let listed = api.sessions.past.list(&caller.principal.tenant, &filter, cursor.as_ref(), limit).await;
    let listed = listed.map_err(|error| api.problem(&error))?;
    let as_of = api.clock.now();
    let sessions = listed.sessions.iter().map(|session| frame::raw_snapshot(session, as_of)).collect();
    let body = ListBody { sessions, as_of: Instant(as_of), next_cursor: listed.next };
    Ok(answer::json(StatusCode::OK, &body))
}

fn filter(query: &mut Query) -> Result<Filter, ApiError> {
    let status = query.take("status");
    if status.as_ref().is_some_and(|status| !STATUSES.contains(&status.as_str())) {
        return Err(ApiError::invalid("/status", "is none of the values that are known"));
    }
    let sync_mode = query.take("sync_mode");
    if sync_mode.as_ref().is_some_and(|mode| !is_sync_mode(mode)) {
        return Err(ApiError::invalid("/sync_mode", "is none of the values that are known"));
    }
    Ok(Filter {
        sessions: None,
        status,
        sync_mode,
        participant_id: query.take("participant_id"),
        metadata: query.take_all("metadata."),
        updated_after: query.take("updated_after").map(|text| instant("/updated_after", &text)).transpose()?,
    })
}

fn is_sync_mode(text: &str) -> bool {
    serde_json::from_value::<SyncMode>(text.into()).is_ok()
}

fn instant(pointer: &str, text: &str) -> Result<Timestamp, ApiError> {
    parse(text).ok_or_else(|| ApiError::invalid(pointer, "must be an RFC 3339 instant"))
}

#[derive(Serialize)]
struct HistoryBody {
    session_id: SessionId,
    changes: Vec<Item>,
    /// Nothing up to here is missing.
    complete_to: Option<String>,
    next_cursor: Option<String>,
}

/// `GET /sessions/{id}/history`.
pub(super) async fn history(
    State(api): State<Arc<Api>>,
    InSession(id): InSession,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Query::of(query.as_deref())?;
    let limit = limit(&mut query)?;
    let after = query.take("cursor").or(query.take("after"));
    let after = after.map(|text| text.parse::<Position>());
    let after = after.transpose().map_err(|_| ApiError::invalid("/after", "must be a position, <epoch>-<version>"))?;
    query.end()?;
    let held = api.sessions.look(&caller.principal, &id).await.map_err(|error| api.problem(&error))?;
    let key = api.sessions.key(&caller.principal, &id).map_err(|error| api.problem(&error))?;
    let history = api.sessions.past.history(&key, &held, after, limit).await;
    let history = history.map_err(|error| api.problem(&error))?;
    let changes: Vec<_> = history.rows.iter().map(|row| Item::of(&row.link, &row.change, row.superseded)).collect();
    let next_cursor = changes.last().filter(|_| history.has_more).map(|item| item.position.clone());
    let complete_to = history.complete_to.map(|position| position.to_string());
    Ok(answer::json(StatusCode::OK, &HistoryBody { session_id: id, changes, complete_to, next_cursor }))
}

/// `GET /sessions/{id}/at?time=`.
pub(super) async fn at(
    State(api): State<Arc<Api>>,
    InSession(id): InSession,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Query::of(query.as_deref())?;
    let time = query.take("time").ok_or_else(|| ApiError::invalid("/time", "is needed"))?;
    query.end()?;
    let time = instant("/time", &time)?;
    if time > caller.arrived {
        return Err(ApiError::invalid("/time", "is still to come"));
    }
    let held = api.sessions.look(&caller.principal, &id).await.map_err(|error| api.problem(&error))?;
    let key = api.sessions.key(&caller.principal, &id).map_err(|error| api.problem(&error))?;
    let session = api.sessions.past.at(&key, &held, time).await.map_err(|error| api.problem(&error))?;
    Ok(answer::bytes_as_json(StatusCode::OK, frame::snapshot(&session, time)))
}
