//! `POST /v1/sessions/{id}/tokens`: a short-lived token for one participant or viewer.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer;
use super::error::ApiError;
use super::extract::{Body, Caller, InSession};
use crate::app::sessions::operates;
use crate::domain::id::{ParticipantId, SessionId};
use crate::domain::principal::{Principal, Role};
use crate::wire::command::parsed;
use crate::wire::instant::Instant;
use crate::wire::problem::Code;

const DEFAULT_TTL_MS: i64 = 3_600_000;
const MAX_TTL_MS: i64 = 24 * 3_600_000;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct TokenBody {
    participant_id: Option<ParticipantId>,
    sub: Option<String>,
    ttl_ms: Option<i64>,
}

#[derive(Serialize)]
struct SignedBody {
    token: String,
    role: &'static str,
    expires_at: Instant,
}

/// `POST /sessions/{id}/tokens`: for a participant if one is named, else for a viewer.
pub(super) async fn sign(
    State(api): State<Arc<Api>>,
    InSession(id): InSession,
    caller: Caller,
    Body(body): Body,
) -> Result<Response, ApiError> {
    operates(&caller.principal).map_err(|error| api.problem(&error))?;
    let held = api.sessions.look(&caller.principal, &id).await.map_err(|error| api.problem(&error))?;
    let wanted: TokenBody = parsed(body)?;
    if wanted.participant_id.as_ref().is_some_and(|participant| held.session.seat(participant).is_none()) {
        return Err(ApiError::of(Code::UnknownParticipant));
    }
    let ttl_ms = wanted.ttl_ms.unwrap_or(DEFAULT_TTL_MS);
    if !(1_000..=MAX_TTL_MS).contains(&ttl_ms) {
        return Err(ApiError::invalid("/ttl_ms", "must be 1000 to 86400000"));
    }
    let principal = proven(&caller.principal, id, wanted)?;
    let signed = api.authenticator.sign(&principal, caller.arrived + ttl_ms);
    let signed = signed.map_err(|_| ApiError::of(Code::NoSigningKey))?;
    let body =
        SignedBody { token: signed.token, role: principal.role.as_str(), expires_at: Instant(signed.expires_at) };
    Ok(answer::json(StatusCode::CREATED, &body))
}

fn proven(caller: &Principal, session: SessionId, wanted: TokenBody) -> Result<Principal, ApiError> {
    let named = wanted.participant_id.as_ref().map(|id| id.as_str().to_owned());
    let subject = wanted.sub.or(named).unwrap_or_else(|| "viewer".to_owned());
    if !(1..=256).contains(&subject.len()) {
        return Err(ApiError::invalid("/sub", "must be 1 to 256 bytes"));
    }
    Ok(Principal {
        tenant: caller.tenant.clone(),
        subject,
        role: if wanted.participant_id.is_some() { Role::Participant } else { Role::Viewer },
        participant_id: wanted.participant_id,
        sessions: Some(BTreeSet::from([session])),
        expires_at: None,
    })
}
