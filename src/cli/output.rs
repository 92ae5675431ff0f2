//! What commands print: text for a person, JSON for a program.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use super::Failure;
use crate::client::ClientError;
use crate::error::Error;

/// Prints a line.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(Failure::Output)
}

/// Prints a value as JSON: indented on a terminal, one line otherwise.
pub(super) fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::Internal(format!("the output is not JSON: {error}")))?;
    if std::io::stdout().is_terminal() { line(&indented(&text)) } else { line(&text) }
}

/// Indents JSON by two spaces a level, and changes nothing else of it.
///
/// Not by way of a value: that would take away members that an object has twice. And `serde_json`
/// itself indents no text that it is given as JSON, such as a result.
fn indented(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut tokens = json.chars().peekable();
    while let Some(token) = tokens.next() {
        match token {
            '"' => {
                text.push(token);
                while let Some(letter) = tokens.next() {
                    text.push(letter);
                    match letter {
                        '\\' => text.extend(tokens.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                text.push(token);
                while tokens.next_if(char::is_ascii_whitespace).is_some() {}
                match tokens.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => text.push(end),
                    None => {
                        depth += 1;
                        break_line(&mut text, depth);
                    }
                }
            }
            '}' | ']' => {
                depth -= 1;
                break_line(&mut text, depth);
                text.push(token);
            }
            ',' => {
                text.push(token);
                break_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            ' ' | '\t' | '\r' | '\n' => {}
            letter => text.push(letter),
        }
    }
    text
}

fn break_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

/// Tells on stderr why a command failed.
pub(super) fn print_failure(failure: &Failure, as_json: bool) {
    let mut stderr = std::io::stderr().lock();
    // Where even stderr is gone, there is nobody to tell.
    let _ = match failure {
        Failure::Client(ClientError::Rpc { code, message, kind, data, .. }) if as_json => {
            let data = serde_json::from_str(data).unwrap_or(serde_json::Value::Null);
            let error =
                serde_json::json!({ "code": code, "message": message, "kind": kind, "data": data });
            writeln!(stderr, "{error}")
        }
        Failure::Client(ClientError::Rpc { kind, .. }) => {
            writeln!(stderr, "error: {kind}: {failure}")
        }
        _ if as_json => {
            writeln!(stderr, "{}", serde_json::json!({ "message": failure.to_string() }))
        }
        _ => writeln!(stderr, "error: {failure}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indenting_changes_space_alone() {
        let json = r#"{"a":[1,{ }, [ ] ,"x, {\" : \\"],"b" :{"c":1.50,"c":1e999}}"#;
        let expected = r#"{
  "a": [
    1,
    {},
    [],
    "x, {\" : \\"
  ],
  "b": {
    "c": 1.50,
    "c": 1e999
  }
}"#;
        assert_eq!(indented(json), expected);
        for scalar in ["1", "\"a b\"", "null", "[]"] {
            assert_eq!(indented(scalar), scalar);
        }
    }
}
