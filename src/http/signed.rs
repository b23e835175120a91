//! Signed commands over HTTP: a signature is read with the caller, and checked once the body is there.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Method};

use crate::domain::chain::Digest;
use crate::domain::principal::Principal;
use crate::signature::{SignatureClaim, SignatureError, Signatures, SignedContent};
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;

const SIGNATURE: &str = "signature";

/// What a signed request asks for, as it came: routes cut off what they have matched.
#[derive(Debug, Clone)]
struct SignedTarget(PathAndQuery);

/// A signature that is read and not checked yet. Nobody acts on the body before it is.
#[derive(Clone)]
pub(super) struct PendingSignature {
    signatures: Arc<Signatures>,
    by: Arc<Principal>,
    claim: SignatureClaim,
    method: Method,
    target: Option<PathAndQuery>,
}

/// Keeps what a signed request asks for. Other requests pass as they are.
pub(super) fn keep_target(request: &mut Request) {
    if request.headers().contains_key(SIGNATURE)
        && let Some(target) = request.uri().path_and_query().cloned()
    {
        request.extensions_mut().insert(SignedTarget(target));
    }
}

/// Reads the signature of a command by a proven caller, and refuses one that is missing or out
/// of time. Reads are not signed.
pub(super) fn begin(parts: &mut Parts, signatures: &Arc<Signatures>, by: &Arc<Principal>) -> Result<(), ApiError> {
    if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let text = if signatures.is_checked() { header(&parts.headers)? } else { None };
    let Some(claim) = signatures.claim(by, text)? else { return Ok(()) };
    let (signatures, by, method) = (Arc::clone(signatures), Arc::clone(by), parts.method.clone());
    let target = parts.extensions.get().map(|SignedTarget(target)| target.clone());
    parts.extensions.insert(PendingSignature { signatures, by, claim, method, target });
    Ok(())
}

fn header(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(SIGNATURE).into_iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(value.to_str().unwrap_or_default())),
        (Some(_), Some(_)) => {
            Err(ApiError::with_detail(Code::SignatureInvalid, "send one Signature header, not several"))
        }
    }
}

impl PendingSignature {
    /// The signature that waits in a request, if there is one.
    pub(super) fn take(request: &mut Request) -> Option<Self> {
        request.extensions_mut().remove()
    }

    /// Whether it is over this body.
    pub(super) async fn check(&self, body: &[u8]) -> Result<(), ApiError> {
        let target = self.target.as_ref().map(PathAndQuery::as_str).unwrap_or_default();
        let signed = SignedContent { method: self.method.as_str(), target, body: Digest::of(body) };
        Ok(self.signatures.check(&self.by, &self.claim, signed).await?)
    }
}

impl From<SignatureError> for ApiError {
    fn from(why: SignatureError) -> Self {
        let detail = why.to_string();
        match why {
            SignatureError::Missing => Self::with_detail(
                Code::SignatureInvalid,
                format!(
                    "{detail}: send Signature: t=<ms>,nonce=<16 to 64 characters>,v1=<base64url>; {}",
                    Code::SignatureInvalid.advice()
                ),
            ),
            SignatureError::Malformed(_) | SignatureError::OutOfTime { .. } => {
                Self::with_detail(Code::SignatureInvalid, detail)
            }
            SignatureError::Wrong => {
                Self::with_detail(Code::SignatureInvalid, format!("{detail}; {}", Code::SignatureInvalid.advice()))
            }
            SignatureError::Replayed => Self::of(Code::Replayed),
            SignatureError::Unavailable => Self::unavailable(Code::StoreUnavailable),
            SignatureError::Full => Self::unavailable(Code::RateLimited).with_cause(detail),
            SignatureError::NoSecret => Self::with_detail(Code::NoSigningKey, "start the service with SEAL_SECRET"),
        }
    }
}
