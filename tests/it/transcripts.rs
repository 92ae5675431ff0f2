//! The transcripts in `proto/examples`, replayed: what they show is what the daemon does.
//!
//! Each file is one connection to a daemon of a fresh home. A line `{"send": …}` is a frame, as
//! JSON or, in a string, as the text itself; a line `{"expect": …}` is the next reply. `"<number>"`,
//! `"<boolean>"` and `"<string>"` stand for any number, boolean and string; `"<string:name>"` in a reply names the string
//! it finds there, and in a frame is that string.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::support::{Home, LineClient};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proto/examples");

#[test]
fn every_transcript_happens_again() {
    let transcripts = transcripts();
    assert!(!transcripts.is_empty(), "there is no transcript in {EXAMPLES}");
    for transcript in transcripts {
        let home = Home::new();
        let daemon = home.start();
        replay(&transcript, &mut daemon.client());
    }
}

#[test]
fn the_comparison_sees_every_difference() {
    let same = |expected: Value, actual: Value| difference(&expected, &actual, "reply").is_none();
    assert!(same(json!({"a": "<number>", "b": ["<string>"]}), json!({"b": ["x"], "a": 1})));
    for (expected, actual) in [
        (json!({"a": 1}), json!({"a": 2})),
        (json!({"a": 1}), json!({})),
        (json!({}), json!({"a": 1})),
        (json!([1]), json!([1, 2])),
        (json!([1, 2]), json!([2, 1])),
        (json!("<number>"), json!("1")),
        (json!("<string>"), json!(1)),
        (json!("<boolean>"), json!(1)),
        (json!("<number>"), json!(null)),
    ] {
        assert!(!same(expected.clone(), actual.clone()), "{expected} and {actual}");
    }
}

/// The files of the folder, in the order of their names.
fn transcripts() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(EXAMPLES)
        .expect("proto/examples is a folder")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    files
}

/// Sends what a transcript sends, and compares each reply with the one it expects.
fn replay(transcript: &Path, client: &mut LineClient) {
    let text = std::fs::read_to_string(transcript).expect("a transcript is text");
    let (mut replies, mut named) = (0, Named::new());
    for (index, line) in text.lines().enumerate() {
        let place = format!("{}:{}", transcript.display(), index + 1);
        let step: Map<String, Value> =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(step.len(), 1, "{place}: a line has one member");
        match (step.get("send"), step.get("expect")) {
            (Some(Value::String(frame)), None) => {
                assert!(!frame.contains('\n'), "{place}: a frame is one line");
                client.send(frame);
            }
            (Some(frame), None) => client.send(&with_named(frame.clone(), &named).to_string()),
            (None, Some(expected)) => {
                let actual = client.receive();
                name_strings(expected, &actual, &mut named);
                if let Some(difference) = difference(expected, &actual, "reply") {
                    panic!("{place}: {difference}\nthe reply was {actual}");
                }
                replies += 1;
            }
            _ => panic!("{place}: neither `send` nor `expect`"),
        }
    }
    assert!(replies > 0, "{}: no reply is expected", transcript.display());
    // A reply that no line expects would come before this one.
    let last = json!({"jsonrpc": "2.0", "id": "the end", "method": "system.ping"});
    client.send(&last.to_string());
    assert_eq!(client.receive()["id"], "the end", "{}: a reply too many", transcript.display());
}

/// The strings that a transcript has named.
type Named = BTreeMap<String, String>;

/// Returns the name in `<string:name>`.
fn name(word: &str) -> Option<&str> {
    word.strip_prefix("<string:")?.strip_suffix('>')
}

/// Puts the named strings into a frame.
fn with_named(frame: Value, named: &Named) -> Value {
    match frame {
        Value::String(word) => match name(&word) {
            Some(name) => named.get(name).expect("a reply before named it").clone().into(),
            None => word.into(),
        },
        Value::Array(items) => items.into_iter().map(|item| with_named(item, named)).collect(),
        Value::Object(members) => Value::Object(
            members.into_iter().map(|(key, value)| (key, with_named(value, named))).collect(),
        ),
        other => other,
    }
}

/// Keeps the strings of a reply that the expected one names.
fn name_strings(expected: &Value, actual: &Value, named: &mut Named) {
    match (expected, actual) {
        (Value::String(word), Value::String(text)) => {
            if let Some(name) = name(word) {
                named.insert(name.to_owned(), text.clone());
            }
        }
        (Value::Object(expected), Value::Object(actual)) => {
            for (key, expected) in expected {
                name_strings(expected, actual.get(key).unwrap_or(&Value::Null), named);
            }
        }
        (Value::Array(expected), Value::Array(actual)) => {
            for (expected, actual) in expected.iter().zip(actual) {
                name_strings(expected, actual, named);
            }
        }
        _ => {}
    }
}

/// Returns where a reply first differs from what is expected.
fn difference(expected: &Value, actual: &Value, place: &str) -> Option<String> {
    match (expected, actual) {
        (Value::String(word), Value::Number(_)) if word == "<number>" => None,
        (Value::String(word), Value::Bool(_)) if word == "<boolean>" => None,
        (Value::String(word), Value::String(_)) if word == "<string>" || name(word).is_some() => {
            None
        }
        (Value::Object(expected), Value::Object(actual)) => {
            let names: BTreeSet<&String> = expected.keys().chain(actual.keys()).collect();
            names.into_iter().find_map(|name| {
                let place = format!("{place}.{name}");
                match (expected.get(name), actual.get(name)) {
                    (Some(expected), Some(actual)) => difference(expected, actual, &place),
                    (Some(_), None) => Some(format!("{place} is missing")),
                    _ => Some(format!("{place} is not expected")),
                }
            })
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            let mut items = expected.iter().zip(actual).enumerate();
            items.find_map(|(index, (expected, actual))| {
                difference(expected, actual, &format!("{place}[{index}]"))
            })
        }
        _ => (expected != actual).then(|| format!("{place}: expected {expected}, found {actual}")),
    }
}
