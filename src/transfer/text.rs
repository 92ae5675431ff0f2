//! From a file's bytes to JSON text that can be taken apart: checked, repaired, on one line.

use super::torn;

/// The JSON text of a file.
#[derive(Debug, Default, PartialEq, Eq)]
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
    /// How many NUL bytes stood behind the text, as a crash leaves them.
    pub(super) padding: usize,
    /// After how many bytes the file ends too early, where it does: what is whole of it is the text.
    pub(super) cut: Option<usize>,
}

/// Reads a file's bytes, or returns why they are not JSON and where.
///
/// A lone surrogate (`"\ud83e"`, half of an emoji that was cut in two) is what JavaScript writes
/// and no Unicode text can hold: it is replaced and counted. Of a file that was cut off, what is whole
/// is taken. Bytes that are not UTF-8 are no work of the IDE's, and refused.
pub(super) fn read(bytes: &[u8]) -> Result<Text, String> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err("is UTF-16; save it as UTF-8".to_owned());
    }
    let unpadded = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let (text, ends_within_a_letter) = utf8(&bytes[..unpadded])?;
    let body = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let (had_mark, padding) = (body.len() != text.len(), bytes.len() - unpadded);
    if body.trim_ascii().is_empty() {
        return Err(match padding {
            0 => "is empty".to_owned(),
            _ => format!("is not JSON: {padding} NUL bytes"),
        });
    }
    let problem = match serde_json::from_str::<&serde_json::value::RawValue>(body) {
        Ok(_) if !ends_within_a_letter => {
            let (json, replaced) = normalized(body);
            return Ok(Text { json, had_mark, replaced, padding, cut: None });
        }
        Ok(_) => return Err("is not UTF-8: it ends within a letter".to_owned()),
        Err(error) => error,
    };
    let whole = if problem.is_eof() { torn::whole_part(body) } else { None };
    let whole = whole.ok_or_else(|| format!("is not JSON: {problem}"))?;
    let (json, replaced) = normalized(&whole);
    Ok(Text { json, had_mark, replaced, padding, cut: Some(unpadded) })
}

/// Returns the text of some bytes, and true where they end within a letter.
fn utf8(bytes: &[u8]) -> Result<(&str, bool), String> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok((text, false)),
        Err(error) => error,
    };
    let at = error.valid_up_to();
    if error.error_len().is_none() {
        let text = std::str::from_utf8(&bytes[..at]).expect("it is valid up to there");
        return Ok((text, true));
    }
    let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    Err(format!("is not UTF-8: a bad byte at offset {at}, in line {line}"))
}

/// Drops the white space outside strings and replaces lone surrogates, in a text that is valid JSON.
fn normalized(text: &str) -> (String, usize) {
    let mut json = String::with_capacity(text.len());
    let mut replaced = 0;
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'"', rest.as_bytes()) {
        push_tokens(&mut json, &rest[..at]);
        let end = at + 1 + string_length(&rest[at + 1..]);
        replaced += push_string(&mut json, &rest[at..end]);
        rest = &rest[end..];
    }
    push_tokens(&mut json, rest);
    (json, replaced)
}

/// Appends what stands between strings, without its white space.
fn push_tokens(json: &mut String, tokens: &str) {
    tokens.split_ascii_whitespace().for_each(|token| json.push_str(token));
}

/// Returns the length of a string's text behind its opening quote, the closing quote included.
fn string_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

/// Appends a string, and returns how many lone surrogates in it were replaced.
fn push_string(json: &mut String, string: &str) -> usize {
    let mut replaced = 0;
    let mut rest = string;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
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
        assert_eq!(text, Text { json: "{}".to_owned(), had_mark: true, ..Text::default() });
    }

    #[test]
    fn what_is_whole_of_a_file_that_was_cut_off_is_taken() {
        for (bytes, json, cut, padding) in [
            (
                &b"{\"id\": \"s\", \"messages\": [{\"a\": 1}, {\"b"[..],
                r#"{"id":"s","messages":[{"a":1}]}"#,
                Some(38),
                0,
            ),
            (
                "{\"a\": 1, \"b\": \"é".as_bytes().split_last().expect("bytes").1,
                r#"{"a":1}"#,
                Some(16),
                0,
            ),
            (b"{\"a\": 1}\0\0", r#"{"a":1}"#, None, 2),
            (b"{\"a\": 1, \"b\0\0\0", r#"{"a":1}"#, Some(11), 3),
            (b"{\"a\": \"\\ud83e\", \"b\":", r#"{"a":"\ufffd"}"#, Some(20), 0),
        ] {
            let text = read(bytes).expect("something is whole");
            assert_eq!((text.json.as_str(), text.cut, text.padding), (json, cut, padding));
        }
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
