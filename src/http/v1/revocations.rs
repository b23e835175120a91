//! `/v1/revocations`: tokens that an administrator has revoked.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use crate::domain::revocation::{Revocation, RevokedTokens};
use crate::domain::time::Timestamp;
use crate::http::api::Api;
use crate::http::extract::{Body, Caller, digest, idempotency_key};
use crate::http::query::{Query, limit};
use crate::http::response;
use crate::wire::api_error::ApiError;
use crate::wire::command::parsed;
use crate::wire::instant::Instant;

/// The ids of tokens and subjects are at most so long.
const MAX_TEXT_BYTES: usize = 256;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RevokeBody {
    jti: Option<String>,
    sub: Option<String>,
    before: Option<Instant>,
}

#[derive(Serialize)]
struct RevocationBody<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Instant>,
    created_at: Instant,
    created_by: &'a str,
    /// `null` where it stands until it is deleted.
    expires_at: Option<Instant>,
}

#[derive(Serialize)]
struct RevocationsBody<'a> {
    revocations: Vec<RevocationBody<'a>>,
    next_cursor: Option<&'a str>,
}

impl<'a> RevocationBody<'a> {
    fn of(revocation: &'a Revocation) -> Self {
        let (jti, sub, before) = match &revocation.tokens {
            RevokedTokens::Token(id) => (Some(id.as_str()), None, None),
            RevokedTokens::Subject { subject, before } => (None, Some(subject.as_str()), Some(Instant(*before))),
        };
        let expires_at = (revocation.expires_at != Timestamp::NEVER).then_some(Instant(revocation.expires_at));
        let (id, created_by) = (revocation.id.as_str(), revocation.by.as_str());
        Self { id, jti, sub, before, created_at: Instant(revocation.at), created_by, expires_at }
    }
}

/// `POST /revocations`.
pub(super) async fn add(
    State(api): State<Arc<Api>>,
    caller: Caller,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let key = idempotency_key(&headers)?.map(|key| (key, digest("revocations", &body)));
    let tokens = tokens(parsed(body)?, caller.arrived)?;
    let revoked = api.administration.revoke(&caller.principal, tokens, key, caller.arrived).await?;
    let (revocation, is_replay) = revoked;
    let mut response = response::json(StatusCode::CREATED, &RevocationBody::of(&revocation));
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/revocations/{}", revocation.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response::replayable(response, is_replay))
}

fn tokens(body: RevokeBody, now: Timestamp) -> Result<RevokedTokens, ApiError> {
    match body {
        RevokeBody { jti: Some(id), sub: None, before: None } => Ok(RevokedTokens::Token(text("/jti", id)?)),
        RevokeBody { jti: Some(_), sub: None, before: Some(_) } => Err(ApiError::invalid(
            "/before",
            "goes with sub alone: a token of that jti is revoked whenever it was made",
        )),
        RevokeBody { jti: None, sub: Some(subject), before } => {
            let before = before.map_or(now, |Instant(before)| before);
            if before > now {
                return Err(ApiError::invalid("/before", "must not be later than now"));
            }
            Ok(RevokedTokens::Subject { subject: text("/sub", subject)?, before })
        }
        _ => Err(ApiError::invalid(
            "",
            "must hold jti, the id of a token, or sub, whose tokens are revoked; one of the two",
        )),
    }
}

fn text(pointer: &str, text: String) -> Result<String, ApiError> {
    let is_fine = (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    if is_fine {
        Ok(text)
    } else {
        Err(ApiError::invalid(pointer, "must be 1 to 256 bytes without control characters"))
    }
}

/// `GET /revocations`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Query::of(query.as_deref())?;
    let (limit, cursor) = (limit(&mut query)?, query.take("cursor"));
    query.end()?;
    let page = api.administration.revocations(&caller.principal, cursor.as_deref(), caller.arrived, limit).await?;
    let next_cursor = page.rows.last().filter(|_| page.has_more).map(|last| last.id.as_str());
    let revocations = page.rows.iter().map(RevocationBody::of).collect();
    Ok(response::json(StatusCode::OK, &RevocationsBody { revocations, next_cursor }))
}

/// `DELETE /revocations/{id}`.
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    api.administration.remove_revocation(&caller.principal, &id, caller.arrived).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
