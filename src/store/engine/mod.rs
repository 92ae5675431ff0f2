//! The seam to the storage engine: a connection that runs one statement at a time, on its own thread.
//!
//! Two engines implement it: Turso, the default, and SQLite (feature `sqlite`), which proves the
//! seam. Calls block; whoever holds a connection gives it a thread.

#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod turso;
mod turso_io;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::config::EngineKind;
use crate::error::{Error, Result};

/// A value bound to a statement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// An integer.
    Int(i64),
    /// A real number; none of our columns holds one, older files may.
    Real(f64),
    /// A text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

impl Value<'_> {
    /// Its size in bytes, about.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Null => 1,
            Self::Int(_) | Self::Real(_) => 8,
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
        }
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Blob(bytes)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<'a> From<&'a Cell> for Value<'a> {
    fn from(cell: &'a Cell) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Int(number) => Self::Int(*number),
            Cell::Real(number) => Self::Real(*number),
            Cell::Text(text) => Self::Text(text),
            Cell::Blob(bytes) => Self::Blob(bytes),
        }
    }
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// An integer.
    Int(i64),
    /// A real number; none of our columns holds one, older files may.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A row of a result, taken apart from the left.
#[derive(Debug)]
pub struct Row {
    cells: std::vec::IntoIter<Cell>,
}

impl Row {
    /// Returns a row of these cells.
    pub fn new(cells: Vec<Cell>) -> Self {
        Self { cells: cells.into_iter() }
    }

    /// Returns the next cell.
    pub fn cell(&mut self) -> Result<Cell> {
        self.cells.next().ok_or_else(|| Error::Internal("a row has too few columns".to_owned()))
    }

    /// Returns the next cell, an integer.
    pub fn int(&mut self) -> Result<i64> {
        self.optional_int()?
            .ok_or_else(|| Error::Damaged("NULL where an integer belongs".to_owned()))
    }

    /// Returns the next cell, an integer or NULL.
    pub fn optional_int(&mut self) -> Result<Option<i64>> {
        match self.cell()? {
            Cell::Null => Ok(None),
            Cell::Int(number) => Ok(Some(number)),
            other => Err(Error::Damaged(format!("{} where an integer belongs", kind_of(&other)))),
        }
    }

    /// Returns the next cell, a text.
    pub fn text(&mut self) -> Result<String> {
        self.optional_text()?.ok_or_else(|| Error::Damaged("NULL where a text belongs".to_owned()))
    }

    /// Returns the next cell, a text or NULL.
    pub fn optional_text(&mut self) -> Result<Option<String>> {
        match self.cell()? {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            other => Err(Error::Damaged(format!("{} where a text belongs", kind_of(&other)))),
        }
    }

    /// Returns the next cell, bytes.
    pub fn blob(&mut self) -> Result<Vec<u8>> {
        match self.cell()? {
            Cell::Blob(bytes) => Ok(bytes),
            other => Err(Error::Damaged(format!("{} where bytes belong", kind_of(&other)))),
        }
    }
}

fn kind_of(cell: &Cell) -> &'static str {
    match cell {
        Cell::Null => "NULL",
        Cell::Int(_) => "an integer",
        Cell::Real(_) => "a real number",
        Cell::Text(_) => "a text",
        Cell::Blob(_) => "bytes",
    }
}

/// What is done with each row: go on, or stop reading.
pub type EachRow<'a> = dyn FnMut(&mut Row) -> Result<ControlFlow<()>> + 'a;

/// An open database.
pub trait Engine: Send + Sync {
    /// Returns the engine's name, as `engine = "…"` has it.
    fn name(&self) -> &'static str;

    /// Opens another connection.
    fn connect(&self) -> Result<Box<dyn Connection>>;
}

/// A connection. Statements are prepared once by their text and kept.
pub trait Connection: Send {
    /// Runs a statement that returns no rows, and returns how many rows it changed.
    fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64>;

    /// Runs a statement whose text is made for a table that is not known beforehand.
    fn execute_text(&mut self, sql: &str, params: &[Value<'_>]) -> Result<u64>;

    /// Runs a statement that returns rows.
    fn query(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        each: &mut EachRow<'_>,
    ) -> Result<()>;

    /// Runs a text of one statement that is not kept, such as a PRAGMA, and drops its rows.
    fn run(&mut self, sql: &str, each: &mut EachRow<'_>) -> Result<()>;

    /// True outside a transaction.
    fn is_autocommit(&self) -> Result<bool>;
}

/// Has a commit not wait for the disk: a file that is made anew is flushed before it is anything.
///
/// Not `OFF`: with that, Turso moves the log into the file and takes no note of it, so that the log grows
/// as long as the file, and each checkpoint moves all of it again.
pub(super) const COMMIT_WITHOUT_FLUSH: &str = "PRAGMA synchronous = NORMAL";

/// Opens a database file, creating it where there is none.
pub fn open(kind: EngineKind, path: &Path) -> Result<Arc<dyn Engine>> {
    match kind {
        EngineKind::Turso => Ok(Arc::new(turso::TursoEngine::open(path)?)),
        #[cfg(feature = "sqlite")]
        EngineKind::Sqlite => Ok(Arc::new(sqlite::SqliteEngine::open(path)?)),
        #[cfg(not(feature = "sqlite"))]
        EngineKind::Sqlite => Err(Error::Startup(
            "this build has no SQLite engine; build it with `--features sqlite`, or say `--engine turso`"
                .to_owned(),
        )),
    }
}

/// Quotes a name for SQL. Where a column may be missing, its table stands before it: a quoted name alone
/// that names nothing is a text.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Runs a statement for its effect.
pub fn run(connection: &mut dyn Connection, sql: &str) -> Result<()> {
    connection.run(sql, &mut |_| Ok(ControlFlow::Continue(())))
}

/// Runs a statement and returns the first cell of its first row.
pub fn scalar(connection: &mut dyn Connection, sql: &str) -> Result<Option<Cell>> {
    let mut first = None;
    connection.run(sql, &mut |row| {
        if first.is_none() {
            first = Some(row.cell()?);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(first)
}

/// Runs the engine's own check of the whole file and returns what it found.
///
/// What the engine cannot read is a problem that was found, not a failure of the check.
pub fn integrity_problems(connection: &mut dyn Connection) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let checked = connection.run("PRAGMA integrity_check", &mut |row| {
        let line = row.text()?;
        if line != "ok" {
            problems.push(line);
        }
        Ok(ControlFlow::Continue(()))
    });
    match checked {
        Ok(()) => Ok(problems),
        Err(error @ (Error::Damaged(_) | Error::Storage(_))) => {
            problems.push(format!("the check could not go on: {error}"));
            Ok(problems)
        }
        Err(error) => Err(error),
    }
}

/// Returns the steps by which an engine carries out a statement, so that a test sees a scan or a sort.
#[cfg(test)]
pub(super) fn query_plan(connection: &mut dyn Connection, sql: &str) -> Vec<String> {
    // SQLite explains no statement whose parameters have no values.
    let sql = ["?1", "?2", "?3", "?4", "?5", "?6"]
        .iter()
        .fold(sql.to_owned(), |sql, name| sql.replace(name, "1"));
    let mut plan = Vec::new();
    connection
        .run(&format!("EXPLAIN QUERY PLAN {sql}"), &mut |row| {
            for _ in ["id", "parent", "unused"] {
                row.cell()?;
            }
            plan.push(row.text()?);
            Ok(ControlFlow::Continue(()))
        })
        .expect("a plan");
    plan
}
