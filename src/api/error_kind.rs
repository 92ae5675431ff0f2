//! The kinds of error on the wire: the stable word clients switch on, and its code.

use jsonrpsee_types::ErrorCode;

use crate::error::Error;

macro_rules! error_kinds {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal, $code:expr, retryable $retryable:literal;)*) => {
        /// A kind of error. The word never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorKind {
            $($(#[doc = $doc])* $name,)*
        }

        impl ErrorKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the word in `data.kind`.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Returns the number in `code`.
            pub const fn code(self) -> i32 {
                match self { $(Self::$name => $code,)* }
            }

            /// True where the same call may succeed later, unchanged.
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$name => $retryable,)* }
            }

            /// Returns what the kind means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*),)* }
            }
        }
    };
}

error_kinds! {
    /// The frame is not JSON.
    ParseError = "parse_error", ErrorCode::ParseError.code(), retryable false;
    /// The frame is JSON but not a JSON-RPC 2.0 request.
    InvalidRequest = "invalid_request", ErrorCode::InvalidRequest.code(), retryable false;
    /// There is no such method.
    MethodNotFound = "method_not_found", ErrorCode::MethodNotFound.code(), retryable false;
    /// A param is missing, unknown or not allowed; `data.field` names it.
    InvalidParams = "invalid_params", ErrorCode::InvalidParams.code(), retryable false;
    /// A defect in the daemon; its log has more.
    Internal = "internal", ErrorCode::InternalError.code(), retryable false;
    /// What the call names does not exist.
    NotFound = "not_found", 1404, retryable false;
    /// The write contradicts what is stored.
    Conflict = "conflict", 1409, retryable false;
    /// The change feed no longer has what followed the cursor; `data.cursor` is where to start again.
    Expired = "expired", 1410, retryable false;
    /// What the client expected is not so; `data.expected` and `data.actual` tell.
    PreconditionFailed = "precondition_failed", 1412, retryable false;
    /// A frame, a text or a batch is over its limit; `data.limit` tells it.
    TooLarge = "too_large", 1413, retryable false;
    /// Too much is asked at once (`data.limit` tells how much may be), or the search index is behind.
    Overloaded = "overloaded", 1429, retryable true;
    /// The engine or the file system failed; the daemon's log has more.
    Storage = "storage", 1500, retryable false;
    /// What is asked for was turned off when the daemon was started.
    TurnedOff = "turned_off", 1501, retryable false;
    /// The daemon is stopping.
    ShuttingDown = "shutting_down", 1503, retryable true;
    /// The disk is full; nothing of the call was written.
    DiskFull = "disk_full", 1507, retryable true;
}

impl From<&Error> for ErrorKind {
    fn from(error: &Error) -> Self {
        match error {
            Error::InvalidParams { .. } | Error::MalformedQuery { .. } => Self::InvalidParams,
            Error::NotFound { .. } => Self::NotFound,
            Error::Conflict { .. } | Error::Misfit(_) => Self::Conflict,
            Error::Expired { .. } => Self::Expired,
            Error::PreconditionFailed { .. } => Self::PreconditionFailed,
            Error::TooLarge { .. } | Error::ResultTooLarge { .. } => Self::TooLarge,
            Error::Overloaded { .. } | Error::Indexing { .. } => Self::Overloaded,
            Error::TurnedOff(_) => Self::TurnedOff,
            Error::DiskFull(_) => Self::DiskFull,
            Error::Damaged(_) | Error::Storage(_) => Self::Storage,
            Error::ShuttingDown => Self::ShuttingDown,
            Error::Internal(_) | Error::Startup(_) => Self::Internal,
        }
    }
}
