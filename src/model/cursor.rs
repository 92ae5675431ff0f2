//! The opaque cursor of a page: where the next page starts, as a key and never as an offset.

use std::borrow::Cow;
use std::fmt::Write as _;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// Where a page ended. Clients hand it back as they got it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// Returns the cursor behind the row with this number and this text key.
    pub fn after(number: i64, key: &str) -> Self {
        let mut text = String::with_capacity(20 + key.len() * 2);
        write!(text, "{number}").expect("a String takes all");
        text.push('.');
        for byte in key.bytes() {
            write!(text, "{byte:02x}").expect("a String takes all");
        }
        Self(text)
    }

    /// Returns the number and the key, or `None` where the text was never a cursor.
    fn parts(text: &str) -> Option<(i64, String)> {
        let (number, hex) = text.split_once('.')?;
        if !hex.is_ascii() || hex.len() % 2 != 0 {
            return None;
        }
        let bytes: Option<Vec<u8>> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok())
            .collect();
        Some((number.parse().ok()?, String::from_utf8(bytes?).ok()?))
    }

    /// Returns the number and the text key of the row the page ended with.
    pub fn position(&self) -> (i64, String) {
        Self::parts(&self.0).expect("checked when the cursor was made")
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if Self::parts(&text).is_none() {
            return Err(serde::de::Error::custom(
                "not a cursor; use the next_cursor of the page before",
            ));
        }
        Ok(Self(text))
    }
}

impl JsonSchema for Cursor {
    fn schema_name() -> Cow<'static, str> {
        "Cursor".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Opaque: the next_cursor of the page before.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_it_was_made_of() {
        let cursor = Cursor::after(-5, "é.7");
        let text = serde_json::to_string(&cursor).expect("serializes");
        let back: Cursor = serde_json::from_str(&text).expect("a cursor");
        assert_eq!(back.position(), (-5, "é.7".to_owned()));
    }

    #[test]
    fn refuses_what_was_never_a_cursor() {
        for text in ["", "5", "x.00", "5.0", "5.zz", "5.ff", "5.é0"] {
            let json = serde_json::to_string(text).expect("serializes");
            assert!(serde_json::from_str::<Cursor>(&json).is_err(), "{text}");
        }
    }
}
