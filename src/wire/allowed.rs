//! What a field may hold, in words, for refusals.

use crate::domain::time::MAX_SPAN_MS;

const ID: &str = "1 to 128 characters of A-Z a-z 0-9 _ . : - that begin with a letter or digit";
const INSTANT: &str = "an RFC 3339 instant such as 2026-01-01T00:00:00.000Z, or milliseconds since 1970";

/// The longest span, as it stands in the words below.
const MAX_SPAN_TEXT: &str = "3162240000000";
const SPAN: &str = "a whole number of milliseconds from 0 to 3162240000000 (a hundred years)";
const CHANGE: &str = "a whole number of milliseconds from -3162240000000 to 3162240000000 (a hundred years)";
const WARNING: &str = "a whole number of milliseconds from 1 to 3162240000000 (a hundred years)";

const _: () = assert!(MAX_SPAN_TEXT.len() == 13 && MAX_SPAN_MS == 3_162_240_000_000, "the words name the bound");

/// What the field at `pointer` takes, by its name: a name means the same wherever it stands.
pub fn value(pointer: &str) -> Option<&'static str> {
    let is_index = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (list, name) = match pointer.rsplit_once('/') {
        Some((before, index)) if is_index(index) => (true, before.rsplit('/').next().unwrap_or_default()),
        Some((_, name)) => (false, name),
        None => (false, pointer),
    };
    Some(match name {
        "warnings_ms" if list => WARNING,
        _ if list => return None,
        "add_ms" if !pointer.contains("/stages/") => CHANGE,
        "ttl_ms" => "a whole number of milliseconds from 1000 to 86400000 (a day)",
        "client_time_ms" | "origin_ms" => "a number of milliseconds since 1970",
        "warnings_ms" => "a list of at most 16 whole numbers of milliseconds, each from 1",
        "participant_index" | "free_cycles" => "a whole number from 0 to 4294967295",
        "cycles" if pointer.contains("/stages/") => "a whole number from 1 to 4294967295",
        "cycles" | "periods" => "a whole number from 1 to 1000",
        "to_version" | "expected_version" => "a whole number, a version of the session",
        "at" => INSTANT,
        "type" if pointer.contains("/delay/") => "simple or bronstein",
        "type" if pointer.contains("/overtime/") => "byoyomi or canadian",
        "type" if pointer.contains("/action_on_timeout/") => "expire, advance, pause, complete or continue",
        "reason" => "a text of 1 to 64 bytes without control characters",
        "sub" => "a text of 1 to 256 bytes",
        "metadata" => "an object of at most 8192 bytes as JSON",
        "participants" => "a list of at most 1024 objects, each with a participant_id",
        "groups" => "a list of at most 1024 objects, each with a group_id",
        "stages" => "a list of at most 16 objects, each with cycles and add_ms",
        name if name.ends_with("_ms") => SPAN,
        name if name.ends_with("_id") => ID,
        _ => return None,
    })
}

/// A type as a caller knows it, by the name that the library gives it.
pub fn type_named(name: &str) -> &'static str {
    match name {
        "i64" => "a whole number from -9223372036854775808 to 9223372036854775807",
        "u64" => "a whole number from 0 to 18446744073709551615",
        "u32" => "a whole number from 0 to 4294967295",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "a sequence" => "a list",
        name if name.contains("RFC 3339") => INSTANT,
        _ => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_name_the_bounds_that_hold() {
        assert_eq!(MAX_SPAN_TEXT, MAX_SPAN_MS.to_string());
        for words in [SPAN, CHANGE, WARNING] {
            assert!(words.contains(MAX_SPAN_TEXT), "{words}");
        }
        let refused = crate::domain::id::SessionId::new("").unwrap_err().to_string();
        assert!(refused.contains(&ID[..42]), "{refused}");
    }

    #[test]
    fn a_field_is_known_by_its_name_and_its_place() {
        assert_eq!(value("/add_ms"), Some(CHANGE));
        assert_eq!(value("/time_control/stages/0/add_ms"), Some(SPAN));
        assert_eq!(value("/warnings_ms/3"), Some(WARNING));
        assert_eq!(value("/participants/0/participant_id"), Some(ID));
        assert_eq!(value("/participants/0"), None);
        assert_eq!(value("/colour"), None);
    }
}
