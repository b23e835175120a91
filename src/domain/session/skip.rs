//! Which parts the stored form leaves out.

use serde_json::{Map, Value};

/// Whether a part has its default value.
pub(super) fn is_default<T: Default + PartialEq>(part: &T) -> bool {
    *part == T::default()
}

/// Whether a caller gave no metadata.
pub(super) fn is_empty(metadata: &Map<String, Value>) -> bool {
    metadata.is_empty()
}
