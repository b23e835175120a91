//! Whether a request is let in: its caller's share of this instance, and its role.
//!
//! Both are asked before a body is read. What a request asks beside itself, such as the
//! commands of a batch, is counted where it is known.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use parking_lot::Mutex;

use super::routes::Route;
use crate::addresses::Addresses;
use crate::auth::Denied;
use crate::domain::principal::Principal;
use crate::limits::{Caller, Class, RateLimits, Standing};
use crate::net::admission::Peer;
use crate::security::{EventKind, Security, SecurityEvent};
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;

/// Where the caller of a request stands, for the headers of its answer. It is there where
/// callers are to see it.
#[derive(Debug, Clone, Default)]
pub(super) struct ShownStanding(Arc<Mutex<Option<Standing>>>);

impl ShownStanding {
    /// The last that was noted.
    pub(super) fn take(&self) -> Option<Standing> {
        self.0.lock().take()
    }
}

/// The row of the table that the request is for. A handler without one lets nobody in.
pub(super) fn route(parts: &Parts) -> Result<&'static Route, ApiError> {
    parts.extensions.get::<&'static Route>().copied().ok_or_else(|| ApiError::of(Code::Internal))
}

/// Where the request comes from. One without a connection, as in tests, comes from nowhere.
pub(super) fn address(limits: &RateLimits, parts: &Parts) -> IpAddr {
    address_of(limits, &parts.extensions, &parts.headers)
}

/// The same of a request that has not been taken apart.
pub(super) fn address_of(limits: &RateLimits, extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
    let peer = extensions.get::<Arc<Peer>>();
    peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| limits.client_address(peer.address().ip(), headers))
}

/// Asks the lists of the caller's tenant whether its address is let in.
pub(super) fn check_address(
    limits: &RateLimits,
    addresses: &Addresses,
    parts: &Parts,
    principal: &Principal,
) -> Result<(), ApiError> {
    Ok(addresses.check_tenant(principal, address(limits, parts))?)
}

/// The answer to whoever no token proves. It counts against the address that it comes from,
/// unless there was none, or it once was good.
pub(super) fn refuse(limits: &RateLimits, security: &dyn Security, parts: &Parts, denied: Denied) -> ApiError {
    match check_refused(limits, security, parts, denied) {
        Err(limited) => limited,
        Ok(()) => denied.into(),
    }
}

/// Counts and reports a refused token.
///
/// # Errors
/// There are too many from that address.
pub(super) fn check_refused(
    limits: &RateLimits,
    security: &dyn Security,
    parts: &Parts,
    denied: Denied,
) -> Result<(), ApiError> {
    record_refusal(limits, security, parts, denied);
    if !denied.is_counted() {
        return Ok(());
    }
    limits.check(Class::RefusedToken, 1, || Caller::Address(address(limits, parts)))?;
    Ok(())
}

/// Reports a token or ticket that proves nobody. One that did not come is no attack, and while
/// nobody can tell, nobody is to blame.
fn record_refusal(limits: &RateLimits, security: &dyn Security, parts: &Parts, denied: Denied) {
    if !matches!(denied, Denied::Missing | Denied::Unknown) {
        let event = SecurityEvent::of(EventKind::TokenRefused).from(Some(address(limits, parts)));
        security.record(event.detail(denied.to_string()));
    }
}

/// Counts a request against its caller's share, then asks for its role.
pub(super) fn check(
    limits: &RateLimits,
    security: &dyn Security,
    parts: &Parts,
    principal: &Principal,
    counted: Caller<'_>,
) -> Result<(), ApiError> {
    let route = route(parts)?;
    if let Some(class) = route.class {
        count(limits, parts, class, 1, || counted)?;
    }
    check_role(limits, security, parts, principal)
}

/// Whether the caller's role may use the route at all.
pub(super) fn check_role(
    limits: &RateLimits,
    security: &dyn Security,
    parts: &Parts,
    principal: &Principal,
) -> Result<(), ApiError> {
    if route(parts)?.admits(principal, parts.uri.path()) {
        return Ok(());
    }
    let place = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let event = SecurityEvent::of(EventKind::Forbidden).by(principal).from(Some(address(limits, parts)));
    security.record(event.detail(format!("{} {place}", parts.method)));
    Err(ApiError::of(Code::Forbidden))
}

/// Counts a request that needs no token, by its address.
pub(super) fn check_anyone(limits: &RateLimits, parts: &Parts) -> Result<(), ApiError> {
    match route(parts)?.class {
        Some(class) => count(limits, parts, class, 1, || Caller::Address(address(limits, parts))),
        None => Ok(()),
    }
}

/// Counts what a request asks.
pub(super) fn count<'a>(
    limits: &RateLimits,
    parts: &Parts,
    class: Class,
    weight: u32,
    counted: impl FnOnce() -> Caller<'a>,
) -> Result<(), ApiError> {
    let standing = limits.check(class, weight, counted)?;
    if let (Some(standing), Some(shown)) = (standing, parts.extensions.get::<ShownStanding>()) {
        *shown.0.lock() = Some(standing);
    }
    Ok(())
}

/// Leaves the standing out of the answer: it begins others as well, on whose turn it will be another.
pub(super) fn hide_standing(parts: &Parts) {
    if let Some(shown) = parts.extensions.get::<ShownStanding>() {
        shown.take();
    }
}
