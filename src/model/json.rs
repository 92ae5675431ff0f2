//! JSON that is kept as it was sent, to the letter.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::limits::MAX_JSON_DEPTH;
use super::merge;

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

    /// Returns the object after a merge patch (RFC 7396), or what is wrong with either.
    ///
    /// A null removes a member, an object merges, all else replaces; what the patch does not name
    /// keeps every byte.
    pub fn merged(current: Option<&Self>, patch: &Self) -> Result<Self, String> {
        // Before the merge, which goes as deep as the patch.
        check_depth(patch.as_str())?;
        let merged = merge::merged(current.map(Self::as_str), patch.as_str())
            .map_err(|error| error.to_string())?;
        check_depth(&merged)?;
        Self::parse(merged)
    }
}

/// Checks a free value that a client sends, a text that is valid JSON: its depth, and that its
/// strings are Unicode. Half of a surrogate pair is JSON, but most readers of a page would fail on it.
pub fn check_free(json: &str) -> Result<(), String> {
    let found = scan(json);
    check_found_depth(found.depth)?;
    found.half_pair.map_or(Ok(()), |half| Err(half_pair_problem(half)))
}

/// Checks the depth of a text that is valid JSON.
pub fn check_depth(json: &str) -> Result<(), String> {
    check_found_depth(depth_of(json))
}

fn check_found_depth(depth: usize) -> Result<(), String> {
    match depth {
        0..=MAX_JSON_DEPTH => Ok(()),
        _ => Err(format!("nested deeper than {MAX_JSON_DEPTH}")),
    }
}

/// Returns how deep objects and arrays lie in each other in a text that is valid JSON.
pub fn depth_of(json: &str) -> usize {
    scan(json).depth
}

/// Returns what is wrong with the strings of a text that is valid JSON; `None` where they are Unicode.
pub fn half_pair_in(json: &str) -> Option<String> {
    scan(json).half_pair.map(half_pair_problem)
}

fn half_pair_problem(half: u16) -> String {
    format!("has half of a surrogate pair, \\u{half:04x}: not Unicode")
}

/// What a look at every byte of a JSON text finds.
struct Found {
    /// How deep objects and arrays lie in each other.
    depth: usize,
    /// The first escape that is half of a surrogate pair.
    half_pair: Option<u16>,
}

fn scan(json: &str) -> Found {
    let bytes = json.as_bytes();
    let (mut depth, mut deepest, mut in_string, mut half_pair) = (0_usize, 0, false, None);
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => {
                let (length, half) = escape(&bytes[at..]);
                half_pair = half_pair.or(half);
                at += length;
                continue;
            }
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Found { depth: deepest, half_pair }
}

/// Returns the length of the escape that a text starts with, of both where two are a pair, and the
/// surrogate that is no half of a pair.
fn escape(text: &[u8]) -> (usize, Option<u16>) {
    match unit(text) {
        None => (2, None),
        Some(0xD800..=0xDBFF) if matches!(unit(&text[6..]), Some(0xDC00..=0xDFFF)) => (12, None),
        Some(half @ 0xD800..=0xDFFF) => (6, Some(half)),
        Some(_) => (6, None),
    }
}

/// Returns the UTF-16 unit that a text starts with the `\u` escape of.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
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

    fn nested(depth: usize) -> String {
        format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth))
    }

    #[test]
    fn depth_is_counted_outside_strings() {
        let deep = "[".repeat(MAX_JSON_DEPTH) + &"]".repeat(MAX_JSON_DEPTH);
        assert_eq!(check_depth(&deep), Ok(()));
        assert!(check_depth(&format!("[{deep}]")).is_err());
        assert!(check_depth(&format!("{{\"a\":{deep}}}")).is_err());
        let many = vec![r#"{"[[\"{{\\":["]"]}"#; MAX_JSON_DEPTH].join(",");
        assert_eq!(check_depth(&format!("[{many}]")), Ok(()));
        // A million levels are counted, not climbed.
        assert!(check_depth(&"[".repeat(1_000_000)).is_err());
    }

    #[test]
    fn halves_of_surrogate_pairs_are_found() {
        for (json, half) in [
            (r#""\ud83e\udd80""#, None),
            (r#"{"\uD83E\uDD80": ["\u0041", "\\ud83e", "\\\"\\\\ud83e", "é"]}"#, None),
            (r#""\ud83e""#, Some("\\ud83e")),
            (r#"{"\uDD80": 1}"#, Some("\\udd80")),
            (r#""\ud83e\ud83e\udd80""#, Some("\\ud83e")),
            (r#"["\ud83e\udd80", "\ud83ex", "\udd80"]"#, Some("\\ud83e")),
            (r#""\\\ud83e\n""#, Some("\\ud83e")),
            (r#""\ud83e\u0041""#, Some("\\ud83e")),
        ] {
            let problem =
                half.map(|half| format!("has half of a surrogate pair, {half}: not Unicode"));
            assert_eq!(half_pair_in(json), problem, "{json}");
            assert_eq!(check_free(json).err(), problem, "{json}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(json).is_err(), half.is_some());
        }
    }

    #[test]
    fn a_merge_stays_within_the_depth() {
        let (at, over) = (object(&nested(MAX_JSON_DEPTH)), object(&nested(MAX_JSON_DEPTH + 1)));
        let merged = JsonObject::merged(Some(&at), &at).expect("merges");
        assert_eq!(merged.as_str(), at.as_str());
        for (current, patch) in [(&at, &over), (&over, &object("{}"))] {
            let problem = JsonObject::merged(Some(current), patch).expect_err("is too deep");
            assert_eq!(problem, format!("nested deeper than {MAX_JSON_DEPTH}"));
        }
        let abyss = object(&nested(1_000_000));
        assert!(JsonObject::merged(Some(&abyss), &abyss).is_err());
    }
}
