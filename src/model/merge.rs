//! The merge patch of RFC 7396 on JSON texts: what a patch does not name keeps every byte.
//!
//! It never makes a `serde_json::Value`: that would write numbers anew, drop all but one of a
//! repeated name, and take members of certain names for its own.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Returns an object after a patch: a null removes a member, an object merges, all else replaces.
///
/// Members stay in their order, new ones follow in the patch's. Of a name that an object repeats
/// the last member counts; where the patch names it, the others go. Recurses as deep as the patch.
pub(super) fn merged(target: Option<&str>, patch: &str) -> serde_json::Result<String> {
    let mut out = String::with_capacity(target.map_or(0, str::len) + patch.len());
    merge(&mut out, target, patch)?;
    Ok(out)
}

fn merge(out: &mut String, target: Option<&str>, patch: &str) -> serde_json::Result<()> {
    let target = match target.filter(|target| is_object(target)) {
        Some(target) => serde_json::from_str(target)?,
        None => Members::default(),
    };
    let patch: Members<'_> = serde_json::from_str(patch)?;
    let mut changes = HashMap::with_capacity(patch.0.len());
    for (at, (name, _)) in patch.0.iter().enumerate() {
        changes.insert(name_of(name)?, Change { in_patch: at, in_target: None });
    }
    let mut touched = Vec::with_capacity(target.0.len());
    for (at, (name, _)) in target.0.iter().enumerate() {
        let change = changes.get_mut(&name_of(name)?);
        touched.push(change.map(|change| {
            change.in_target = Some(at);
            change.in_patch
        }));
    }
    let is_last = |change: &Change, at| change.in_target == Some(at);
    let mut writer = MemberWriter { out, is_first: true };
    writer.out.push('{');
    for (at, (name, value)) in target.0.iter().enumerate() {
        let Some(in_patch) = touched[at] else {
            writer.start(name);
            writer.out.push_str(value.get());
            continue;
        };
        let (name_in_patch, change) = &patch.0[in_patch];
        if !is_null(change) && is_last(&changes[&name_of(name_in_patch)?], at) {
            writer.start(name);
            write_value(writer.out, Some(value.get()), change.get())?;
        }
    }
    for (at, (name, value)) in patch.0.iter().enumerate() {
        let change = &changes[&name_of(name)?];
        if change.in_patch == at && change.in_target.is_none() && !is_null(value) {
            writer.start(name);
            write_value(writer.out, None, value.get())?;
        }
    }
    writer.out.push('}');
    Ok(())
}

fn write_value(out: &mut String, current: Option<&str>, patch: &str) -> serde_json::Result<()> {
    if is_object(patch) {
        merge(out, current, patch)
    } else {
        out.push_str(patch);
        Ok(())
    }
}

fn is_object(json: &str) -> bool {
    json.starts_with('{')
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// What becomes of a name: its last member in the patch, and in the target if it is there.
struct Change {
    in_patch: usize,
    in_target: Option<usize>,
}

struct MemberWriter<'a> {
    out: &'a mut String,
    is_first: bool,
}

impl MemberWriter<'_> {
    /// Writes what stands before a member's value.
    fn start(&mut self, name: &RawValue) {
        if !self.is_first {
            self.out.push(',');
        }
        self.is_first = false;
        self.out.push_str(name.get());
        self.out.push(':');
    }
}

/// The members of an object in order, names and values as they were written.
#[derive(Default)]
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collector;

        impl<'de> Visitor<'de> for Collector {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collector)
    }
}

/// Returns a name without its quotes and escapes, to be compared. Bytes, since JSON lets a name
/// hold half of a surrogate pair.
fn name_of(raw: &RawValue) -> serde_json::Result<Cow<'_, [u8]>> {
    let text = raw.get();
    if text.contains('\\') {
        serde_json::from_str::<Name>(text).map(|name| Cow::Owned(name.0))
    } else {
        Ok(Cow::Borrowed(&text.as_bytes()[1..text.len() - 1]))
    }
}

struct Name(Vec<u8>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Name, E> {
                Ok(Name(bytes.to_owned()))
            }
        }

        deserializer.deserialize_bytes(Reader)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    fn merge(target: &str, patch: &str) -> String {
        merged(Some(target), patch).expect("merges")
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
            assert_eq!(merge(target, patch), merged, "{target} with {patch}");
        }
        assert_eq!(merged(None, r#"{"a":{"b":null,"c":1}}"#).expect("merges"), r#"{"a":{"c":1}}"#);
    }

    #[test]
    fn what_the_patch_does_not_name_keeps_every_byte() {
        let members = [
            r#""big":123456789012345678901234567890"#,
            r#""exponent":1E400"#,
            r#""zero":-0.0"#,
            r#""$serde_json::private::Number":"12""#,
            r#""$serde_json::private::RawValue":"[1]""#,
            r#""nested":{"$serde_json::private::Number":"x","$serde_json::private::RawValue":"{"}"#,
            r#""spaced":[ 1 , { "k" : null } ]"#,
            "\"\\u0061\\ud83e\":\"\\u0041\\ud83e \\/ é\"",
            r#""twice":1"#,
            r#""twice":{"a":1,"a":2}"#,
        ];
        let target = format!("{{{}}}", members.join(","));
        let patched = format!("{{{},\"new\":1e+2}}", members.join(","));
        assert_eq!(merge(&target, r#"{"new":1e+2,"gone":null}"#), patched);
        assert_eq!(merge(&format!("{{ {} }}", members.join(" ,\n")), "{}"), target);
        let inside = merge(&format!(r#"{{"in":{target}}}"#), r#"{"in":{"new":1e+2}}"#);
        assert_eq!(inside, format!(r#"{{"in":{patched}}}"#));
    }

    #[test]
    fn members_of_any_name_can_be_set_and_removed() {
        for name in ["$serde_json::private::Number", "$serde_json::private::RawValue", ""] {
            let (set, null) = (format!(r#"{{"{name}":"[1"}}"#), format!(r#"{{"{name}":null}}"#));
            assert_eq!(merge("{}", &set), set);
            assert_eq!(merge(&set, &null), "{}");
            assert_eq!(
                merge(r#"{"a":1}"#, &format!(r#"{{"a":{set}}}"#)),
                format!(r#"{{"a":{set}}}"#)
            );
        }
    }

    #[test]
    fn a_repeated_name_that_is_patched_has_its_last_value_and_stands_once() {
        let target = r#"{"a":{"x":1},"b":0,"a":{"y":2},"c":0}"#;
        for (patch, merged) in [
            (r#"{"a":{"z":3}}"#, r#"{"b":0,"a":{"y":2,"z":3},"c":0}"#),
            (r#"{"a":null}"#, r#"{"b":0,"c":0}"#),
            (r#"{"a":5}"#, r#"{"b":0,"a":5,"c":0}"#),
            (r#"{"a":5,"a":null}"#, r#"{"b":0,"c":0}"#),
            (r#"{"d":5,"a":null,"d":6,"a":7}"#, r#"{"b":0,"a":7,"c":0,"d":6}"#),
        ] {
            assert_eq!(merge(target, patch), merged, "{patch}");
        }
    }

    #[test]
    fn names_are_the_same_however_they_are_escaped() {
        assert_eq!(merge(r#"{"\u0061":1}"#, r#"{"a":2}"#), r#"{"\u0061":2}"#);
        assert_eq!(merge(r#"{"a":1}"#, r#"{"\u0061":null}"#), "{}");
        assert_eq!(merge(r#"{"\ud83e\udd80":1}"#, r#"{"🦀":2}"#), r#"{"\ud83e\udd80":2}"#);
        // Halves of a surrogate pair are no text, and names all the same.
        assert_eq!(merge(r#"{"\ud83e":1,"\ud83f":2}"#, r#"{"\uD83E":null}"#), r#"{"\ud83f":2}"#);
    }

    /// The merge as the RFC writes it.
    fn naive(target: Value, patch: Value) -> Value {
        let Value::Object(patch) = patch else { return patch };
        let mut members = if let Value::Object(members) = target { members } else { Map::new() };
        for (name, value) in patch {
            if value.is_null() {
                members.shift_remove(&name);
            } else {
                let current = members.get(&name).cloned().unwrap_or_default();
                members.insert(name, naive(current, value));
            }
        }
        Value::Object(members)
    }

    fn random_json(random: &mut fastrand::Rng, depth: usize, out: &mut String) {
        const NAMES: [&str; 6] = ["a", r"\u0061", "b", "é", r"\u00e9", r"c\n"];
        const SCALARS: [&str; 7] = ["null", "null", "true", "1", "-1.50", "1E400", r#""t\"{""#];
        let space = |random: &mut fastrand::Rng| [" ", "", "", "\n"][random.usize(..4)];
        match if depth == 0 { 9 } else { random.usize(..10) } {
            0..5 => {
                out.push('{');
                for at in 0..random.usize(..5) {
                    out.push_str(if at > 0 { "," } else { "" });
                    out.push_str(space(random));
                    out.push_str(&format!("\"{}\"{}:", NAMES[random.usize(..6)], space(random)));
                    random_json(random, depth - 1, out);
                    out.push_str(space(random));
                }
                out.push('}');
            }
            5 => {
                out.push('[');
                random_json(random, depth - 1, out);
                out.push(']');
            }
            _ => out.push_str(SCALARS[random.usize(..7)]),
        }
    }

    fn random_object(random: &mut fastrand::Rng) -> String {
        loop {
            let mut json = String::new();
            random_json(random, 4, &mut json);
            if is_object(&json) {
                return json;
            }
        }
    }

    #[test]
    fn random_patches_do_what_a_naive_merge_does() {
        for seed in 0..3000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (target, patch) = (random_object(&mut random), random_object(&mut random));
            let value = |json: &str| serde_json::from_str::<Value>(json).expect("JSON");
            let result = merge(&target, &patch);
            let expected = naive(value(&target), value(&patch));
            assert_eq!(value(&result), expected, "{seed}: {target} with {patch}");
        }
    }
}
