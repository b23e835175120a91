//! A vector as it stands in a file.

use serde::Deserialize;
use serde_json::{Map, Value};

/// One vector, as it stands in a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vector {
    pub name: String,
    pub source: String,
    pub create: Map<String, Value>,
    pub create_refused: Option<String>,
    #[serde(default)]
    pub steps: Vec<VectorStep>,
}

/// A read or a command at an instant, and the expected result.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VectorStep {
    pub at_ms: i64,
    pub command: Option<String>,
    #[serde(default)]
    pub body: Map<String, Value>,
    #[serde(default)]
    pub lag_ms: i64,
    #[serde(default)]
    pub expect: Map<String, Value>,
}
