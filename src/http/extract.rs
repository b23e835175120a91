//! What handlers take: who calls, when it arrived, which session, what it says.
//!
//! A handler takes its caller first: by then the table of routes has been asked whether it may.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use serde_json::{Map, Value};

use super::access;
use super::api::Api;
use super::auth::{self, TokenSources};
use super::origin;
use super::routes::{MAX_BODY, Route};
use crate::app::Precondition;
use crate::auth::Denied;
use crate::domain::chain::Digest;
use crate::domain::id::SessionId;
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::domain::time::Timestamp;
use crate::limits;
use crate::net::admission;
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;
use crate::wire::json;

/// A body that is too long is read up to here and dropped: who is still sending
/// would find the connection broken, and never the answer.
const MAX_DROPPED: u64 = 16 * 1024 * 1024;

/// An idempotency key is at most so long.
const MAX_KEY: usize = 256;

/// Whoever a token proves the caller to be, and when the request arrived: the
/// instant is read once and kept through every retry.
pub struct Caller {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// When the request arrived.
    pub arrived: Timestamp,
    /// In open mode, where it calls from: everybody is the same principal there.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// As whom its requests are counted.
    pub fn counted(&self) -> limits::Caller<'_> {
        self.address.map_or(limits::Caller::Principal(&self.principal), limits::Caller::Address)
    }
}

impl<S> FromRequestParts<S> for Caller
where
    Arc<Api>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let api = Arc::<Api>::from_ref(state);
        let (arrived, is_open) = (api.clock.now(), api.authenticator.is_open());
        let token = if is_open {
            origin::check(parts)?;
            Ok(None)
        } else {
            auth::token(parts, TokenSources::Header)
        };
        let token = match token {
            Ok(None) if !is_open && auth::ticket(&parts.uri).is_some() => Err(Denied::Misplaced),
            token => token,
        };
        let proven = match token {
            Ok(token) => authenticate(&api, token, arrived).await,
            Err(denied) => Err(denied),
        };
        let principal = proven.map_err(|denied| access::refuse(&api.limits, &*api.security, parts, denied))?;
        access::check_address(&api.limits, &api.addresses, parts, &principal)?;
        admission::authenticate(parts);
        let address = is_open.then(|| access::address(&api.limits, parts));
        let caller = Self { principal, arrived, address };
        access::check(&api.limits, &*api.security, parts, &caller.principal, caller.counted())?;
        Ok(caller)
    }
}

/// Waits for what is revoked only while that is not known.
async fn authenticate(api: &Api, token: Option<&str>, arrived: Timestamp) -> Result<Arc<Principal>, Denied> {
    match api.authenticator.authenticate(token, arrived) {
        Err(Denied::Unknown) if api.authenticator.validity().is_known().await => {
            api.authenticator.authenticate(token, arrived)
        }
        authenticated => authenticated,
    }
}

/// Where a request comes from, behind proxies that are trusted.
pub struct ClientAddress(pub IpAddr);

impl<S> FromRequestParts<S> for ClientAddress
where
    Arc<Api>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self(access::address(&Arc::<Api>::from_ref(state).limits, parts)))
    }
}

/// Anybody, with or without a token.
pub struct Anyone;

impl<S> FromRequestParts<S> for Anyone
where
    Arc<Api>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        access::check_anyone(&Arc::<Api>::from_ref(state).limits, parts)?;
        Ok(Self)
    }
}

/// The session named in the path. What can be no id names no session.
pub struct SessionPath(pub SessionId);

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = params(parts, state).await?;
        let id = params.iter().find(|(name, _)| *name == "id").and_then(|(_, value)| SessionId::new(value).ok());
        id.map(Self).ok_or_else(|| ApiError::of(Code::SessionNotFound))
    }
}

/// What the path names within a session, its last part.
pub struct ParticipantPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for ParticipantPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = params(parts, state).await?;
        let last = params.iter().last().map(|(_, value)| Self(value.to_owned()));
        last.ok_or_else(|| ApiError::of(Code::NotFound))
    }
}

async fn params<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, ApiError> {
    RawPathParams::from_request_parts(parts, state).await.map_err(|_| ApiError::of(Code::SessionNotFound))
}

/// What the headers say about the write that is asked for.
#[derive(Debug, Default)]
pub struct Preconditions {
    /// `If-Match`.
    pub expected: Option<Precondition>,
    /// `Idempotency-Key`.
    pub key: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Preconditions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self { expected: if_match(&parts.headers)?, key: idempotency_key(&parts.headers)? })
    }
}

fn if_match(headers: &HeaderMap) -> Result<Option<Precondition>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    if text == "*" {
        return Ok(None);
    }
    let position = position_in(text);
    let unreadable = || {
        ApiError::with_detail(
            Code::Invalid,
            "If-Match must be * or one entity tag of the session, such as W/\"1767225600000-7\"",
        )
    };
    position.map(|position| Some(Precondition::Position(position))).ok_or_else(unreadable)
}

/// The position in an entity tag, weak or not.
pub fn position_in(tag: &str) -> Option<Position> {
    tag.trim().trim_start_matches("W/").trim_matches('"').parse().ok()
}

/// The idempotency key of a request, if it has one.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    checked_key(key).map(Some)
}

/// An idempotency key, if it can be one.
pub fn checked_key(key: &str) -> Result<String, ApiError> {
    let is_fine = (1..=MAX_KEY).contains(&key.len()) && !key.chars().any(char::is_control);
    if is_fine {
        Ok(key.to_owned())
    } else {
        Err(ApiError::with_detail(
            Code::Invalid,
            "an idempotency key must be 1 to 256 bytes without control characters",
        ))
    }
}

/// A JSON object; an empty body counts as `{}`.
#[derive(Debug, Default)]
pub struct Body(pub Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let is_json = says_json(request.headers());
        let takes_body = request.method() != Method::GET;
        let bytes = bytes(request).await?;
        if bytes.is_empty() || !takes_body {
            return Ok(Self::default());
        }
        if !is_json {
            return Err(ApiError::of(Code::UnsupportedMediaType));
        }
        object(&bytes).map(Self)
    }
}

async fn bytes(request: Request) -> Result<Bytes, ApiError> {
    let longest = request.extensions().get::<&'static Route>().map_or(MAX_BODY, |route| route.max_body);
    let waits = request.headers().contains_key(header::EXPECT);
    // The body's own hint is lost in the layers.
    let declared = declared_length(request.headers());
    let mut body = request.into_body();
    if declared > MAX_DROPPED || (waits && declared > longest as u64) {
        return Err(too_large(longest));
    }
    let (mut kept, mut come) = (BytesMut::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|_| ApiError::with_detail(Code::Malformed, "the body could not be read to its end"))?;
        let data = frame.into_data().unwrap_or_default();
        come += data.len();
        if come as u64 > MAX_DROPPED {
            break;
        }
        if come <= longest {
            kept.extend_from_slice(&data);
        }
    }
    if come <= longest { Ok(kept.freeze()) } else { Err(too_large(longest)) }
}

fn too_large(longest: usize) -> ApiError {
    ApiError::with_detail(Code::TooLarge, format!("the body must be at most {longest} bytes here"))
}

/// What the header says of the body's length; the library has refused what is no number.
fn declared_length(headers: &HeaderMap) -> u64 {
    let value = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    value.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Without a content type it is taken for JSON, as a plain `curl -d` is not.
fn says_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = value.to_str().ok().and_then(|text| text.parse::<mime::Mime>().ok());
    kind.is_some_and(|kind| kind.subtype() == mime::JSON || kind.suffix() == Some(mime::JSON))
}

/// Reads a JSON object, each field once, of bounded nesting.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    Ok(json::object(bytes)?)
}

/// The digest of what a command says: the same words in another order are the same.
pub fn digest(name: &str, body: &Map<String, Value>) -> Digest {
    let text = serde_json::to_vec(body).unwrap_or_default();
    Digest::of(&[name.as_bytes(), b"\n", &text].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_read_weak_or_not() {
        let position = Some(Position { epoch: 5, version: 7 });
        assert_eq!(position_in("W/\"5-7\""), position);
        assert_eq!(position_in("\"5-7\""), position);
        assert_eq!(position_in("\"x\""), None);
    }
}
