//! The Turso engine.
//!
//! Turso's futures do their I/O inside `poll`, so a connection is driven to the end on the
//! thread that holds it. Statements are prepared once and kept; no connection is ever cloned.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use pollster::block_on;
use turso::{Builder, Database, Rows, Statement};

use super::turso_io::LogKeepingIo;
use super::{Cell, Connection, EachRow, Engine, Row, Value};
use crate::error::{Error, Result};
use crate::store::format::fold::fold_where_empty;

/// What every connection is told first. Without `temp_store` each INSERT makes a temporary file.
const PRAGMAS: &[&str] = &[
    "PRAGMA temp_store = MEMORY",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -8192",
];

/// An open Turso database.
pub struct TursoEngine {
    database: Database,
}

impl TursoEngine {
    /// Opens a database file, creating it where there is none.
    pub fn open(path: &Path) -> Result<Self> {
        let text = path.to_str().ok_or_else(|| {
            Error::Startup(format!(
                "the path {} is not UTF-8; choose another --home",
                path.display()
            ))
        })?;
        fold_where_empty(path)?;
        let io = LogKeepingIo::new().map_err(|error| Error::Storage(error.to_string()))?;
        let database = block_on(Builder::new_local(text).with_io_impl(Arc::new(io)).build())
            .map_err(translate)?;
        Ok(Self { database })
    }
}

impl Engine for TursoEngine {
    fn name(&self) -> &'static str {
        "turso"
    }

    fn connect(&self) -> Result<Box<dyn Connection>> {
        let inner = self.database.connect().map_err(translate)?;
        let mut connection = TursoConnection { statements: HashMap::new(), inner };
        for pragma in PRAGMAS {
            super::run(&mut connection, pragma)?;
        }
        Ok(Box::new(connection))
    }
}

struct TursoConnection {
    /// Declared before the connection, so dropped before it.
    statements: HashMap<Cow<'static, str>, Statement>,
    inner: turso::Connection,
}

impl TursoConnection {
    fn statement(&mut self, sql: &'static str) -> Result<&mut Statement> {
        use std::collections::hash_map::Entry;
        match self.statements.entry(Cow::Borrowed(sql)) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                Ok(entry.insert(block_on(self.inner.prepare(sql)).map_err(translate)?))
            }
        }
    }
}

impl Connection for TursoConnection {
    fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64> {
        let statement = self.statement(sql)?;
        let changed = block_on(statement.execute(owned(params))).map_err(translate);
        if changed.is_err() {
            // A failed statement is not reused: prepare it anew the next time.
            self.statements.remove(sql);
        }
        changed
    }

    fn execute_text(&mut self, sql: &str, params: &[Value<'_>]) -> Result<u64> {
        if !self.statements.contains_key(sql) {
            let statement = block_on(self.inner.prepare(sql)).map_err(translate)?;
            self.statements.insert(Cow::Owned(sql.to_owned()), statement);
        }
        let statement = self.statements.get_mut(sql).expect("it was just put there");
        let changed = block_on(statement.execute(owned(params))).map_err(translate);
        if changed.is_err() {
            self.statements.remove(sql);
        }
        changed
    }

    fn query(
        &mut self,
        sql: &'static str,
        params: &[Value<'_>],
        each: &mut EachRow<'_>,
    ) -> Result<()> {
        let statement = self.statement(sql)?;
        let read = block_on(statement.query(owned(params)))
            .map_err(translate)
            .and_then(|rows| read_rows(rows, each))
            .and_then(|read| match read {
                ControlFlow::Continue(()) => Ok(()),
                // It would count as active until it runs again, beside which no checkpoint is made.
                ControlFlow::Break(()) => statement.reset().map_err(translate),
            });
        if read.is_err() {
            self.statements.remove(sql);
        }
        read
    }

    fn run(&mut self, sql: &str, each: &mut EachRow<'_>) -> Result<()> {
        let rows = block_on(self.inner.query(sql, ())).map_err(translate)?;
        read_rows(rows, each).map(|_| ())
    }

    fn is_autocommit(&self) -> Result<bool> {
        self.inner.is_autocommit().map_err(translate)
    }
}

/// Hands on rows until told to stop, and returns whether it was.
fn read_rows(mut rows: Rows, each: &mut EachRow<'_>) -> Result<ControlFlow<()>> {
    let columns = rows.column_count();
    while let Some(row) = block_on(rows.next()).map_err(translate)? {
        let cells: Result<Vec<Cell>> =
            (0..columns).map(|at| row.get_value(at).map(cell).map_err(translate)).collect();
        if each(&mut Row::new(cells?))?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn cell(value: turso::Value) -> Cell {
    match value {
        turso::Value::Null => Cell::Null,
        turso::Value::Integer(number) => Cell::Int(number),
        turso::Value::Real(number) => Cell::Real(number),
        turso::Value::Text(text) => Cell::Text(text),
        turso::Value::Blob(bytes) => Cell::Blob(bytes),
    }
}

fn owned(params: &[Value<'_>]) -> Vec<turso::Value> {
    params
        .iter()
        .map(|value| match value {
            Value::Null => turso::Value::Null,
            Value::Int(number) => turso::Value::Integer(*number),
            Value::Real(number) => turso::Value::Real(*number),
            Value::Text(text) => turso::Value::Text((*text).to_owned()),
            Value::Blob(bytes) => turso::Value::Blob((*bytes).to_owned()),
        })
        .collect()
}

fn translate(error: turso::Error) -> Error {
    use std::io::ErrorKind;
    let text = error.to_string();
    match error {
        turso::Error::IoError(
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge,
            _,
        )
        | turso::Error::DatabaseFull(_) => Error::DiskFull(text),
        turso::Error::NotAdb(_) | turso::Error::Corrupt(_) => Error::Damaged(text),
        _ => Error::Storage(text),
    }
}
