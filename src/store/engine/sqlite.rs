//! The SQLite engine (feature `sqlite`): the same store on the engine everybody knows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{ErrorCode, ToSql, params_from_iter};

use super::{Cell, Connection, EachRow, Engine, Row, Value};
use crate::error::{Error, Result};

/// Statements a connection keeps; more than the store has.
const KEPT_STATEMENTS: usize = 256;

/// An SQLite database file.
pub struct SqliteEngine {
    path: PathBuf,
}

impl SqliteEngine {
    /// Opens a database file, creating it where there is none.
    pub fn open(path: &Path) -> Result<Self> {
        refuse_checksums(path)?;
        let engine = Self { path: path.to_owned() };
        engine.connect()?;
        Ok(engine)
    }
}

/// Refuses a file whose pages have checksums, which SQLite would not keep.
fn refuse_checksums(path: &Path) -> Result<()> {
    if crate::store::format::has_checksums(path)? {
        return Err(Error::Startup(format!(
            "the pages of {} have checksums, which only Turso keeps; start with `--engine turso`",
            path.display()
        )));
    }
    Ok(())
}

impl Engine for SqliteEngine {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn connect(&self) -> Result<Box<dyn Connection>> {
        let inner = rusqlite::Connection::open(&self.path).map_err(translate)?;
        inner.busy_timeout(Duration::from_secs(5)).map_err(translate)?;
        inner.set_prepared_statement_cache_capacity(KEPT_STATEMENTS);
        let mut connection = SqliteConnection { inner };
        for pragma in [
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA temp_store = MEMORY",
            "PRAGMA foreign_keys = ON",
        ] {
            super::run(&mut connection, pragma)?;
        }
        Ok(Box::new(connection))
    }
}

struct SqliteConnection {
    inner: rusqlite::Connection,
}

impl Connection for SqliteConnection {
    fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64> {
        self.execute_text(sql, params)
    }

    fn execute_text(&mut self, sql: &str, params: &[Value<'_>]) -> Result<u64> {
        let mut statement = self.inner.prepare_cached(sql).map_err(translate)?;
        let changed = statement.execute(params_from_iter(params)).map_err(translate)?;
        Ok(changed as u64)
    }

    fn query(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        each: &mut EachRow<'_>,
    ) -> Result<()> {
        let mut statement = self.inner.prepare_cached(sql).map_err(translate)?;
        let columns = statement.column_count();
        read_rows(statement.query(params_from_iter(params)).map_err(translate)?, columns, each)
    }

    fn run(&mut self, sql: &str, each: &mut EachRow<'_>) -> Result<()> {
        let mut statement = self.inner.prepare(sql).map_err(translate)?;
        let columns = statement.column_count();
        read_rows(statement.query([]).map_err(translate)?, columns, each)
    }

    fn is_autocommit(&self) -> Result<bool> {
        Ok(self.inner.is_autocommit())
    }
}

fn read_rows(mut rows: rusqlite::Rows<'_>, columns: usize, each: &mut EachRow<'_>) -> Result<()> {
    while let Some(row) = rows.next().map_err(translate)? {
        let cells: Result<Vec<Cell>> =
            (0..columns).map(|at| cell(row.get_ref(at).map_err(translate)?)).collect();
        if each(&mut Row::new(cells?))?.is_break() {
            break;
        }
    }
    Ok(())
}

fn cell(value: ValueRef<'_>) -> Result<Cell> {
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(bytes) => Cell::Text(
            std::str::from_utf8(bytes)
                .map_err(|_| Error::Damaged("a text is not UTF-8".to_owned()))?
                .to_owned(),
        ),
        ValueRef::Blob(bytes) => Cell::Blob(bytes.to_vec()),
    })
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn translate(error: rusqlite::Error) -> Error {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::DiskFull(text),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Damaged(text),
        _ => Error::Storage(text),
    }
}
