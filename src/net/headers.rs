//! Lists of words in header fields.

use http::{HeaderMap, HeaderName};

/// Whether one of a header's words is `word`.
pub fn says(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|each| each.trim().eq_ignore_ascii_case(word))
}
