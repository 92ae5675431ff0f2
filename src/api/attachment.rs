//! `attachment.*`: images and other bytes, stored once by their hash; messages refer to them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::MapAccess;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check::{self, Check};
use super::method;
use crate::error::{Error, Result};
use crate::model::attachment::check_mime;
use crate::model::limits::{MAX_ATTACHMENT_BYTES, MAX_MESSAGE_ATTACHMENTS, MAX_NAME_BYTES};
use crate::model::{AttachmentData, AttachmentHash, Millis};

/// Params of `attachment.put`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PutParams {
    /// What the bytes are, such as `image/png`: `type/subtype`, no parameters.
    pub mime: String,
    /// The bytes.
    pub data: AttachmentData,
    /// What the file is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Check for PutParams {
    fn check(&self) -> Result<()> {
        let bytes = self.data.bytes().len();
        if bytes > MAX_ATTACHMENT_BYTES {
            return Err(Error::TooLarge {
                field: "data".to_owned(),
                limit: MAX_ATTACHMENT_BYTES as u64,
                actual: bytes as u64,
            });
        }
        check_mime(&self.mime).map_err(|problem| Error::invalid("mime", problem))?;
        self.name.as_ref().map_or(Ok(()), |name| check::name("name", name, MAX_NAME_BYTES))
    }
}

/// What `attachment.put` answers: the attachment as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PutAttachment {
    /// The SHA-256 of the bytes: what messages refer to it by.
    pub hash: AttachmentHash,
    /// The media type of the first put of these bytes.
    pub mime: String,
    /// The name of the first put.
    pub name: Option<String>,
    /// How many bytes it has.
    pub size: i64,
    /// When it was first put.
    pub created_at: Millis,
    /// False where these bytes were there before.
    pub created: bool,
}

/// Params of `attachment.get`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HashParams {
    /// The attachment.
    pub hash: AttachmentHash,
}

impl Check for HashParams {}

/// What `attachment.get` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttachmentContent {
    /// The SHA-256 of the bytes.
    pub hash: AttachmentHash,
    /// The media type of the first put; a message that refers to it may say another.
    pub mime: String,
    /// The name of the first put; a message that refers to it may say another.
    pub name: Option<String>,
    /// How many bytes it has.
    pub size: i64,
    /// When it was first put.
    pub created_at: Millis,
    /// The bytes.
    pub data: AttachmentData,
}

/// One entry of a message's `attachments` as a client sends it: a hash, or an object with more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentRef {
    /// The attachment, which must have been put.
    pub hash: AttachmentHash,
    /// What this message calls it, null for no name; the attachment's own name where absent.
    pub name: Option<Option<String>>,
    /// What this message says it is; the attachment's own media type where absent.
    pub mime: Option<String>,
}

/// The form of an entry that says more than the hash.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NamedAttachmentRef {
    /// The attachment, which must have been put.
    hash: AttachmentHash,
    /// What this message calls it, null for no name; the attachment's own name where absent.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    name: Option<Option<String>>,
    /// What this message says it is; the attachment's own media type where absent.
    #[serde(
        default,
        deserialize_with = "check::not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "String")]
    mime: Option<String>,
}

impl AttachmentRef {
    /// Returns the entry that says no more than a hash.
    pub fn of(hash: AttachmentHash) -> Self {
        Self { hash, name: None, mime: None }
    }
}

impl Serialize for AttachmentRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { hash, name, mime } = self.clone();
        if name.is_none() && mime.is_none() {
            return hash.serialize(serializer);
        }
        NamedAttachmentRef { hash, name, mime }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AttachmentRef {
    /// Reads the object as a part of the params, so that an error names the member it is about.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = AttachmentRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the hash of an attachment, or an object with it")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                AttachmentHash::parse(text).map(AttachmentRef::of).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let NamedAttachmentRef { hash, name, mime } =
                    Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(AttachmentRef { hash, name, mime })
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for AttachmentRef {
    fn schema_name() -> Cow<'static, str> {
        "AttachmentRef".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let hash = generator.subschema_for::<AttachmentHash>();
        let named = generator.subschema_for::<NamedAttachmentRef>();
        json_schema!({
            "description": "An attachment that was put: its hash, or an object with it that says more.",
            "oneOf": [hash, named],
        })
    }
}

/// Checks what a message refers to; that it is there is the store's to say.
pub(super) fn check_refs(prefix: &str, attachments: &[AttachmentRef]) -> Result<()> {
    let count = attachments.len();
    if count > MAX_MESSAGE_ATTACHMENTS {
        return Err(Error::invalid(
            format!("{prefix}attachments"),
            format!("expected at most {MAX_MESSAGE_ATTACHMENTS} items, found {count}"),
        ));
    }
    for (at, AttachmentRef { name, mime, .. }) in attachments.iter().enumerate() {
        let field = format!("{prefix}attachments[{at}]");
        if let Some(Some(name)) = name {
            check::name(&format!("{field}.name"), name, MAX_NAME_BYTES)?;
        }
        if let Some(mime) = mime {
            check_mime(mime).map_err(|problem| Error::invalid(format!("{field}.mime"), problem))?;
        }
    }
    Ok(())
}

method! {
    /// Stores bytes, such as an image, and gives the hash by which messages refer to them.
    ///
    /// The same bytes are stored once. A later put changes nothing of them: the answer has the media
    /// type and the name of the first one, and a message that refers to them may say others. What no
    /// message has referred to for an hour since the last put is deleted.
    Put = "attachment.put", Write, PutParams => PutAttachment,
    errors: [TooLarge],
    example: r#"{"mime": "image/png", "data": "iVBORw0KGgo=", "name": "total.png"}"# => r#"{
        "hash": "4c4b6a3be1314ab86138bef4314dde022e600960d8689a2c8f8631802d20dab6",
        "mime": "image/png", "name": "total.png", "size": 8, "created_at": 1764000000000,
        "created": true
    }"#,
}

method! {
    /// Gives an attachment's bytes.
    Get = "attachment.get", Read, HashParams => AttachmentContent,
    errors: [NotFound],
    example: r#"{
        "hash": "4c4b6a3be1314ab86138bef4314dde022e600960d8689a2c8f8631802d20dab6"
    }"# => r#"{
        "hash": "4c4b6a3be1314ab86138bef4314dde022e600960d8689a2c8f8631802d20dab6",
        "mime": "image/png", "name": "total.png", "size": 8, "created_at": 1764000000000,
        "data": "iVBORw0KGgo="
    }"#,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_sent_as_it_was_read() {
        let hash = AttachmentHash::of(b"x");
        for json in [
            format!("{:?}", hash.as_str()),
            format!(r#"{{"hash":"{hash}","name":"a"}}"#),
            format!(r#"{{"hash":"{hash}","name":null,"mime":"a/b"}}"#),
        ] {
            let read: AttachmentRef = serde_json::from_str(&json).expect("a reference");
            assert_eq!(serde_json::to_string(&read).expect("JSON"), json);
        }
        let alone: AttachmentRef =
            serde_json::from_str(&format!(r#"{{"hash":"{hash}"}}"#)).expect("a reference");
        assert_eq!(alone, AttachmentRef::of(hash));
    }
}
