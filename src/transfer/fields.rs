//! The members of a JSON object, each value as it was written, to be taken out one by one.

use std::collections::HashMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::model::json::depth_of;
use crate::model::limits::MAX_JSON_DEPTH;
use crate::model::{Json, JsonObject};

/// The members of an object, in order.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    members: Vec<(String, &'a RawValue)>,
    /// Members whose name comes again later: the last one counts, as in JavaScript.
    shadowed: Vec<(String, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// Returns the members of an object; `None` where the value is none.
    pub(super) fn of(value: &'a RawValue) -> Option<Self> {
        if Kind::of(value) != Kind::Object {
            return None;
        }
        serde_json::from_str(value.get()).ok()
    }

    /// Takes a member's value out.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.members.iter().position(|(member, _)| member == name)?;
        Some(self.members.remove(at).1)
    }

    /// Takes a member out if it is a string that is wanted; what is not stays among the rest.
    pub(super) fn take_text(
        &mut self,
        name: &str,
        wanted: impl FnOnce(&str) -> bool,
    ) -> Option<String> {
        let text = text(self.get(name)?).filter(|text| wanted(text))?;
        self.take(name);
        Some(text)
    }

    /// Returns a member's value.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.members.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    /// Returns what was not taken, and what was shadowed, each in order.
    pub(super) fn into_rest(self) -> (Members, Members) {
        let owned = |members: Vec<(String, &RawValue)>| {
            members.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect()
        };
        (owned(self.members), owned(self.shadowed))
    }
}

/// Names and JSON texts, to be made an object of.
pub(super) type Members = Vec<(String, String)>;

/// Returns the object of some members, whose texts must be JSON.
pub(super) fn object(members: &Members) -> JsonObject {
    let mut json = String::from("{");
    for (at, (name, value)) in members.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        json.push_str(&quoted(name));
        json.push(':');
        json.push_str(value);
    }
    json.push('}');
    JsonObject::parse(json).expect("made of JSON texts")
}

/// Makes strings of the values that the daemon would refuse as too deep, and returns their names.
///
/// `levels` is how deep the members themselves will lie.
pub(super) fn flatten(members: &mut Members, levels: usize) -> Vec<String> {
    let mut flattened = Vec::new();
    for (name, value) in members {
        if depth_of(value) + levels > MAX_JSON_DEPTH {
            *value = quoted(value);
            flattened.push(name.clone());
        }
    }
    flattened
}

/// Takes the largest members out until the others, and a list of those, fit so many bytes.
///
/// Returns their names and the bytes of their values. Small members stay: naming them takes as much room.
pub(super) fn shed(kept: &mut Members, facts: &mut Members, room: usize) -> Members {
    const WORTH_IT: usize = 1024;
    let named = |name: &str| quoted(name).len() + 2;
    // Besides the members: braces, and the names `ide`, `import` and `left_out`.
    let mut total = 64
        + kept.iter().chain(&*facts).map(|(name, value)| named(name) + value.len()).sum::<usize>();
    let mut largest: Vec<(usize, String)> = kept
        .iter()
        .chain(&*facts)
        .filter(|(_, value)| value.len() > WORTH_IT)
        .map(|(name, value)| (value.len(), name.clone()))
        .collect();
    largest.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    let mut left_out = Members::new();
    for (size, name) in largest {
        if total <= room {
            break;
        }
        // Its name goes where the member was; the digits of its size come on top.
        total = total - size + 20;
        kept.retain(|(member, _)| *member != name);
        facts.retain(|(member, _)| *member != name);
        left_out.push((name, size.to_string()));
    }
    left_out
}

/// Returns the members that were left out as a person reads them.
pub(super) fn listed(left_out: &Members) -> String {
    let each = left_out.iter().map(|(name, size)| format!("{name} ({size} bytes)"));
    each.collect::<Vec<_>>().join(", ")
}

/// Returns members as a list of pairs, in which a name may come more than once.
pub(super) fn pairs(members: &Members) -> String {
    let pairs: Vec<String> =
        members.iter().map(|(name, value)| format!("[{},{value}]", quoted(name))).collect();
    format!("[{}]", pairs.join(","))
}

/// Returns a name that no member has.
pub(super) fn free_name(name: &str, members: &Members) -> String {
    let mut name = name.to_owned();
    while members.iter().any(|(member, _)| *member == name) {
        name.push('_');
    }
    name
}

/// Returns a text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    json_of(text)
}

/// Returns the JSON of texts.
pub(super) fn json_of<T: serde::Serialize + ?Sized>(texts: &T) -> String {
    Json::of(texts).expect("texts are JSON").as_str().to_owned()
}

/// Returns the text of a JSON string; `None` where the value is none.
pub(super) fn text(value: &RawValue) -> Option<String> {
    if Kind::of(value) != Kind::Text {
        return None;
    }
    serde_json::from_str(value.get()).ok()
}

/// Returns the values of a JSON array; `None` where the value is none.
pub(super) fn list(value: &RawValue) -> Option<Vec<&RawValue>> {
    if Kind::of(value) != Kind::List {
        return None;
    }
    serde_json::from_str(value.get()).ok()
}

/// What a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    List,
    Text,
    Number,
    Bool,
    Null,
}

impl Kind {
    pub(super) fn of(value: &RawValue) -> Self {
        match value.get().as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::List,
            Some(b'"') => Self::Text,
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') => Self::Null,
            _ => Self::Number,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object",
            Self::List => "a list",
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Null => "null",
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collector;

        impl<'de> Visitor<'de> for Collector {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields::default();
                let mut places = HashMap::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if let Some(at) = places.get(&name) {
                        let (_, current): &mut (_, &'de RawValue) = &mut fields.members[*at];
                        fields.shadowed.push((name, std::mem::replace(current, value)));
                    } else {
                        places.insert(name.clone(), fields.members.len());
                        fields.members.push((name, value));
                    }
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Collector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_repeated_name_counts_and_the_others_are_kept() {
        let json = r#"{"a":1,"b":"x","a":2.0,"a":[3]}"#;
        let mut fields: Fields<'_> = serde_json::from_str(json).expect("an object");
        assert_eq!(fields.take("a").map(RawValue::get), Some("[3]"));
        assert_eq!(fields.take_text("b", str::is_empty), None);
        let (rest, shadowed) = fields.into_rest();
        assert_eq!(object(&rest).as_str(), r#"{"b":"x"}"#);
        let shadowed: Vec<_> =
            shadowed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(shadowed, [("a", "1"), ("a", "2.0")]);
    }
}
