//! Ids: UUIDv7 strings, or what the client brought, 1 to 128 characters.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::limits::MAX_ID_CHARS;

macro_rules! id_type {
    ($(#[doc = $doc:literal])* $name:ident) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Returns a new UUIDv7, which sorts by the time it was made.
            pub fn generate() -> Self {
                Self(uuid::Uuid::now_v7().to_string())
            }

            /// Returns the id, or what is wrong with it.
            pub fn parse(text: impl Into<String>) -> Result<Self, String> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text))
            }

            /// Returns the id's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let doc: &str = concat!($($doc),*);
                json_schema!({
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_ID_CHARS,
                    "description": doc.trim(),
                })
            }
        }
    };
}

id_type! {
    /// A session's id: a UUIDv7, or the client's own.
    SessionId
}
id_type! {
    /// A message's id: a UUIDv7, or the client's own.
    MessageId
}
id_type! {
    /// A project's id: a UUIDv7, or the client's own.
    ProjectId
}

id_type! {
    /// An edit's id: a UUIDv7, or the client's own.
    EditId
}

fn check(text: &str) -> Result<(), String> {
    let chars = text.chars().count();
    if chars == 0 || chars > MAX_ID_CHARS {
        return Err(format!("an id has 1 to {MAX_ID_CHARS} characters, this one has {chars}"));
    }
    if text.chars().any(char::is_control) {
        return Err("an id has no control characters".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_to_128_characters() {
        assert!(SessionId::parse("").is_err());
        assert!(SessionId::parse("é".repeat(128)).is_ok());
        assert!(SessionId::parse("é".repeat(129)).is_err());
        assert!(SessionId::parse("a\nb").is_err());
        assert_eq!(SessionId::generate().as_str().len(), 36);
    }
}
