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
    actual: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, came {}", self.path, self.expected, self.actual)
    }
}

impl Difference {
    pub fn new(path: impl Into<String>, expected: impl Into<String>, actual: impl Into<String>) -> Self {
        Self { path: path.into(), expected: expected.into(), actual: actual.into() }
    }

    fn between(path: &str, expected: &Value, actual: &Value) -> Self {
        let shown = |value: &Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
        Self::new(path, shown(expected), shown(actual))
    }
}

/// Every part of `expected` that `came` does not have so. Objects may hold
/// more than is expected, lists may not.
pub(super) fn differences(path: &str, expected: &Value, actual: &Value) -> Vec<Difference> {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => within(path, expected, actual),
        (Value::Array(expected), Value::Array(items)) if expected.len() == items.len() => expected
            .iter()
            .zip(items)
            .zip(0..)
            .flat_map(|((expected, actual), at)| differences(&format!("{path}.{at}"), expected, actual))
            .collect(),
        _ if is_same(expected, actual) => Vec::new(),
        _ => vec![Difference::between(path, expected, actual)],
    }
}

fn within(path: &str, expected: &Map<String, Value>, actual: &Map<String, Value>) -> Vec<Difference> {
    let part = |(key, expected): (&String, &Value)| {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match actual.get(key) {
            Some(actual) => differences(&path, expected, actual),
            None => vec![Difference::new(path, expected.to_string(), "nothing")],
        }
    };
    expected.iter().flat_map(part).collect()
}

/// An instant may be given in milliseconds too, as `at_ms` is.
fn is_same(expected: &Value, actual: &Value) -> bool {
    let ms = |value: &Value| instant::parse(value.as_str()?).map(Timestamp::as_ms);
    expected == actual || (expected.is_i64() && ms(actual).is_some_and(|ms| Some(ms) == expected.as_i64()))
}
