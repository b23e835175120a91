//! `/v1/security/events`: the security events of a tenant.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::app::SecurityFilter;
use crate::http::api::Api;
use crate::http::extract::Caller;
use crate::http::query::{Query, limit};
use crate::http::response;
use crate::security::EventKind;
use crate::wire::api_error::ApiError;
use crate::wire::instant::{Instant, parse};

#[derive(Serialize)]
struct EventBody<'a> {
    id: &'a str,
    at: Instant,
    kind: &'a str,
    sub: Option<&'a str>,
    address: Option<&'a str>,
    detail: &'a str,
    /// How many there were within the second.
    count: u64,
}

#[derive(Serialize)]
struct EventsBody<'a> {
    events: Vec<EventBody<'a>>,
    next_cursor: Option<&'a str>,
}

/// `GET /security/events`, newest first.
pub(super) async fn events(
    State(api): State<Arc<Api>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Query::of(query.as_deref())?;
    let limit = limit(&mut query)?;
    let filter = filter(&mut query)?;
    query.end()?;
    let page = api.administration.security_events(&caller.principal, &filter, limit).await?;
    let text = |text: &'_ str| -> bool { !text.is_empty() };
    let body = page.rows.iter().map(|row| EventBody {
        id: &row.id,
        at: Instant(row.at),
        kind: &row.kind,
        sub: Some(row.subject.as_str()).filter(|subject| text(subject)),
        address: Some(row.address.as_str()).filter(|address| text(address)),
        detail: &row.detail,
        count: row.times,
    });
    let next_cursor = page.rows.last().filter(|_| page.has_more).map(|last| last.id.as_str());
    Ok(response::json(StatusCode::OK, &EventsBody { events: body.collect(), next_cursor }))
}

fn filter(query: &mut Query) -> Result<SecurityFilter, ApiError> {
    let kind = query.take("kind");
    let is_kind = |kind: &String| EventKind::ALL.iter().any(|known| known.as_str() == kind);
    if kind.as_ref().is_some_and(|kind| !is_kind(kind)) {
        let names: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        return Err(ApiError::invalid("/kind", format!("must be one of {}", names.join(", "))));
    }
    let since = query.take("since").map(|text| {
        parse(&text)
            .ok_or_else(|| ApiError::invalid("/since", "must be an RFC 3339 instant, such as 2026-01-01T00:00:00.000Z"))
    });
    Ok(SecurityFilter { kind, since: since.transpose()?, before: query.take("cursor") })
}
