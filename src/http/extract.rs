//! What handlers take: who calls, when it arrived, which session, what it says.
//! A handler's parameters are its access rule.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use serde_json::{Map, Value};

use super::Api;
use super::error::ApiError;
use super::{auth, origin};
use crate::app::Expected;
use crate::domain::chain::Digest;
use crate::domain::id::SessionId;
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::domain::time::Timestamp;
use crate::wire::problem::Code;

/// Objects and lists inside each other, at most.
const MAX_DEPTH: usize = 16;

/// An idempotency key is at most so long.
const MAX_KEY: usize = 256;

/// Whoever a token proves the caller to be, and when the request arrived: the
/// instant is read once and kept through every retry.
pub struct Caller {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// When the request arrived.
    pub arrived: Timestamp,
}

impl<S> FromRequestParts<S> for Caller
where
    Arc<Api>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let api = Arc::<Api>::from_ref(state);
        let arrived = api.clock.now();
        if api.authenticator.is_open() {
            origin::check(&parts.headers)?;
        }
        let principal = api.authenticator.authenticate(auth::token(parts), arrived)?;
        Ok(Self { principal, arrived })
    }
}

/// The session named in the path. What can be no id names no session.
pub struct InSession(pub SessionId);

impl<S: Send + Sync> FromRequestParts<S> for InSession {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| ApiError::of(Code::SessionNotFound))?;
        let id = params.iter().find(|(name, _)| *name == "id").and_then(|(_, value)| SessionId::new(value).ok());
        id.map(Self).ok_or_else(|| ApiError::of(Code::SessionNotFound))
    }
}

/// What the headers say about the write that is asked for.
#[derive(Debug, Default)]
pub struct Conditions {
    /// `If-Match`.
    pub expected: Option<Expected>,
    /// `Idempotency-Key`.
    pub key: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self { expected: if_match(&parts.headers)?, key: idempotency_key(&parts.headers)? })
    }
}

fn if_match(headers: &HeaderMap) -> Result<Option<Expected>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    if text == "*" {
        return Ok(None);
    }
    let position = position_in(text);
    let unreadable = || ApiError::saying(Code::Invalid, "If-Match must be one entity tag of a session");
    position.map(|position| Some(Expected::Position(position))).ok_or_else(unreadable)
}

/// The position in an entity tag, weak or not.
pub fn position_in(tag: &str) -> Option<Position> {
    tag.trim().trim_start_matches("W/").trim_matches('"').parse().ok()
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
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
        Err(ApiError::saying(Code::Invalid, "an idempotency key is 1 to 256 printable bytes"))
    }
}

/// A JSON object; an empty body counts as `{}`.
#[derive(Debug, Default)]
pub struct Body(pub Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = says_json(request.headers());
        let takes_body = request.method() != Method::GET;
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|rejection| match rejection.status().as_u16() {
            413 => ApiError::of(Code::TooLarge),
            _ => ApiError::saying(Code::Malformed, "the body could not be read to its end"),
        })?;
        if bytes.is_empty() || !takes_body {
            return Ok(Self::default());
        }
        if !is_json {
            return Err(ApiError::of(Code::UnsupportedMediaType));
        }
        object(&bytes).map(Self)
    }
}

/// Without a content type it is taken for JSON, as a plain `curl -d` is not.
fn says_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = value.to_str().ok().and_then(|text| text.parse::<mime::Mime>().ok());
    kind.is_some_and(|kind| kind.subtype() == mime::JSON || kind.suffix() == Some(mime::JSON))
}

/// Reads a JSON object of bounded nesting.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    if depth(bytes) > MAX_DEPTH {
        return Err(ApiError::saying(Code::Invalid, "the body is nested deeper than 16 levels"));
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(ApiError::invalid("", "must be a JSON object")),
        Err(_) => Err(ApiError::saying(Code::Malformed, "the body is not JSON")),
    }
}

/// How deep brackets are nested, told without building anything.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
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
    fn nesting_is_counted_outside_of_texts_only() {
        assert_eq!(depth(br#"{"a":[1,{"b":2}]}"#), 3);
        assert_eq!(depth(br#"{"a":"[[[[\"[["}"#), 1);
        let deep = [b"{\"a\":".repeat(17), b"1".to_vec(), b"}".repeat(17)].concat();
        assert_eq!(object(&deep).unwrap_err().0.of, Code::Invalid);
    }

    #[test]
    fn what_is_no_object_is_told_apart_from_what_is_no_json() {
        assert_eq!(object(b"[1]").unwrap_err().0.of, Code::Invalid);
        assert_eq!(object(b"{").unwrap_err().0.of, Code::Malformed);
        assert_eq!(object(b"\xff").unwrap_err().0.of, Code::Malformed);
    }

    #[test]
    fn entity_tags_are_read_weak_or_not() {
        let position = Some(Position { epoch: 5, version: 7 });
        assert_eq!(position_in("W/\"5-7\""), position);
        assert_eq!(position_in("\"5-7\""), position);
        assert_eq!(position_in("\"x\""), None);
    }
}
