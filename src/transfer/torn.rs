//! What is whole of a JSON object whose text ends too early, as a file does that was cut off.

use serde_json::value::RawValue;

/// The list whose items count one by one.
const LIST: &str = "\"messages\"";

/// Returns the object of the members that are whole, and of the items of `messages` that are; `None`
/// where the text is no object or nothing of it is whole.
///
/// The text must be JSON as far as it goes.
pub(super) fn whole_part(text: &str) -> Option<String> {
    let start = text.len() - text.trim_ascii_start().len();
    if !text[start..].starts_with('{') {
        return None;
    }
    let scan = Scan::of(&text[start..]);
    let body = &text[start..];
    let json = match (scan.list, scan.item_end) {
        (Some(list), end) => format!("{}]}}", &body[..end.unwrap_or(list + 1)]),
        (None, _) => format!("{}}}", &body[..scan.member_end?]),
    };
    serde_json::from_str::<&RawValue>(&json).is_ok().then_some(json)
}

/// Where what is whole ends.
#[derive(Default)]
struct Scan {
    /// Behind the last whole member of the object.
    member_end: Option<usize>,
    /// Where the list begins that the text ends in.
    list: Option<usize>,
    /// Behind its last whole item.
    item_end: Option<usize>,
}

impl Scan {
    fn of(body: &str) -> Self {
        let mut scan = Self::default();
        let bytes = body.as_bytes();
        let (mut depth, mut at) = (0_usize, 0);
        let (mut key, mut is_value) = ("", false);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => {
                    let Some(end) = string_end(bytes, at) else { return scan };
                    if depth == 1 && !is_value {
                        key = &body[at..end];
                    }
                    if depth == 1 && is_value {
                        scan.member_end = Some(end);
                    } else if depth == 2 && scan.list.is_some() {
                        scan.item_end = Some(end);
                    }
                    at = end;
                    continue;
                }
                b':' if depth == 1 => is_value = true,
                // A number, or a word, is whole where something follows it.
                b',' if depth == 1 => {
                    scan.member_end = Some(at);
                    is_value = false;
                }
                b',' if depth == 2 && scan.list.is_some() => scan.item_end = Some(at),
                b'{' | b'[' => {
                    if depth == 1 && *byte == b'[' && key == LIST {
                        (scan.list, scan.item_end) = (Some(at), None);
                    }
                    depth += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    match depth {
                        1 => (scan.list, scan.member_end) = (None, Some(at + 1)),
                        2 if scan.list.is_some() => scan.item_end = Some(at + 1),
                        _ => {}
                    }
                }
                _ => {}
            }
            at += 1;
        }
        scan
    }
}

/// Returns where a string ends that begins at a quote; `None` where it does not.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn whole_members_and_messages_stay() {
        for (text, whole) in [
            (r#"{"a":1,"b":[1,2"#, Some(r#"{"a":1}"#)),
            (r#" {"a":"x""#, Some(r#"{"a":"x"}"#)),
            (r#"{"a":12"#, None),
            (r#"{"a":true,"b":fal"#, Some(r#"{"a":true}"#)),
            (r#"{"a":{},"b""#, Some(r#"{"a":{}}"#)),
            (r#"{"a":"x\"#, None),
            (r#"{"id":"s","messages":["#, Some(r#"{"id":"s","messages":[]}"#)),
            (r#"{"messages":[{"a":[]},{"b":1"#, Some(r#"{"messages":[{"a":[]}]}"#)),
            (r#"{"messages":["x","y\""#, Some(r#"{"messages":["x"]}"#)),
            (r#"{"messages":[1,22"#, Some(r#"{"messages":[1]}"#)),
            (r#"{"messages":[{}],"createdAt":"2"#, Some(r#"{"messages":[{}]}"#)),
            (r#"{"x":{"messages":[{}"#, None),
            (r#"{"a":1,"x":{"messages":[{}"#, Some(r#"{"a":1}"#)),
            (r#"{"messages":[{}],"messages":[{"#, Some(r#"{"messages":[{}],"messages":[]}"#)),
            ("[{}", None),
            ("{", None),
            ("", None),
        ] {
            assert_eq!(whole_part(text).as_deref(), whole, "{text}");
        }
    }

    /// Cut at each of its bytes, a file gives a beginning of its messages, and never one that is not its own.
    #[test]
    fn every_cut_gives_a_beginning_of_the_messages() {
        let text = r#"{ "id": "s", "messages": [ {"content": "a\\\"]}", "n": [1, {"x": 2}]}, {"content": "é{["} ], "last": "z" }"#;
        let all: Value = serde_json::from_str(text).expect("JSON");
        let messages = all["messages"].as_array().expect("a list");
        let mut most = 0;
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            let Some(whole) = whole_part(&text[..end]) else { continue };
            let whole: Value = serde_json::from_str(&whole).expect("JSON");
            if let Some(found) = whole["messages"].as_array() {
                assert!(found.len() >= most && found == &messages[..found.len()], "{end}");
                most = found.len();
            }
        }
        assert_eq!(most, 2);
    }
}
