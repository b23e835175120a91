//! From a JSON object to a typed body, strictly as the body is defined.
//!
//! The library takes a list for an object (field by field) and an object for a word.
//! Here each is refused, and a refusal says what is allowed in that place.

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer as _, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use super::allowed;
use super::json::escaped;

/// A part of a body that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// JSON pointer to the part.
    pub pointer: String,
    /// What is allowed there.
    pub detail: String,
}

/// Reads a body. `beside` names the fields that were taken out of it before.
pub fn read<T: DeserializeOwned>(body: Map<String, Value>, beside: &[&str]) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(Part(Value::Object(body))).map_err(|error| {
        let pointer = pointer(error.path());
        // A field that is unknown is named by the pointer, so one of the body itself has one part.
        let beside = if pointer.matches('/').count() <= 1 { beside } else { &[] };
        let detail = error.inner().detail(&pointer, beside);
        Refusal { pointer, detail }
    })
}

/// A path as a JSON pointer. A word is no part of the way: it is what stands at its end.
fn pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } => pointer + "/" + &escaped(key),
        Segment::Enum { .. } | Segment::Unknown => pointer,
    })
}

/// What a reader found instead of what it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mismatch {
    UnknownField(&'static [&'static str]),
    MissingField(&'static str),
    /// None of the words that are known.
    Word(&'static [&'static str]),
    /// No object; these are the fields of the one that is wanted.
    Object(&'static [&'static str]),
    /// Of another type than that, as the library names it.
    Type(String),
    /// In the words of the type that refuses.
    Own(String),
}

impl Mismatch {
    fn detail(&self, pointer: &str, beside: &[&str]) -> String {
        match self {
            Self::UnknownField(fields) => match [*fields, beside].concat().as_slice() {
                [] => "is not a field here; no field is".to_owned(),
                fields => format!("is not a field here; allowed are {}", fields.join(", ")),
            },
            Self::MissingField(field) => {
                let value = allowed::value(&format!("{pointer}/{field}")).unwrap_or("which is missing");
                format!("needs the field {field}, {value}")
            }
            Self::Word(words) => format!("must be one of {}", words.join(", ")),
            Self::Object(fields) => format!("must be an object with fields of {}", fields.join(", ")),
            Self::Type(name) => format!("must be {}", allowed::value(pointer).unwrap_or(allowed::type_named(name))),
            Self::Own(words) => words.clone(),
        }
    }
}

impl std::error::Error for Mismatch {}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail("", &[]))
    }
}

impl serde::de::Error for Mismatch {
    fn custom<T: fmt::Display>(words: T) -> Self {
        Self::Own(words.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Type(expected.to_string())
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Type(expected.to_string())
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::Type(expected.to_string())
    }

    fn unknown_field(_: &str, fields: &'static [&'static str]) -> Self {
        Self::UnknownField(fields)
    }

    fn unknown_variant(_: &str, words: &'static [&'static str]) -> Self {
        Self::Word(words)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::MissingField(field)
    }
}

/// One value of the body.
struct Part(Value);

impl<'de> Deserializer<'de> for Part {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), ..) => visitor.visit_u64(value),
                (None, Some(value), _) => visitor.visit_i64(value),
                (None, None, value) => visitor.visit_f64(value.unwrap_or_default()),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(list) => visitor.visit_seq(Items(list.into_iter())),
            Value::Object(object) => visitor.visit_map(Fields { left: object.into_iter(), value: Value::Null }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        if self.0.is_object() { self.deserialize_any(visitor) } else { Err(Mismatch::Object(fields)) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::String(word) => visitor.visit_enum(word.into_deserializer()),
            _ => Err(Mismatch::Word(words)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items(std::vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Mismatch;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mismatch> {
        self.0.next().map(|value| seed.deserialize(Part(value))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Fields {
    left: serde_json::map::IntoIter,
    /// Of the field that was named last.
    value: Value,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Mismatch;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mismatch> {
        let Some((name, value)) = self.left.next() else { return Ok(None) };
        self.value = value;
        let name: StringDeserializer<Mismatch> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Mismatch> {
        seed.deserialize(Part(self.value.take()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
        Blue,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        add_ms: i64,
        colour: Colour,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        inner: Option<Inner>,
        list: Option<Vec<Inner>>,
        number: Option<u32>,
        metadata: Option<Map<String, Value>>,
    }

    fn outer(body: Value) -> Result<Outer, (String, String)> {
        let Value::Object(body) = body else { panic!("an object") };
        read(body, &["expected_version"]).map_err(|refusal| (refusal.pointer, refusal.detail))
    }

    #[test]
    fn a_body_is_read_as_it_is_written_down() {
        let read = outer(json!({"inner": {"add_ms": 1, "colour": "blue"}, "list": null, "metadata": {"x": [1, {}]}}));
        let metadata = json!({"x": [1, {}]}).as_object().cloned();
        let inner = Some(Inner { add_ms: 1, colour: Colour::Blue });
        assert_eq!(read, Ok(Outer { inner, list: None, number: None, metadata }));
    }

    #[test]
    fn a_list_is_no_object_and_an_object_is_no_word() {
        for (body, pointer) in [
            (json!({"inner": [1, "red"]}), "/inner"),
            (json!({"list": [[1, "red"]]}), "/list/0"),
            (json!({"inner": {"add_ms": 1, "colour": {"red": null}}}), "/inner/colour"),
            (json!({"metadata": []}), "/metadata"),
            (json!({"list": {}}), "/list"),
        ] {
            assert_eq!(outer(body.clone()).unwrap_err().0, pointer, "{body}");
        }
    }

    #[test]
    fn a_refusal_names_what_is_allowed() {
        for (body, pointer, detail) in [
            (json!({"x": 1}), "/x", "is not a field here; allowed are inner, list, number, metadata, expected_version"),
            (json!({"inner": {"x": 1}}), "/inner/x", "is not a field here; allowed are add_ms, colour"),
            (json!({"inner": 7}), "/inner", "must be an object with fields of add_ms, colour"),
            (json!({"inner": {"add_ms": 1, "colour": "green"}}), "/inner/colour", "must be one of red, blue"),
            (json!({"inner": {"add_ms": 1, "colour": 7}}), "/inner/colour", "must be one of red, blue"),
            (json!({"inner": {"add_ms": 1}}), "/inner", "needs the field colour, which is missing"),
            (json!({"number": -1}), "/number", "must be a whole number from 0 to 4294967295"),
            (json!({"number": 4_294_967_296_u64}), "/number", "must be a whole number from 0 to 4294967295"),
            (json!({"list": 7}), "/list", "must be a list"),
        ] {
            assert_eq!(outer(body.clone()), Err((pointer.to_owned(), detail.to_owned())), "{body}");
        }
    }
}
