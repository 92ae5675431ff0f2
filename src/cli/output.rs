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
    let text = if std::io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    line(&text.map_err(|error| Error::Internal(format!("the output is not JSON: {error}")))?)
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
