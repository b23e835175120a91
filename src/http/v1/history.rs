//! What was: the list of sessions, a session's history, and how it stood.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::app::{Filter, SessionPage};
use crate::domain::id::SessionId;
use crate::domain::position::Position;
use crate::domain::session::control::SyncMode;
use crate::domain::time::Timestamp;
use crate::http::api::Api;
use crate::http::extract::{Caller, SessionPath};
use crate::http::query::{Query, limit};
use crate::http::response;
use crate::limits::Class;
use crate::wire::api_error::ApiError;
use crate::wire::frame;
use crate::wire::history::{Item, RestoreNote};
use crate::wire::instant::{Instant, parse};

/// A page of snapshots takes no more, unless the first alone does.
const PAGE_BYTES: usize = 1024 * 1024;

/// So many rows of a page count as much as a request.
const COUNTED_ROWS: u32 = 100;

/// So many metadata entries may stand in a filter.
const MAX_LABELS: usize = 8;

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
    api.count_rows(&caller, limit)?;
    let cursor = query
        .take("cursor")
        .map(|id| SessionId::new(id).map_err(|_| ApiError::invalid("/cursor", "must be the next_cursor of a page")));
    let cursor = cursor.transpose()?;
    let mut filter = filter(&mut query)?;
    query.end()?;
    filter.sessions = caller.principal.sessions.as_ref().map(|ids| ids.iter().cloned().collect());
    let listed = api.sessions.history.list(&caller.principal.tenant, &filter, cursor.as_ref(), limit).await?;
    Ok(response::json(StatusCode::OK, &ListBody::of(&listed, api.clock.now())))
}

impl ListBody {
    /// A snapshot is longer than what is stored of it, so the page may end earlier here.
    fn of(listed: &SessionPage, as_of: Timestamp) -> Self {
        let (mut sessions, mut bytes) = (Vec::with_capacity(listed.sessions.len()), 0);
        for session in &listed.sessions {
            let snapshot = frame::raw_snapshot(session, as_of);
            bytes += snapshot.as_ref().map_or(0, |snapshot| snapshot.get().len());
            if bytes > PAGE_BYTES && !sessions.is_empty() {
                break;
            }
            sessions.push(snapshot);
        }
        let has_more = listed.has_more || sessions.len() < listed.sessions.len();
        let last = sessions.len().checked_sub(1).and_then(|last| listed.sessions.get(last));
        let next_cursor = last.filter(|_| has_more).map(|session| session.session_id.clone());
        Self { sessions, as_of: Instant(as_of), next_cursor }
    }
}

pub(crate) fn filter(query: &mut Query) -> Result<Filter, ApiError> {
    let status = query.take("status");
    one_of("/status", status.as_deref(), STATUSES)?;
    let sync_mode = query.take("sync_mode");
    let modes: Vec<_> = SyncMode::ALL.iter().map(|mode| mode.as_str()).collect();
    one_of("/sync_mode", sync_mode.as_deref(), &modes)?;
    Ok(Filter {
        sessions: None,
        status,
        sync_mode,
        participant_id: query.take("participant_id"),
        metadata: labels(query)?,
        updated_after: query.take("updated_after").map(|text| instant("/updated_after", &text)).transpose()?,
    })
}

fn one_of(pointer: &str, text: Option<&str>, words: &[&str]) -> Result<(), ApiError> {
    match text {
        Some(text) if !words.contains(&text) => {
            Err(ApiError::invalid(pointer, format!("must be one of {}", words.join(", "))))
        }
        _ => Ok(()),
    }
}

/// Each is looked for in every session that the others let pass.
fn labels(query: &mut Query) -> Result<Vec<(String, String)>, ApiError> {
    let labels = query.take_all("metadata.");
    if labels.len() > MAX_LABELS {
        return Err(ApiError::invalid("/metadata", format!("may be asked for by at most {MAX_LABELS} keys at once")));
    }
    let mut seen = HashSet::new();
    match labels.iter().find(|(key, _)| !seen.insert(key)) {
        Some((key, _)) => Err(ApiError::invalid(format!("/metadata.{key}"), "may be asked for once")),
        None => Ok(labels),
    }
}

fn instant(pointer: &str, text: &str) -> Result<Timestamp, ApiError> {
    parse(text)
        .ok_or_else(|| ApiError::invalid(pointer, "must be an RFC 3339 instant, such as 2026-01-01T00:00:00.000Z"))
}

impl Api {
    /// A page of many rows counts as several requests; one was counted already.
    pub(super) fn count_rows(&self, caller: &Caller, limit: u32) -> Result<(), ApiError> {
        let more = limit.div_ceil(COUNTED_ROWS).saturating_sub(1);
        if more > 0 {
            self.limits.check(Class::Bulk, more, || caller.counted())?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct HistoryBody {
    session_id: SessionId,
    changes: Vec<Item>,
    /// Nothing up to here is missing.
    complete_to: Option<String>,
    next_cursor: Option<String>,
    /// What the last restoring did, until a change says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<RestoreNote>,
}

/// `GET /sessions/{id}/history`.
pub(super) async fn history(
    State(api): State<Arc<Api>>,
    caller: Caller,
    SessionPath(id): SessionPath,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Query::of(query.as_deref())?;
    let limit = limit(&mut query)?;
    api.count_rows(&caller, limit)?;
    let after = query.take("cursor").or(query.take("after"));
    let after = after.map(|text| text.parse::<Position>());
    let after = after
        .transpose()
        .map_err(|_| ApiError::invalid("/after", "must be a position, <epoch>-<version>, such as 1767225600000-7"))?;
    query.end()?;
    let held = api.sessions.read(&caller.principal, &id).await?;
    let key = api.sessions.key(&caller.principal, &id)?;
    let history = api.sessions.history.history(&caller.principal, &key, &held, after, limit).await?;
    let changes: Vec<_> = history.rows.iter().map(|row| Item::of(&row.link, &row.change, row.superseded)).collect();
    let next_cursor = changes.last().filter(|_| history.has_more).map(|item| item.position.clone());
    let restored = held.session.outage.map(RestoreNote::of);
    let complete_to = history.complete_to.map(|position| position.to_string());
    Ok(response::json(StatusCode::OK, &HistoryBody { session_id: id, changes, complete_to, next_cursor, restored }))
}

/// `GET /sessions/{id}/at?time=`.
pub(super) async fn at(
    State(api): State<Arc<Api>>,
    caller: Caller,
    SessionPath(id): SessionPath,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Query::of(query.as_deref())?;
    let time = query.take("time").ok_or_else(|| {
        ApiError::invalid("/time", "is needed and must be an RFC 3339 instant, such as 2026-01-01T00:00:00.000Z")
    })?;
    query.ignore_unknown()?;
    let time = instant("/time", &time)?;
    if time > caller.arrived {
        return Err(ApiError::invalid("/time", "must not be later than now"));
    }
    let held = api.sessions.read(&caller.principal, &id).await?;
    let key = api.sessions.key(&caller.principal, &id)?;
    let session = api.sessions.history.at(&key, &held, time).await?;
    Ok(response::bytes_as_json(StatusCode::OK, frame::snapshot(&session, time)))
}
