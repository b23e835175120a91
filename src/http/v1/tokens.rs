//! `POST /v1/sessions/{id}/tokens`: a short-lived token for one participant or viewer.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::app::StoredSession;
use crate::domain::access::issued_role;
use crate::domain::chain::Digest;
use crate::domain::id::{ParticipantId, SessionId};
use crate::domain::principal::{Principal, Provenance};
use crate::domain::session::Session;
use crate::domain::time::Timestamp;
use crate::http::api::Api;
use crate::http::extract::{Body, Caller, Preconditions, SessionPath, digest};
use crate::http::response;
use crate::security::{EventKind, SecurityEvent};
use crate::wire::api_error::ApiError;
use crate::wire::command::parsed;
use crate::wire::error_code::Code;
use crate::wire::instant::Instant;

const DEFAULT_TTL_MS: i64 = 3_600_000;
const MIN_TTL_MS: i64 = 1_000;
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

/// What a token was made with: enough to make the same again for a repeat, and no secret.
#[derive(Serialize, Deserialize)]
struct SignedToken {
    token_id: String,
    issued_at: Timestamp,
    expires_at: Timestamp,
    seat: Option<u64>,
}

/// `POST /sessions/{id}/tokens`: for a participant if one is named, else for a viewer.
pub(super) async fn sign(
    State(api): State<Arc<Api>>,
    caller: Caller,
    SessionPath(id): SessionPath,
    conditions: Preconditions,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let digest = digest("tokens", &body);
    let held = api.sessions.read(&caller.principal, &id).await?;
    let wanted: TokenBody = parsed(body)?;
    let made = api.made(&caller, &held, &wanted)?;
    let (made, is_replay) = match &conditions.key {
        Some(key) => api.made_first(&caller, &held, (key, digest), made).await?,
        None => (made, false),
    };
    let principal = proven(&caller.principal, id, wanted, &made)?;
    let signed = api.authenticator.sign(&principal, made.expires_at);
    let signed = signed.map_err(|_| ApiError::of(Code::NoSigningKey))?;
    if !is_replay {
        let detail = format!("token {} for {}", made.token_id, principal.subject);
        api.security.record(SecurityEvent::of(EventKind::TokenIssued).by(&caller.principal).detail(detail));
    }
    let body =
        SignedBody { token: signed.token, role: principal.role.as_str(), expires_at: Instant(signed.expires_at) };
    Ok(response::replayable(response::json(StatusCode::CREATED, &body), is_replay))
}

impl Api {
    /// A new token's own facts. It never outlives the token of whoever asks for it.
    fn made(&self, caller: &Caller, held: &StoredSession, wanted: &TokenBody) -> Result<SignedToken, ApiError> {
        let ttl_ms = wanted.ttl_ms.unwrap_or(DEFAULT_TTL_MS);
        if !(MIN_TTL_MS..=MAX_TTL_MS).contains(&ttl_ms) {
            return Err(ApiError::invalid(
                "/ttl_ms",
                "must be a whole number of milliseconds from 1000 to 86400000 (a day)",
            ));
        }
        let issued_at = caller.arrived;
        let end = issued_at + ttl_ms;
        Ok(SignedToken {
            token_id: self.ids.uuid(issued_at).to_string(),
            issued_at,
            expires_at: caller.principal.expires_at.map_or(end, |callers_end| end.min(callers_end)),
            seat: wanted.participant_id.as_ref().map(|id| seat_of(&held.session, id)).transpose()?,
        })
    }

    /// What the first request with this key made, and whether that was another one.
    async fn made_first(
        &self,
        caller: &Caller,
        held: &StoredSession,
        key: (&str, Digest),
        made: SignedToken,
    ) -> Result<(SignedToken, bool), ApiError> {
        let text = serde_json::to_vec(&made).unwrap_or_default().into();
        let (standing, is_replay) = self.sessions.remember(&caller.principal, held, key, text, caller.arrived).await?;
        let standing = serde_json::from_slice(&standing);
        // Another route's answer under the same key has another digest, so this is one of ours.
        Ok((standing.map_err(|_| ApiError::of(Code::IdempotencyMismatch))?, is_replay))
    }
}

/// The version that added the present holder of that id.
fn seat_of(session: &Session, id: &ParticipantId) -> Result<u64, ApiError> {
    let seat = session
        .seat(id)
        .ok_or_else(|| ApiError::at(Code::UnknownParticipant, "/participant_id", session.unknown_to(id)))?;
    Ok(session.participants[seat].joined.map_or(0, |joined| joined.version))
}

fn proven(
    caller: &Principal,
    session: SessionId,
    wanted: TokenBody,
    made: &SignedToken,
) -> Result<Principal, ApiError> {
    let named = wanted.participant_id.as_ref().map(|id| id.as_str().to_owned());
    let subject = wanted.sub.or(named).unwrap_or_else(|| "viewer".to_owned());
    if !(1..=256).contains(&subject.len()) {
        return Err(ApiError::invalid("/sub", "must be a text of 1 to 256 bytes"));
    }
    Ok(Principal {
        tenant: caller.tenant.clone(),
        subject,
        role: issued_role(wanted.participant_id.as_ref()),
        participant_id: wanted.participant_id,
        sessions: Some(BTreeSet::from([session])),
        locations: caller.locations.clone(),
        expires_at: None,
        provenance: Provenance {
            token_id: Some(made.token_id.clone()),
            issued_at: Some(made.issued_at),
            made_by: Some(caller.subject.clone()),
            seat: made.seat,
        },
    })
}
