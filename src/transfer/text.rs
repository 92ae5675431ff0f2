//! From a file's bytes to JSON text that can be taken apart: checked, repaired, on one line.

/// The JSON text of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// One JSON value without white space outside its strings; all else is as written.
    ///
    /// It has to be on one line because the parts that are kept verbatim travel in a line of the
    /// protocol.
    pub(super) json: String,
    /// True where the file began with a byte-order mark.
    pub(super) had_mark: bool,
    /// How many halves of a surrogate pair stood alone and became U+FFFD.
    pub(super) replaced: usize,
}

/// Reads a file's bytes, or returns why they are not JSON and where.
///
/// A lone surrogate (`"\ud83e"`, half of an emoji that was cut in two) is what JavaScript writes
/// and no Unicode text can hold: it is replaced and counted. Bytes that are not UTF-8 are no work of the
/// IDE's, and refused.
pub(super) fn read(bytes: &[u8]) -> Result<Text, String> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err("is UTF-16; save it as UTF-8".to_owned());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
        format!("is not UTF-8: a bad byte at offset {at}, in line {line}")
    })?;
    let body = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    if body.trim_ascii().is_empty() {
        return Err("is empty".to_owned());
    }
    serde_json::from_str::<&serde_json::value::RawValue>(body)
        .map_err(|error| format!("is not JSON: {error}"))?;
    let (json, replaced) = normalized(body);
    Ok(Text { json, had_mark: body.len() != text.len(), replaced })
}

/// Drops the white space outside strings and replaces lone surrogates, in a text that is valid JSON.
fn normalized(text: &str) -> (String, usize) {
    let mut json = String::with_capacity(text.len());
    let mut replaced = 0;
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        json.extend(rest[..at].chars().filter(|c| !c.is_ascii_whitespace()));
        let end = at + 1 + string_length(&rest[at + 1..]);
        replaced += push_string(&mut json, &rest[at..end]);
        rest = &rest[end..];
    }
    json.extend(rest.chars().filter(|c| !c.is_ascii_whitespace()));
    (json, replaced)
}

/// Returns the length of a string's text behind its opening quote, the closing quote included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Appends a string, and returns how many lone surrogates in it were replaced.
fn push_string(json: &mut String, string: &str) -> usize {
    let mut replaced = 0;
    let mut rest = string;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at..];
        let length = match surrogate(escape) {
            None if escape.as_bytes().get(1) == Some(&b'u') => 6,
            None => 2,
            Some(unit)
                if unit < 0xDC00 && surrogate(&escape[6..]).is_some_and(|low| low >= 0xDC00) =>
            {
                12
            }
            Some(_) => {
                json.push_str(&rest[..at]);
                json.push_str(r"\ufffd");
                replaced += 1;
                rest = &escape[6..];
                continue;
            }
        };
        json.push_str(&rest[..at + length]);
        rest = &escape[length..];
    }
    json.push_str(rest);
    replaced
}

/// Returns the surrogate that a text starts with the escape of.
fn surrogate(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(r"\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok().filter(|unit| (0xD800..0xE000).contains(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> (String, usize) {
        let text = read(text.as_bytes()).expect("is JSON");
        (text.json, text.replaced)
    }

    #[test]
    fn white_space_goes_outside_strings_only() {
        let source = "\r\n{ \"a b\" :\t[ 1 , \" x\\\" \\\\\" , 1.10e+5 , -0.0 ] }\n";
        assert_eq!(json(source), (r#"{"a b":[1," x\" \\",1.10e+5,-0.0]}"#.to_owned(), 0));
    }

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_stay() {
        for (source, expected, replaced) in [
            (r#""\ud83e\udd80""#, r#""\ud83e\udd80""#, 0),
            (r#""\ud83e""#, r#""\ufffd""#, 1),
            (r#""\uDD80 x""#, r#""\ufffd x""#, 1),
            (r#""\ud83e\ud83e\udd80""#, r#""\ufffd\ud83e\udd80""#, 1),
            (r#""\udd80\ud83e""#, r#""\ufffd\ufffd""#, 2),
            (r#""\ud83e\n\\ud83e\\\ud83e""#, r#""\ufffd\n\\ud83e\\\ufffd""#, 2),
            (r#""\u0041é\ud83eé""#, r#""\u0041é\ufffdé""#, 1),
            (r#"{"\ud800":"日\"\ud800"}"#, r#"{"\ufffd":"日\"\ufffd"}"#, 2),
        ] {
            assert_eq!(json(source), (expected.to_owned(), replaced), "{source}");
            serde_json::from_str::<serde_json::Value>(expected).expect("can be read");
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let text = read("\u{FEFF}{}".as_bytes()).expect("is JSON");
        assert_eq!(text, Text { json: "{}".to_owned(), had_mark: true, replaced: 0 });
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for (bytes, problem) in [
            (&b""[..], "is empty"),
            (b" \n\t", "is empty"),
            ("\u{FEFF}".as_bytes(), "is empty"),
            (b"\xFF\xFE{\0}\0", "UTF-16"),
            (b"{\n\"a\": \"\xC3\x28\"}", "offset 8, in line 2"),
            (b"{\n\"a\": [1, 2", "line 2 column 10"),
            (b"{} {}", "trailing characters at line 1 column 4"),
            (b"\0\0\0", "is not JSON"),
            (b"{\"a\": \"\\ud8\"}", "is not JSON"),
            (b"\"a\nb\"", "is not JSON"),
        ] {
            let found = read(bytes).expect_err("is refused");
            assert!(found.contains(problem), "{found} / {problem}");
        }
    }
}
