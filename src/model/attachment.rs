//! Attachments: bytes that are named by their hash, and what a message's list says of each.

use std::borrow::Cow;
use std::fmt;

use data_encoding::{BASE64, DecodeError, DecodeKind};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::hex;
use super::limits::{MAX_ATTACHMENT_BYTES, MAX_MIME_PART_CHARS};

/// Hex digits of a hash.
const HASH_DIGITS: usize = 64;

/// The SHA-256 of an attachment's bytes, in lower-case hex: its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AttachmentHash(String);

impl AttachmentHash {
    /// Returns the hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex(&Sha256::digest(bytes)))
    }

    /// Returns the hash of a text, or what is wrong with the text.
    pub fn parse(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == HASH_DIGITS && text.bytes().all(is_digit) {
            return Ok(Self(text));
        }
        Err(format!("expected the hash of an attachment: {HASH_DIGITS} hex digits in lower case"))
    }

    /// Returns the hash's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AttachmentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AttachmentHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for AttachmentHash {
    fn schema_name() -> Cow<'static, str> {
        "AttachmentHash".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": format!("^[0-9a-f]{{{HASH_DIGITS}}}$"),
            "description": "The SHA-256 of an attachment's bytes, in lower-case hex: its id.",
        })
    }
}

/// The bytes of an attachment and their hash; in JSON they are base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentData {
    bytes: Vec<u8>,
    hash: AttachmentHash,
}

impl AttachmentData {
    /// Returns the data of some bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        let hash = AttachmentHash::of(&bytes);
        Self { bytes, hash }
    }

    /// Returns the data of a base64 text, or what is wrong with the text and where.
    ///
    /// The standard alphabet (RFC 4648, section 4), padded with `=`, nothing in between: there is one
    /// text for the same bytes.
    pub fn of_base64(text: &str) -> Result<Self, String> {
        // The decoder would take the padding of one text and go on with another behind it.
        let decoded = match text.find('=') {
            Some(position) if position + 2 < text.len() => {
                Err(DecodeError { position, kind: DecodeKind::Padding })
            }
            _ => BASE64.decode(text.as_bytes()),
        };
        decoded.map(Self::new).map_err(|error| base64_problem(text, error))
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns their hash.
    pub fn hash(&self) -> &AttachmentHash {
        &self.hash
    }
}

fn base64_problem(text: &str, DecodeError { position, kind }: DecodeError) -> String {
    let problem = match kind {
        DecodeKind::Length => {
            format!("its {} characters are no multiple of 4; pad it with =", text.len())
        }
        DecodeKind::Symbol => {
            format!("position {position} (from 0) holds none of its 64 characters")
        }
        DecodeKind::Trailing => {
            format!("the character at position {position} (from 0) has bits past the last byte")
        }
        DecodeKind::Padding => format!("the padding at position {position} (from 0) is wrong"),
    };
    format!("is not base64: {problem}")
}

impl Serialize for AttachmentData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.bytes))
    }
}

impl<'de> Deserialize<'de> for AttachmentData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = AttachmentData;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a base64 string")
            }

            /// The text is not copied: it may have millions of characters.
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                AttachmentData::of_base64(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

impl JsonSchema for AttachmentData {
    fn schema_name() -> Cow<'static, str> {
        "AttachmentData".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "contentEncoding": "base64",
            "maxLength": MAX_ATTACHMENT_BYTES.div_ceil(3) * 4,
            "description": "Bytes in base64: the standard alphabet, padded with `=`, without breaks.",
        })
    }
}

/// An attachment as a message lists it: all but its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attachment {
    /// The SHA-256 of its bytes, for `attachment.get`.
    pub hash: AttachmentHash,
    /// What the bytes are, such as `image/png`.
    pub mime: String,
    /// What the file is called; null where nobody said.
    pub name: Option<String>,
    /// How many bytes it has.
    pub size: i64,
}

/// Checks that a text has the form of a media type: `type/subtype` as RFC 6838 has it, no parameters.
pub fn check_mime(text: &str) -> Result<(), String> {
    let is_part = |part: &str| {
        (1..=MAX_MIME_PART_CHARS).contains(&part.len())
            && part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    match text.split_once('/') {
        Some((of, subtype)) if is_part(of) && is_part(subtype) => Ok(()),
        _ => Err(format!(
            "expected a media type, type/subtype of 1 to {MAX_MIME_PART_CHARS} characters each, such as image/png"
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hash_is_written_in_one_way() {
        let hash = AttachmentHash::of(b"");
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hash.as_str(), text);
        assert_eq!(AttachmentHash::parse(text), Ok(hash));
        for wrong in
            ["", &text[1..], &format!("{text}0"), &text.to_uppercase(), &text.replace('e', "g")]
        {
            assert!(AttachmentHash::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// Vectors of RFC 4648, section 10, and what is none of it.
    #[test]
    fn base64_is_read_to_the_letter() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let data = AttachmentData::of_base64(text).expect("base64");
            assert_eq!(data.bytes(), bytes.as_bytes());
            assert_eq!(serde_json::to_string(&data).expect("JSON"), format!("{text:?}"));
        }
        for (text, problem) in [
            ("Zg", "its 2 characters are no multiple of 4; pad it with ="),
            ("Zm9vY", "its 5 characters are no multiple of 4; pad it with ="),
            ("Zm9v Yg=", "position 4 (from 0) holds none of its 64 characters"),
            ("Zm9v\nYg=", "position 4 (from 0) holds none of its 64 characters"),
            ("Zm9vYg-_", "position 6 (from 0) holds none of its 64 characters"),
            ("Zm9véé", "position 4 (from 0) holds none of its 64 characters"),
            ("Zh==", "the character at position 1 (from 0) has bits past the last byte"),
            ("Z===", "the padding at position 1 (from 0) is wrong"),
            ("====", "the padding at position 0 (from 0) is wrong"),
            ("Zg==Zg==", "the padding at position 2 (from 0) is wrong"),
            ("Zm9v=", "its 5 characters are no multiple of 4; pad it with ="),
            ("data:image/png;base64,Zm9v", "is not base64: "),
        ] {
            let found = AttachmentData::of_base64(text).map(|_| ()).expect_err(text);
            assert!(
                found.starts_with("is not base64: ") && found.contains(problem),
                "{text}: {found}"
            );
        }
    }

    #[test]
    fn a_mime_has_a_type_and_a_subtype() {
        let long = "x".repeat(MAX_MIME_PART_CHARS);
        for right in [
            "image/png",
            "image/svg+xml",
            "application/vnd.a-b_c",
            "Text/X",
            &format!("{long}/{long}"),
        ] {
            assert_eq!(check_mime(right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "image",
            "image/",
            "/png",
            "image/png/x",
            "image/ png",
            "image/png; a=b",
            "é/png",
            "-a/b",
            &format!("{long}x/a"),
            &format!("a/{long}x"),
        ] {
            assert!(check_mime(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let data = AttachmentData::new(bytes);
            let json = serde_json::to_string(&data).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<AttachmentData>(&json).expect("base64"), data);
        }
    }
}
