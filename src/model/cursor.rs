//! The opaque cursor of a page: where the next page starts, as a key and never as an offset.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::hex;

/// Which list a cursor is of: the method, and what its items and their order were chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListTag(u32);

impl ListTag {
    /// Returns the tag of a list that a text names.
    pub fn of(list: &str) -> Self {
        let [first, second, third, fourth, ..] = Sha256::digest(list).0;
        Self(u32::from_be_bytes([first, second, third, fourth]))
    }
}

/// Where a page ended. Clients hand it back as they got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    list: ListTag,
    number: i64,
    key: String,
}

impl Cursor {
    /// Returns the cursor behind the row of a list with this number and this text key.
    pub fn after(list: ListTag, number: i64, key: &str) -> Self {
        Self { list, number, key: key.to_owned() }
    }

    /// Returns the cursor of a text; `None` where it was never one.
    fn parse(text: &str) -> Option<Self> {
        let (list, position) = text.split_once('.')?;
        let (number, hex) = position.split_once('.')?;
        if !hex.is_ascii() || hex.len() % 2 != 0 {
            return None;
        }
        let bytes: Option<Vec<u8>> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok())
            .collect();
        let cursor = Self {
            list: ListTag(u32::from_str_radix(list, 16).ok()?),
            number: number.parse().ok()?,
            key: String::from_utf8(bytes?).ok()?,
        };
        // There is one way to write it: no signs, no zeros in front, no capitals.
        (cursor.to_string() == text).then_some(cursor)
    }

    /// Returns which list it is of.
    pub fn list(&self) -> ListTag {
        self.list
    }

    /// Returns the number and the text key of the row the page ended with.
    pub fn position(&self) -> (i64, String) {
        (self.number, self.key.clone())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{}.", self.list.0, self.number)?;
        f.write_str(&hex(self.key.as_bytes()))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom("not a cursor; use the next_cursor of the page before")
        })
    }
}

impl JsonSchema for Cursor {
    fn schema_name() -> Cow<'static, str> {
        "Cursor".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Opaque: the next_cursor of the page before, for the same method and params.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_it_was_made_of() {
        let list = ListTag::of("a list");
        assert_ne!(list, ListTag::of("another"));
        let cursor = Cursor::after(list, -5, "é.7");
        let text = serde_json::to_string(&cursor).expect("serializes");
        let back: Cursor = serde_json::from_str(&text).expect("a cursor");
        assert_eq!((back.list(), back.position()), (list, (-5, "é.7".to_owned())));
    }

    #[test]
    fn refuses_what_was_never_a_cursor() {
        for position in
            ["", "5", "x.00", "5.0", "5.zz", "5.ff", "5.é0", "+5.", "05.", "-0.", "5.4A"]
        {
            for text in [position.to_owned(), format!("0a0b0c0d.{position}")] {
                assert_eq!(Cursor::parse(&text), None, "{text}");
            }
        }
        for text in
            ["0A0b0c0d.5.", "a0b0c0d.5.", "+a0b0c0d.5.", "00a0b0c0d.5.", ".5.", "0a0b0c0d.5.4a."]
        {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
        assert!(Cursor::parse("0a0b0c0d.5.4a").is_some());
    }
}
