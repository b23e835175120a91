//! What clients say on a WebSocket: a frame is read or refused in our words, and so is the command in it.

use serde_json::Value;

use super::first;
use crate::stream::ws::client::{self, ClientRequest};
use crate::wire::api_error::ApiError;
use crate::wire::command;
use crate::wire::json::MAX_DEPTH;

/// The longest `id` that is echoed.
const MAX_ID: usize = 256;

/// The first byte is no part of the frame: it chooses the command whose body the frame also is.
pub fn check(input: &[u8]) {
    let Some((choice, bytes)) = first(input) else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match client::read(text) {
        Ok(frame) => {
            let plain: Value = serde_json::from_str(text).expect("what is a frame is JSON");
            assert!(depth(&plain) <= MAX_DEPTH, "a frame deeper than allowed");
            let id = frame.regarding.id.as_ref().and_then(Value::as_str).unwrap_or_default();
            assert!(id.len() <= MAX_ID, "an id too long to be echoed");
            if let ClientRequest::Command(body) = frame.wanted {
                read_command(choice, body);
            }
        }
        Err(refused) => check_problem(&refused.problem.json()),
    }
}

fn read_command(choice: u8, mut body: serde_json::Map<String, Value>) {
    let named = body.remove("command");
    let name = named.as_ref().and_then(Value::as_str);
    let name = name.unwrap_or(command::COMMANDS[usize::from(choice) % command::COMMANDS.len()]);
    if let Err(error) = command::read(name, body) {
        check_problem(&ApiError::from(error).0.json());
    }
}

/// A refusal is a JSON object that names its code, and is no larger than what is worth sending.
fn check_problem(json: &[u8]) {
    let problem: Value = serde_json::from_slice(json).expect("a problem document is JSON");
    assert!(problem["code"].is_string(), "a refusal without a code: {problem}");
    assert!(json.len() < 8 * 1_024, "a refusal of {} bytes", json.len());
}

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(fields) => fields.values().map(depth).max(),
        _ => return 0,
    };
    1 + inner.unwrap_or(0)
}
