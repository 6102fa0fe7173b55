//! JSON from callers: how many values it may have, and text that is not copied out of it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde_json::{Map, Number, Value};

use super::super::problem::Problem;
use super::query::too_many;

/// Refuses text with more than `most` values, before anything is made of them: a value takes many times the byte
/// or two that it can be written in.
pub(super) fn bounded(text: &[u8], most: usize) -> Result<(), Problem> {
    let (mut values, mut rest) = (1, text.iter());
    while let Some(byte) = rest.next() {
        match byte {
            // Each value but the first comes after one of these; which of them are values is the parser's to say.
            b',' | b'[' | b'{' | b':' => values += 1,
            b'"' => while rest.next().is_some_and(|b| *b != b'"' && (*b != b'\\' || rest.next().is_some())) {},
            _ => {}
        }
        if values > most {
            return Err(too_many("the JSON", most));
        }
    }
    Ok(())
}

/// A value whose text is borrowed where it can be: a photo in base64 is not copied.
pub(super) enum Json<'de> {
    Text(Cow<'de, str>),
    List(Vec<Json<'de>>),
    Other(Value),
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Json<'de>, E> {
                Ok(Json::Other(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
                Ok(Json::Other(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
                Ok(Json::Other(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
                Ok(Json::Other(value.into()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Json<'de>, E> {
                Ok(Json::Other(Number::from_f64(value).map_or(Value::Null, Value::Number)))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
                Ok(Json::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
                Ok(Json::Text(Cow::Owned(text.to_string())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Json::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Json<'de>, A::Error> {
                Map::deserialize(MapAccessDeserializer::new(members)).map(|m| Json::Other(Value::Object(m)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// An object's members, in the order in which they were sent.
pub(super) struct Members<'de>(pub Vec<(String, Json<'de>)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Members<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = members.next_entry()? {
                    all.push(member);
                }
                Ok(Members(all))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(values).sum::<usize>(),
            Value::Object(members) => 1 + members.values().map(|v| 1 + values(v)).sum::<usize>(),
            _ => 1,
        }
    }

    #[test]
    fn no_text_has_more_values_than_are_counted() {
        for text in [
            "1",
            "[]",
            "{}",
            r#"["", "a,b,c[{", "\"," , "\\", ","]"#,
            r#"{"a,b": {"c": [1, [2, 3], {"d": ":"}]}, "e": null}"#,
            r#"[[[[]]], {"x": [{}]}]"#,
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            let most = (1..).find(|most| bounded(text.as_bytes(), *most).is_ok()).unwrap();
            assert!((values(&value)..=2 * values(&value)).contains(&most), "{text}: {most}");
        }
        // Text that ends in the middle of a string ends.
        for broken in [r#"["abc"#, r#"["abc\"#, "\"", "", ",,,"] {
            assert!(bounded(broken.as_bytes(), 10).is_ok(), "{broken}");
        }
    }

    #[test]
    fn many_empty_values_are_refused_and_a_long_text_is_not() {
        let many = format!("[{}\"\"]", "\"\",".repeat(5_000_000));
        assert_eq!(bounded(many.as_bytes(), 1024).unwrap_err().code(), "request.too_many_values");
        let long = format!("{{\"file\": \"{}\"}}", ",".repeat(15_000_000));
        assert!(bounded(long.as_bytes(), 1024).is_ok());
        let Members(members) = serde_json::from_str(&long).unwrap();
        assert!(matches!(&members[0].1, Json::Text(Cow::Borrowed(t)) if t.len() == 15_000_000));
    }
}
