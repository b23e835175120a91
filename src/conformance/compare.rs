//! The differences between a vector and the result.

use std::fmt;

use serde_json::{Map, Value};

use crate::domain::time::Timestamp;
use crate::wire::instant;

/// One part that differs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    path: String,
    expected: String,
    came: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, came {}", self.path, self.expected, self.came)
    }
}

impl Difference {
    pub fn new(path: impl Into<String>, expected: impl Into<String>, came: impl Into<String>) -> Self {
        Self { path: path.into(), expected: expected.into(), came: came.into() }
    }

    fn between(path: &str, expected: &Value, came: &Value) -> Self {
        let said = |value: &Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
        Self::new(path, said(expected), said(came))
    }
}

/// Every part of `expected` that `came` does not have so. Objects may hold
/// more than is expected, lists may not.
pub(super) fn differences(path: &str, expected: &Value, came: &Value) -> Vec<Difference> {
    match (expected, came) {
        (Value::Object(expected), Value::Object(came)) => within(path, expected, came),
        (Value::Array(expected), Value::Array(items)) if expected.len() == items.len() => expected
            .iter()
            .zip(items)
            .zip(0..)
            .flat_map(|((expected, came), at)| differences(&format!("{path}.{at}"), expected, came))
            .collect(),
        _ if is_same(expected, came) => Vec::new(),
        _ => vec![Difference::between(path, expected, came)],
    }
}

fn within(path: &str, expected: &Map<String, Value>, came: &Map<String, Value>) -> Vec<Difference> {
    let part = |(key, expected): (&String, &Value)| {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match came.get(key) {
            Some(came) => differences(&path, expected, came),
            None => vec![Difference::new(path, expected.to_string(), "nothing")],
        }
    };
    expected.iter().flat_map(part).collect()
}

/// An instant may be given in milliseconds too, as `at_ms` is.
fn is_same(expected: &Value, came: &Value) -> bool {
    let ms = |value: &Value| instant::parse(value.as_str()?).map(Timestamp::as_ms);
    expected == came || (expected.is_i64() && ms(came).is_some_and(|ms| Some(ms) == expected.as_i64()))
}
