//! Errors as they go over the wire: code, message, and data with the stable kind.

use jsonrpsee_types::ErrorObjectOwned;
use serde_json::{Map, Value, json};

use crate::api::ErrorKind;
use crate::error::Error;

/// Makes the error object of a kind, with more members for its data.
pub fn error_object(
    kind: ErrorKind,
    message: impl Into<String>,
    more: &[(&str, Value)],
) -> ErrorObjectOwned {
    let mut data = Map::new();
    data.insert("kind".to_owned(), json!(kind.word()));
    data.insert("retryable".to_owned(), json!(kind.is_retryable()));
    for (name, value) in more {
        data.insert((*name).to_owned(), value.clone());
    }
    ErrorObjectOwned::owned(kind.code(), message, Some(data))
}

/// Makes the error object of a domain error. What happened inside goes to the log alone.
pub fn from_error(error: &Error) -> ErrorObjectOwned {
    let kind = ErrorKind::from(error);
    match error {
        Error::InvalidParams { field, .. } if !field.is_empty() => {
            error_object(kind, error.to_string(), &[("field", json!(field))])
        }
        Error::MalformedQuery { offset, expected, .. } => error_object(
            kind,
            error.to_string(),
            &[("field", json!("query")), ("offset", json!(offset)), ("expected", json!(expected))],
        ),
        Error::Indexing { done, total } => {
            error_object(kind, error.to_string(), &[("done", json!(done)), ("total", json!(total))])
        }
        Error::PreconditionFailed { expected, actual, .. } => error_object(
            kind,
            error.to_string(),
            &[("expected", json!(expected)), ("actual", json!(actual))],
        ),
        Error::Misfit(misfit) => error_object(
            kind,
            error.to_string(),
            &[
                ("edit_id", json!(misfit.edit_id)),
                ("file_path", json!(misfit.file_path)),
                ("what", json!(misfit.what.word())),
                ("hunk", json!(misfit.hunk)),
                ("line", json!(misfit.line)),
                ("expected", json!(misfit.expected)),
                ("actual", json!(misfit.actual)),
            ],
        ),
        Error::Expired { cursor, oldest } => error_object(
            kind,
            error.to_string(),
            &[("cursor", json!(cursor)), ("oldest", json!(oldest))],
        ),
        Error::TooLarge { field, limit, actual } => error_object(
            kind,
            error.to_string(),
            &[("field", json!(field)), ("limit", json!(limit)), ("actual", json!(actual))],
        ),
        Error::ResultTooLarge { limit, actual, .. } => error_object(
            kind,
            error.to_string(),
            &[("limit", json!(limit)), ("actual", json!(actual))],
        ),
        Error::Overloaded { limit, .. } => {
            error_object(kind, error.to_string(), &[("limit", json!(limit))])
        }
        Error::DiskFull(inside) => {
            tracing::error!(error = %inside, "the disk is full");
            error_object(
                kind,
                "the disk is full; nothing was written; make room and try again",
                &[],
            )
        }
        Error::Storage(_) | Error::Damaged(_) => {
            tracing::error!(%error, "a call failed in the storage");
            error_object(kind, "the storage failed; the daemon's log says how", &[])
        }
        Error::Internal(_) | Error::Startup(_) => {
            tracing::error!(%error, "a call met a defect");
            error_object(kind, "an internal error; the daemon's log says more", &[])
        }
        _ => error_object(kind, error.to_string(), &[]),
    }
}

/// Makes the answer to a frame that is over the limit.
pub fn frame_too_large(limit: usize) -> ErrorObjectOwned {
    error_object(
        ErrorKind::TooLarge,
        format!("the frame is over the limit of {limit} bytes and was not read"),
        &[("limit", json!(limit))],
    )
}
