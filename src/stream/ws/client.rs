//! What clients say: one JSON object a text message.

use serde_json::{Map, Value};

use crate::domain::chain::Digest;
use crate::domain::id::SessionId;
use crate::domain::position::Position;
use crate::stream::SignedFrame;
use crate::stream::frames::Regarding;
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;
use crate::wire::json;
use crate::wire::problem::Problem;

/// An `id` longer than this is not echoed.
const MAX_ID: usize = 256;

/// A frame that was understood.
#[derive(Debug)]
pub struct Frame {
    /// Whom to answer, and about which session.
    pub regarding: Regarding,
    /// What is wanted.
    pub wanted: ClientRequest,
}

/// What a client wants.
#[derive(Debug, PartialEq)]
pub enum ClientRequest {
    /// A clock exchange.
    Ping { timestamp: Value },
    /// To go on from there.
    Reconnect { last: Option<Position> },
    /// A command, with all that belongs to it.
    Command(Map<String, Value>, Option<SignedFrame>),
    /// To stay past its token's end.
    Auth { token: String },
    /// To follow another session.
    Subscribe { last: Option<Position> },
    /// To follow it no more.
    Unsubscribe,
}

impl ClientRequest {
    /// The fields such a frame has beside those that all have.
    const fn fields(&self) -> &'static str {
        match self {
            Self::Ping { .. } => ", timestamp",
            Self::Reconnect { .. } => ", last_known_epoch, last_known_version, reconnect_attempt",
            Self::Command(..) => ", command, idempotency_key, signature",
            Self::Auth { .. } => ", token",
            Self::Subscribe { .. } => ", last",
            Self::Unsubscribe => "",
        }
    }
}

/// Every type of frame that a client may send.
const TYPES: &[&str] = &["PING", "RECONNECT", "COMMAND", "AUTH", "SUBSCRIBE", "UNSUBSCRIBE"];

/// A frame that was not understood, and why.
#[derive(Debug)]
pub struct InvalidFrame {
    /// Whom to answer, as far as that could be read.
    pub regarding: Regarding,
    /// What is wrong with it.
    pub problem: Box<Problem>,
}

/// Reads a frame.
pub fn read(text: &str) -> Result<Frame, InvalidFrame> {
    let object = json::object(text.as_bytes()).map_err(ApiError::from);
    let mut fields = object.map_err(|error| InvalidFrame { regarding: Regarding::default(), problem: error.0 })?;
    let mut regarding = Regarding::default();
    match wanted(text, &mut fields, &mut regarding) {
        Ok(wanted) => Ok(Frame { regarding, wanted }),
        Err(error) => Err(InvalidFrame { regarding, problem: error.0 }),
    }
}

fn wanted(text: &str, fields: &mut Map<String, Value>, regarding: &mut Regarding) -> Result<ClientRequest, ApiError> {
    regarding.id = fields.remove("id").map(id).transpose()?;
    regarding.session = session(fields)?;
    let kind = fields.remove("type");
    let wanted = match kind.as_ref().and_then(Value::as_str) {
        Some("PING") => ClientRequest::Ping { timestamp: timestamp(fields)? },
        Some("RECONNECT") => ClientRequest::Reconnect { last: reconnect(fields)? },
        Some("COMMAND") => {
            let signed = signed(text, fields)?;
            return Ok(ClientRequest::Command(std::mem::take(fields), signed));
        }
        Some("AUTH") => ClientRequest::Auth { token: token(fields)? },
        Some("SUBSCRIBE") => ClientRequest::Subscribe { last: last(fields) },
        Some("UNSUBSCRIBE") => ClientRequest::Unsubscribe,
        _ => return Err(ApiError::invalid("/type", format!("must be one of {}", TYPES.join(", ")))),
    };
    match fields.keys().next() {
        Some(field) => {
            let said = format!("is not a field here; allowed are type, id, session_id{}", wanted.fields());
            Err(ApiError::invalid(format!("/{field}"), said))
        }
        None => Ok(wanted),
    }
}

/// A signature stands last, written without spaces, and is over the text before its comma.
fn signed(text: &str, fields: &mut Map<String, Value>) -> Result<Option<SignedFrame>, ApiError> {
    let Some(value) = fields.remove("signature") else { return Ok(None) };
    let signature = value.as_str().unwrap_or_default();
    let before = text.strip_suffix(&format!(r#","signature":"{signature}"}}"#));
    let before = before.ok_or_else(|| {
        ApiError::invalid("/signature", "must be a text, and the last member of the frame, without spaces around it")
    })?;
    Ok(Some(SignedFrame { signature: signature.to_owned(), digest: Digest::of(before.as_bytes()) }))
}

fn id(value: Value) -> Result<Value, ApiError> {
    let is_fine = match &value {
        Value::String(text) => text.len() <= MAX_ID,
        value => value.is_number(),
    };
    if is_fine { Ok(value) } else { Err(ApiError::invalid("/id", "must be a number or a text of at most 256 bytes")) }
}

fn session(fields: &mut Map<String, Value>) -> Result<Option<SessionId>, ApiError> {
    let Some(value) = fields.remove("session_id").or_else(|| fields.remove("sessionId")) else { return Ok(None) };
    let id = value.as_str().and_then(|text| SessionId::new(text).ok());
    id.map(Some).ok_or_else(|| ApiError::of(Code::SessionNotFound))
}

fn timestamp(fields: &mut Map<String, Value>) -> Result<Value, ApiError> {
    let value = fields.remove("timestamp").unwrap_or_default();
    if value.is_object() || value.is_array() {
        return Err(ApiError::invalid("/timestamp", "must be a number or a text"));
    }
    Ok(value)
}

/// Without an epoch, or with what can be no position, the newest state follows.
fn reconnect(fields: &mut Map<String, Value>) -> Result<Option<Position>, ApiError> {
    fields.remove("reconnect_attempt");
    let epoch = fields.remove("last_known_epoch").unwrap_or_default();
    let version = fields.remove("last_known_version").unwrap_or_default();
    let version = version
        .as_u64()
        .ok_or_else(|| ApiError::invalid("/last_known_version", "must be a whole number, the newest version seen"))?;
    if !epoch.is_null() && !epoch.is_i64() {
        return Err(ApiError::invalid("/last_known_epoch", "must be a whole number, the epoch of that version"));
    }
    Ok(epoch.as_i64().map(|epoch| Position { epoch, version }))
}

fn token(fields: &mut Map<String, Value>) -> Result<String, ApiError> {
    match fields.remove("token") {
        Some(Value::String(token)) => Ok(token),
        _ => Err(ApiError::invalid("/token", "must be a token, as a text")),
    }
}

fn last(fields: &mut Map<String, Value>) -> Option<Position> {
    fields.remove("last").as_ref().and_then(Value::as_str).and_then(|last| last.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(frame: &Value) -> ClientRequest {
        read(&frame.to_string()).unwrap().wanted
    }

    #[test]
    fn each_frame_is_read() {
        let last = Some(Position { epoch: 5, version: 7 });
        assert_eq!(wanted(&json!({"type": "PING", "timestamp": 1.5})), ClientRequest::Ping { timestamp: json!(1.5) });
        assert_eq!(wanted(&json!({"type": "PING"})), ClientRequest::Ping { timestamp: Value::Null });
        let reconnect = json!({"type": "RECONNECT", "sessionId": "s", "last_known_epoch": 5, "last_known_version": 7, "reconnect_attempt": 2});
        assert_eq!(wanted(&reconnect), ClientRequest::Reconnect { last });
        assert_eq!(
            wanted(&json!({"type": "RECONNECT", "last_known_version": 7})),
            ClientRequest::Reconnect { last: None }
        );
        assert_eq!(wanted(&json!({"type": "AUTH", "token": "t"})), ClientRequest::Auth { token: "t".to_owned() });
        assert_eq!(
            wanted(&json!({"type": "SUBSCRIBE", "session_id": "s", "last": "5-7"})),
            ClientRequest::Subscribe { last }
        );
        assert_eq!(
            wanted(&json!({"type": "SUBSCRIBE", "session_id": "s", "last": 5})),
            ClientRequest::Subscribe { last: None }
        );
        assert_eq!(wanted(&json!({"type": "UNSUBSCRIBE", "session_id": "s"})), ClientRequest::Unsubscribe);
    }

    #[test]
    fn a_command_keeps_all_that_belongs_to_it() {
        let frame = json!({"type": "COMMAND", "id": 3, "session_id": "s", "command": "pause", "reason": "tea", "idempotency_key": "k"});
        let frame = read(&frame.to_string()).unwrap();
        assert_eq!(frame.regarding.id, Some(json!(3)));
        assert_eq!(frame.regarding.session.unwrap().as_str(), "s");
        let ClientRequest::Command(body, None) = frame.wanted else { panic!("it is a command") };
        assert_eq!(Value::Object(body), json!({"command": "pause", "reason": "tea", "idempotency_key": "k"}));
    }

    #[test]
    fn a_signature_stands_last_and_is_over_the_text_before_it() {
        let before = r#"{"type":"COMMAND", "command":"pause""#;
        let frame = read(&format!(r#"{before},"signature":"t=1"}}"#)).unwrap();
        let ClientRequest::Command(body, Some(signed)) = frame.wanted else { panic!("it is a signed command") };
        assert_eq!(Value::Object(body), json!({"command": "pause"}));
        assert_eq!(signed, SignedFrame { signature: "t=1".into(), digest: Digest::of(before.as_bytes()) });
        for bad in [
            r#"{"type":"COMMAND","signature":"t=1","command":"pause"}"#,
            r#"{"type":"COMMAND","command":"pause","signature":"t=1" }"#,
            r#"{"type":"COMMAND","command":"pause","signature": "t=1"}"#,
            r#"{"type":"COMMAND","command":"pause", "signature":"t=1"}"#,
            r#"{"type":"COMMAND","command":"pause","signature":7}"#,
            r#"{"type":"COMMAND","command":"pause","signature":null}"#,
            "{\"type\":\"COMMAND\",\"command\":\"pause\",\"signature\":\"t\\u003d1\"}",
        ] {
            assert_eq!(read(bad).unwrap_err().problem.of, Code::Invalid, "{bad}");
        }
    }

    #[test]
    fn what_is_not_understood_is_answered_to_whom_it_may_concern() {
        for (text, code, id) in [
            ("", Code::Malformed, None),
            ("{", Code::Malformed, None),
            ("[]", Code::Invalid, None),
            (r#"{"id":1}"#, Code::Invalid, Some(json!(1))),
            (r#"{"type":"DANCE","id":"a"}"#, Code::Invalid, Some(json!("a"))),
            (r#"{"type":7}"#, Code::Invalid, None),
            (r#"{"type":"PING","extra":1,"id":2}"#, Code::Invalid, Some(json!(2))),
            (r#"{"type":"PING","timestamp":{}}"#, Code::Invalid, None),
            (r#"{"type":"PING","id":{}}"#, Code::Invalid, None),
            (r#"{"type":"RECONNECT"}"#, Code::Invalid, None),
            (r#"{"type":"RECONNECT","last_known_version":-1}"#, Code::Invalid, None),
            (r#"{"type":"AUTH"}"#, Code::Invalid, None),
            (r#"{"type":"SUBSCRIBE","session_id":"a b"}"#, Code::SessionNotFound, None),
        ] {
            let refused = read(text).unwrap_err();
            assert_eq!((refused.problem.of, refused.regarding.id), (code, id), "{text}");
        }
    }
}
