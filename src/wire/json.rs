//! JSON text as it must come: one object, each field once, no deeper than allowed.
//!
//! The library keeps the last of two equal fields. A proxy or a client may keep the
//! first, and then two sides of one connection read two different commands.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// Objects and lists inside each other, at most.
pub const MAX_DEPTH: usize = 16;

/// Why a text is not the object it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonError {
    /// No JSON; where that shows, as a line from 1 and a byte in it.
    Malformed {
        /// The line, from 1.
        line: usize,
        /// The byte in that line.
        byte: usize,
    },
    /// JSON, but no object.
    NoObject,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// A field stands twice.
    Twice {
        /// JSON pointer to it.
        pointer: String,
    },
}

/// Reads an object.
pub fn object(text: &[u8]) -> Result<Map<String, Value>, JsonError> {
    let mut reading = Reading::default();
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Part(&mut reading).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match read {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(JsonError::NoObject),
        Err(error) => Err(reading.refusal(&error)),
    }
}

/// How far a text was read, and the fault in it.
#[derive(Default)]
struct Reading {
    depth: usize,
    fault: Option<Fault>,
    /// Where the fault is, innermost first.
    path: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    TooDeep,
    Twice,
}

impl Reading {
    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.depth += 1;
        if self.depth <= MAX_DEPTH {
            return Ok(());
        }
        self.fault = Some(Fault::TooDeep);
        Err(E::custom("nested too deep"))
    }

    /// Records the path to a fault; malformed text is reported by its line and byte.
    fn came_through(&mut self, part: impl FnOnce() -> String) {
        if self.fault == Some(Fault::Twice) {
            self.path.push(part());
        }
    }

    fn refusal(self, error: &serde_json::Error) -> JsonError {
        match self.fault {
            Some(Fault::TooDeep) => JsonError::TooDeep,
            Some(Fault::Twice) => {
                let parts = self.path.iter().rev();
                JsonError::Twice { pointer: parts.fold(String::new(), |pointer, part| pointer + "/" + &escaped(part)) }
            }
            None => JsonError::Malformed { line: error.line(), byte: error.column() },
        }
    }
}

/// A name as it stands in a JSON pointer (RFC 6901).
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// One value of the text.
struct Part<'a>(&'a mut Reading);

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Value, A::Error> {
        let Self(reading) = self;
        reading.enter::<A::Error>()?;
        let mut list = Vec::new();
        loop {
            match parts.next_element_seed(Part(reading)) {
                Ok(Some(value)) => list.push(value),
                Ok(None) => break,
                Err(error) => {
                    reading.came_through(|| list.len().to_string());
                    return Err(error);
                }
            }
        }
        reading.depth -= 1;
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Value, A::Error> {
        let Self(reading) = self;
        reading.enter::<A::Error>()?;
        let mut object = Map::new();
        while let Some(name) = parts.next_key::<String>()? {
            let value = match parts.next_value_seed(Part(reading)) {
                Ok(value) => value,
                Err(error) => {
                    reading.came_through(|| name);
                    return Err(error);
                }
            };
            match object.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(place) => {
                    reading.fault = Some(Fault::Twice);
                    reading.came_through(|| place.key().clone());
                    return Err(A::Error::custom("a field stands twice"));
                }
            }
        }
        reading.depth -= 1;
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &[u8]) -> JsonError {
        object(text).unwrap_err()
    }

    #[test]
    fn a_field_that_stands_twice_is_named_wherever_it_is() {
        let twice = |text: &str, pointer: &str| {
            assert_eq!(refused(text.as_bytes()), JsonError::Twice { pointer: pointer.to_owned() }, "{text}");
        };
        twice(r#"{"a":1,"a":1}"#, "/a");
        twice(r#"{"a":1,"\u0061":2}"#, "/a");
        twice(r#"{"":1,"":2}"#, "/");
        twice(r#"{"p":[{"x":1},{"x":1,"y":{"b/c~":1,"b/c~":2}}]}"#, "/p/1/y/b~1c~0");
        twice(r#"{"metadata":{"x":null,"x":null}}"#, "/metadata/x");
        assert!(object(br#"{"a":{"x":1},"b":{"x":1},"x":[{"x":1},{"x":1}]}"#).is_ok());
    }

    #[test]
    fn nesting_is_counted_outside_of_texts_only() {
        let deep = |levels: usize| [b"{\"a\":".repeat(levels), b"1".to_vec(), b"}".repeat(levels)].concat();
        assert!(object(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(refused(&deep(MAX_DEPTH + 1)), JsonError::TooDeep);
        assert_eq!(refused(&[b"{\"a\":".to_vec(), b"[".repeat(60_000)].concat()), JsonError::TooDeep);
        assert!(object(br#"{"a":"[[[[[[[[[[[[[[[[[[[[[[\"[["}"#).is_ok());
    }

    #[test]
    fn a_text_without_an_object_differs_from_malformed_json() {
        for text in ["[1]", "null", "\"x\"", "7"] {
            assert_eq!(refused(text.as_bytes()), JsonError::NoObject, "{text}");
        }
        for text in [&b"{"[..], b"", b"\xff", b"{}{}", b"{\"a\":1,}", b"{\"a\":\"\\ud800\"}", b"{'a':1}", b"NaN"] {
            assert!(matches!(refused(text), JsonError::Malformed { .. }), "{text:?}");
        }
        assert_eq!(refused(b"{\"a\":1,\n x}"), JsonError::Malformed { line: 2, byte: 2 });
    }

    fn json() -> impl Strategy<Value = Value> {
        let plain = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        plain.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..8)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_reads_what_the_library_reads(value in json()) {
            let text = serde_json::json!({"value": value}).to_string();
            let expected: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(object(text.as_bytes()).map(Value::Object), Ok(expected));
        }
    }
}
