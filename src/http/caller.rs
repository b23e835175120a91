//! Who calls: whom a token proves, or a client's certificate, or both, who must be the same.

use std::sync::Arc;

use axum::http::request::Parts;

use super::auth::{self, TokenSources};
use super::origin;
use crate::auth::certificate;
use crate::auth::{Authenticator, Denied};
use crate::domain::principal::Principal;
use crate::domain::time::Timestamp;
use crate::net::admission::Peer;
use crate::net::tls::ClientCertificate;
use crate::wire::api_error::ApiError;

/// The caller of a request, where not everybody is one; or why it proves nobody. A page of
/// another origin is not let in by the certificate that its browser shows on its own.
pub fn proven(
    parts: &Parts,
    carriers: TokenSources,
    authenticator: &Authenticator,
    now: Timestamp,
) -> Result<Result<Arc<Principal>, Denied>, ApiError> {
    let token = match auth::token(parts, carriers) {
        Ok(token) => token.filter(|token| !token.is_empty()),
        Err(denied) => return Ok(Err(denied)),
    };
    let peer = parts.extensions.get::<Arc<Peer>>();
    let Some(certificate) = peer.and_then(|peer| peer.certificate()) else {
        return Ok(authenticator.authenticate(token, now));
    };
    let holder = match holder(certificate, now) {
        Ok(holder) => holder,
        Err(denied) => return Ok(Err(denied)),
    };
    match (holder, token) {
        (None, None) => Ok(Err(Denied::NamelessCertificate)),
        (None, Some(token)) => Ok(authenticator.authenticate(Some(token), now)),
        (Some(holder), None) => {
            origin::check_page(parts)?;
            Ok(Ok(Arc::new(holder)))
        }
        (Some(holder), Some(token)) => Ok(both(&holder, authenticator.authenticate(Some(token), now))),
    }
}

fn holder(certificate: &ClientCertificate, now: Timestamp) -> Result<Option<Principal>, Denied> {
    let at = |ms| Timestamp::from_ms(ms);
    let validity = certificate.validity;
    if now >= at(validity.until_ms) {
        return Err(Denied::CertificateExpired);
    }
    let uris = certificate.uris.iter().map(|uri| &**uri);
    certificate::principal(uris, at(validity.from_ms), at(validity.until_ms))
}

fn both(holder: &Principal, bearer: Result<Arc<Principal>, Denied>) -> Result<Arc<Principal>, Denied> {
    bearer?.bound_to(holder).map(Arc::new).ok_or(Denied::CertificateDisagrees)
}
