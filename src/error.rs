//! The domain's errors: what failed and on what. No wire codes here; `api::error_kind` has them.

use std::fmt;

/// The result of everything below the wire.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the words of the domain.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A parameter is missing, unknown, or outside what is allowed.
    #[error("{}{problem}", field_prefix(.field))]
    InvalidParams {
        /// The parameter's path, such as `messages[2].role`; empty for the params as a whole.
        field: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// A search's query cannot be read.
    #[error("query: at character {offset}: expected {expected}, found {found}")]
    MalformedQuery {
        /// Where, in characters from 0.
        offset: usize,
        /// What was expected there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The named thing does not exist.
    #[error("{entity} {id:?} does not exist")]
    NotFound {
        /// What kind of thing: `session`, `message`, `project`.
        entity: &'static str,
        /// The id that was asked for.
        id: String,
    },
    /// The write contradicts what is stored.
    #[error("{entity} {id:?} {problem}")]
    Conflict {
        /// What kind of thing.
        entity: &'static str,
        /// Its id.
        id: String,
        /// How the write contradicts it.
        problem: String,
    },
    /// A recorded edit does not fit the file it is replayed on.
    #[error("{0}")]
    Misfit(Box<Misfit>),
    /// The state the client expected is not the state that is stored.
    #[error("{what}: expected {expected}, is {actual}")]
    PreconditionFailed {
        /// What was compared.
        what: &'static str,
        /// What the client expected.
        expected: i64,
        /// What is stored.
        actual: i64,
    },
    /// The feed no longer has what followed a cursor.
    #[error(
        "the change feed no longer has all that followed this cursor, or it is of another \
         database: read anew what you show, then go on from data.cursor"
    )]
    Expired {
        /// The place behind the newest change.
        cursor: String,
        /// The place in front of the oldest change that is kept.
        oldest: String,
    },
    /// Something is larger than its limit.
    #[error("{field} is {actual} bytes; the limit is {limit}")]
    TooLarge {
        /// The parameter's path, such as `messages[2].metadata`.
        field: String,
        /// The limit in bytes.
        limit: u64,
        /// Its size in bytes, as far as it was read.
        actual: u64,
    },
    /// What would be answered is larger than its limit; no single parameter is to blame.
    #[error("{what} is {actual} bytes; the limit is {limit}")]
    ResultTooLarge {
        /// What it is.
        what: String,
        /// The limit in bytes.
        limit: u64,
        /// Its size in bytes.
        actual: u64,
    },
    /// A limit on how much may be asked at once was reached.
    #[error("{what}: the limit is {limit}; try again when there is room")]
    Overloaded {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The search index is being built or is far behind; a search would not see all there is.
    #[error("the search index is at {done} of {total}; try again in a moment")]
    Indexing {
        /// How far the index is: messages while it is built, else changes.
        done: u64,
        /// How many there are.
        total: u64,
    },
    /// What is asked for was turned off when the daemon was started.
    #[error("{0}")]
    TurnedOff(&'static str),
    /// The disk, or the user's quota on it, is full. Nothing was written.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// The database is damaged or is not a database.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The engine or the file system failed in another way.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The daemon is stopping and takes no more work.
    #[error("the daemon is shutting down; connect again when it is back")]
    ShuttingDown,
    /// A defect in the daemon.
    #[error("internal error: {0}")]
    Internal(String),
    /// The daemon cannot start, or a command cannot run; the text says why and what to do.
    #[error("{0}")]
    Startup(String),
}

/// Where a recorded edit does not fit, and what it expects there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The edit's id.
    pub edit_id: String,
    /// The file's path before the edit, as recorded.
    pub file_path: String,
    /// What does not fit.
    pub what: MisfitPart,
    /// The hunk, from 1.
    pub hunk: Option<usize>,
    /// The line of the file, from 1.
    pub line: Option<usize>,
    /// What the edit expects; none for the end of the file.
    pub expected: Option<String>,
    /// What is there; none for the end of the file, or where there is no file.
    pub actual: Option<String>,
}

/// What of an edit does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MisfitPart {
    /// A line of a hunk, or the end of the file.
    Diff,
    /// The hash before the edit.
    BeforeHash,
    /// The hash after the edit.
    AfterHash,
    /// The path: another file is renamed to it.
    Path,
    /// The form: an adopted edit has a diff that cannot be read.
    Form,
}

impl MisfitPart {
    /// Returns the word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Diff => "diff",
            Self::BeforeHash => "before_hash",
            Self::AfterHash => "after_hash",
            Self::Path => "path",
            Self::Form => "form",
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 80;
        write!(f, "edit {:?} of {:?} does not fit", self.edit_id, self.file_path)?;
        if let Some(hunk) = self.hunk {
            write!(f, ", hunk {hunk}")?;
        }
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if self.what != MisfitPart::Diff {
            write!(f, ", {}", self.what.word())?;
        }
        for (word, text) in [(": expected", &self.expected), (", found", &self.actual)] {
            match text {
                None => write!(f, "{word} nothing")?,
                Some(text) if text.len() > SHOWN => {
                    write!(f, "{word} {:?}…", &text[..text.floor_char_boundary(SHOWN)])?;
                }
                Some(text) => write!(f, "{word} {text:?}")?,
            }
        }
        Ok(())
    }
}

fn field_prefix(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("{field}: ") }
}

impl Error {
    /// Returns an [`Error::InvalidParams`].
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::InvalidParams { field: field.into(), problem: problem.into() }
    }

    /// Returns an [`Error::NotFound`].
    pub fn not_found(entity: &'static str, id: impl fmt::Display) -> Self {
        Self::NotFound { entity, id: id.to_string() }
    }

    /// Returns an [`Error::Conflict`].
    pub fn conflict(
        entity: &'static str,
        id: impl fmt::Display,
        problem: impl Into<String>,
    ) -> Self {
        Self::Conflict { entity, id: id.to_string(), problem: problem.into() }
    }

    /// Returns an [`Error::Storage`] about an operation on a path.
    pub fn io(action: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let text = format!("{action} {}: {error}", path.display());
        match error.kind() {
            std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge => Self::DiskFull(text),
            _ => Self::Storage(text),
        }
    }

    /// True for a failure of the engine or the disk, where the rest of a group may still succeed.
    pub fn is_storage(&self) -> bool {
        matches!(self, Self::DiskFull(_) | Self::Damaged(_) | Self::Storage(_))
    }
}
