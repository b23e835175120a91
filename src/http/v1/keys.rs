//! `GET /sessions/{id}/seal-key`, `GET /seal-key`, `GET /signing-key`: keys, for those who may have them.
//!
//! Answers without a `Cache-Control` of their own are `no-store`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::principal::Principal;
use crate::http::api::Api;
use crate::http::extract::{Caller, SessionPath};
use crate::http::response;
use crate::seal::{KeyScope, SealKey};
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;

/// A key, as clients take it.
#[derive(Serialize)]
struct KeyBody {
    key_id: String,
    key: String,
}

impl From<SealKey> for KeyBody {
    fn from(key: SealKey) -> Self {
        Self { key_id: key.id().to_owned(), key: key.text() }
    }
}

/// The keys of what is said of a session.
#[derive(Serialize)]
pub(super) struct SessionKeyBody {
    /// Whether what the tenant is told is sealed now.
    sealed: bool,
    session_id: SessionId,
    epoch: i64,
    key_id: String,
    key: String,
    /// The key of what is said of no session, or where its epoch is not known.
    tenant: KeyBody,
}

#[derive(Serialize)]
struct TenantKeyBody {
    sealed: bool,
    key_id: String,
    key: String,
}

#[derive(Serialize)]
struct SigningKeyBody {
    /// Whether the tenant takes signed commands only.
    required: bool,
    signing_key: String,
}

impl Api {
    /// The keys of what is said of a session in that epoch; `None` without a secret.
    pub(super) fn seal_key_body(&self, key: &SessionKey, epoch: i64) -> Option<SessionKeyBody> {
        let of_session = KeyBody::from(self.sealing.key(KeyScope::Session(key, epoch))?);
        Some(SessionKeyBody {
            sealed: self.sealing.is_on(&key.tenant),
            session_id: key.session.clone(),
            epoch,
            key_id: of_session.key_id,
            key: of_session.key,
            tenant: self.sealing.key(KeyScope::Tenant(&key.tenant))?.into(),
        })
    }

    fn tenant_key_body(&self, tenant: &TenantId) -> Option<TenantKeyBody> {
        let KeyBody { key_id, key } = self.sealing.key(KeyScope::Tenant(tenant))?.into();
        Some(TenantKeyBody { sealed: self.sealing.is_on(tenant), key_id, key })
    }

    fn signing_key_body(&self, by: &Principal) -> Option<SigningKeyBody> {
        let signing_key = self.signatures.key(by)?.text();
        Some(SigningKeyBody { required: self.signatures.is_required(&by.tenant), signing_key })
    }
}

fn answer<T: Serialize>(body: Option<T>) -> Result<Response, ApiError> {
    let without = || ApiError::with_detail(Code::NoSigningKey, "start the service with SEAL_SECRET");
    Ok(response::json(StatusCode::OK, &body.ok_or_else(without)?))
}

/// `GET /sessions/{id}/seal-key`, for whoever may read the session.
pub(super) async fn of_session(
    State(api): State<Arc<Api>>,
    SessionPath(id): SessionPath,
    caller: Caller,
) -> Result<Response, ApiError> {
    let key = api.sessions.key(&caller.principal, &id)?;
    let epoch = api.sessions.newest(&key).await?.session.position.epoch;
    answer(api.seal_key_body(&key, epoch))
}

/// `GET /seal-key`, for every caller of the tenant.
pub(super) async fn of_tenant(State(api): State<Arc<Api>>, caller: Caller) -> Result<Response, ApiError> {
    answer(api.tenant_key_body(&caller.principal.tenant))
}

/// `GET /signing-key`, for the bearer of the present token.
pub(super) async fn of_token(State(api): State<Arc<Api>>, caller: Caller) -> Result<Response, ApiError> {
    answer(api.signing_key_body(&caller.principal))
}
