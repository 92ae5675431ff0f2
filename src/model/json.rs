//! JSON that is kept as it was sent, to the letter.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// Any JSON value, kept as its text: numbers keep their digits, objects their order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Returns the value of a text, or what is wrong with the text.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// Returns the value's text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Returns the JSON of a serializable value.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl JsonSchema for Json {
    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "Any JSON value, kept to the letter." })
    }
}

/// Turns the line breaks of a JSON text into spaces, so that it is one line.
///
/// In valid JSON they stand between tokens only, where a space means the same.
pub fn join_lines(json: &mut [u8]) {
    for byte in json {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// A JSON object, kept as its text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct JsonObject(Json);

impl JsonObject {
    /// Returns the object of a text, or what is wrong with the text.
    pub fn parse(text: String) -> Result<Self, String> {
        let json = Json::parse(text).map_err(|error| error.to_string())?;
        Self::of(json)
    }

    fn of(json: Json) -> Result<Self, String> {
        if json.as_str().starts_with('{') {
            Ok(Self(json))
        } else {
            Err("expected a JSON object".to_owned())
        }
    }

    /// Returns the object's text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Applies a merge patch (RFC 7396): a null removes a member, an object merges, all else replaces.
    ///
    /// Numbers keep their digits; an exponent is written anew, `1E400` as `1e+400`.
    pub fn merged(current: Option<&Self>, patch: &Self) -> Result<Self, serde_json::Error> {
        let mut value: serde_json::Value = match current {
            Some(current) => serde_json::from_str(current.as_str())?,
            None => serde_json::Value::Object(serde_json::Map::new()),
        };
        merge(&mut value, serde_json::from_str(patch.as_str())?);
        Ok(Self(Json::of(&value)?))
    }
}

fn merge(target: &mut serde_json::Value, patch: serde_json::Value) {
    let serde_json::Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = serde_json::Value::Object(serde_json::Map::new());
    }
    let members = target.as_object_mut().expect("made an object above");
    for (name, value) in patch {
        if value.is_null() {
            members.shift_remove(&name);
        } else {
            merge(members.entry(name).or_insert(serde_json::Value::Null), value);
        }
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(Json::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for JsonObject {
    fn schema_name() -> Cow<'static, str> {
        "JsonObject".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "description": "A JSON object, kept to the letter." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> JsonObject {
        JsonObject::parse(text.to_owned()).expect("an object")
    }

    /// The test cases of RFC 7396, appendix A, whose target is an object.
    #[test]
    fn merges_as_rfc_7396_says() {
        for (target, patch, merged) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            let result = JsonObject::merged(Some(&object(target)), &object(patch)).expect("merges");
            assert_eq!(result.as_str(), merged, "{target} with {patch}");
        }
    }

    #[test]
    fn numbers_keep_their_digits_through_a_merge() {
        let result = JsonObject::merged(
            Some(&object(r#"{"big":123456789012345678901234567890,"f":1.10}"#)),
            &object(r#"{"e":1E400}"#),
        )
        .expect("merges");
        assert_eq!(
            result.as_str(),
            r#"{"big":123456789012345678901234567890,"f":1.10,"e":1e+400}"#
        );
    }
}
