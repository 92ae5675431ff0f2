//! A table of the new database, and how rows that were found get into it.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use super::report::RowName;
use crate::error::Result;
use crate::model::{JsonObject, Role};
use crate::store::engine::{self, Cell, Connection, Value};
use crate::store::format::tree::FoundRow;
use crate::store::hidden::Hidden;

/// A table as the new database has it.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// The column that is the row's number, where there is one.
    rowid_column: Option<usize>,
    /// The statement that inserts a row of so many columns.
    inserts: HashMap<usize, &'static str>,
    delete: Option<&'static str>,
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    kind: String,
    is_required: bool,
    has_default: bool,
    pub(super) is_key: bool,
}

impl Table {
    /// Describes a table.
    pub(super) fn describe(connection: &mut dyn Connection, name: &str) -> Result<Self> {
        let mut columns = Vec::new();
        connection.run(&format!("PRAGMA table_info({})", engine::quoted(name)), &mut |row| {
            row.cell()?;
            let name = row.text()?;
            let kind = row.text()?.to_uppercase();
            let is_required = row.int()? != 0;
            let has_default = row.cell()? != Cell::Null;
            let is_key = row.int()? != 0;
            columns.push(Column { name, kind, is_required, has_default, is_key });
            Ok(ControlFlow::Continue(()))
        })?;
        let mut keys = columns.iter().enumerate().filter(|(_, column)| column.is_key);
        let rowid_column = match (keys.next(), keys.next()) {
            (Some((at, column)), None) if column.kind == "INTEGER" => Some(at),
            _ => None,
        };
        Ok(Self {
            name: name.to_owned(),
            columns,
            rowid_column,
            inserts: HashMap::new(),
            delete: None,
        })
    }

    /// True where a row can be one of this table.
    pub(super) fn fits(&self, row: &FoundRow) -> bool {
        let count = row.cells.len();
        let is_possible = |(at, column): (usize, &Column)| match row.cells.get(at) {
            _ if self.rowid_column == Some(at) => row.cells.get(at) == Some(&Cell::Null),
            // A column that was added later.
            None => column.has_default || !column.is_required,
            Some(Cell::Null) => !column.is_required,
            Some(cell) => {
                matches!(
                    (column.kind.as_str(), cell),
                    ("TEXT", Cell::Text(_)) | ("INTEGER", Cell::Int(_)) | ("BLOB", Cell::Blob(_))
                ) || !matches!(column.kind.as_str(), "TEXT" | "INTEGER" | "BLOB")
            }
        };
        count > 0
            && count <= self.columns.len()
            && self.columns.iter().enumerate().all(is_possible)
            && (row.is_sound || self.is_readable(row))
    }

    /// True where what has a form of its own has it. One altered text that is none would keep all that
    /// is on its page from being read.
    fn is_readable(&self, row: &FoundRow) -> bool {
        self.columns.iter().zip(&row.cells).all(|(column, cell)| match cell {
            Cell::Text(text) => has_form(&self.name, &column.name, text),
            _ => true,
        })
    }

    /// Inserts a row, and returns false where the table refuses it, as one whose key is taken.
    pub(super) fn insert(
        &mut self,
        connection: &mut dyn Connection,
        row: &FoundRow,
    ) -> Result<bool> {
        let sql = self.insert_of(row.cells.len());
        let params: Vec<Value<'_>> = row
            .cells
            .iter()
            .enumerate()
            .map(|(at, cell)| match cell {
                _ if self.rowid_column == Some(at) => Value::Int(row.rowid),
                cell => value(cell),
            })
            .collect();
        Ok(connection.execute(sql, &params)? > 0)
    }

    /// The statement is kept for the rest of the process: there are few, once at a recovery.
    fn insert_of(&mut self, count: usize) -> &'static str {
        self.inserts.entry(count).or_insert_with(|| {
            let names: Vec<String> =
                self.columns[..count].iter().map(|column| engine::quoted(&column.name)).collect();
            let places: Vec<String> = (1..=count).map(|at| format!("?{at}")).collect();
            let sql = format!(
                "INSERT OR IGNORE INTO {} ({}) VALUES ({})",
                engine::quoted(&self.name),
                names.join(", "),
                places.join(", ")
            );
            Box::leak(sql.into_boxed_str())
        })
    }

    /// Returns a row of these cells, one for each column.
    pub(super) fn with_rowid(&self, mut cells: Vec<Cell>) -> FoundRow {
        let mut rowid = 0;
        if let Some(at) = self.rowid_column
            && let Cell::Int(number) = std::mem::replace(&mut cells[at], Cell::Null)
        {
            rowid = number;
        }
        FoundRow { rowid, cells, is_sound: true }
    }

    /// Deletes the row that has the key of this one.
    pub(super) fn delete(&mut self, connection: &mut dyn Connection, row: &FoundRow) -> Result<()> {
        let keys: Vec<usize> =
            (0..self.columns.len()).filter(|at| self.columns[*at].is_key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let sql = self.delete.get_or_insert_with(|| {
            let wanted: Vec<String> = keys
                .iter()
                .enumerate()
                .map(|(place, at)| {
                    format!("{} = ?{}", engine::quoted(&self.columns[*at].name), place + 1)
                })
                .collect();
            let sql = format!(
                "DELETE FROM {} WHERE {}",
                engine::quoted(&self.name),
                wanted.join(" AND ")
            );
            Box::leak(sql.into_boxed_str())
        });
        let params: Vec<Value<'_>> = keys
            .iter()
            .map(|at| match self.rowid_column == Some(*at) {
                true => Value::Int(row.rowid),
                false => value(&row.cells[*at]),
            })
            .collect();
        connection.execute(sql, &params).map(|_| ())
    }

    /// Returns the row's key, by which a person finds it.
    pub(super) fn name_of(&self, row: &FoundRow) -> RowName {
        let keys = self.columns.iter().enumerate().filter(|(_, column)| column.is_key);
        let mut name: RowName = keys
            .filter_map(|(at, column)| {
                let cell = row.cells.get(at)?;
                let is_rowid = self.rowid_column == Some(at);
                let shown = if is_rowid { row.rowid.into() } else { shown(cell) };
                Some((column.name.clone(), shown))
            })
            .collect();
        // What tells more to a person than a number does.
        for wanted in ["id", "session_id", "index_in_session"] {
            let at = self.columns.iter().position(|column| column.name == wanted);
            if let Some(cell) = at.and_then(|at| row.cells.get(at)) {
                name.insert(wanted.to_owned(), shown(cell));
            }
        }
        name
    }
}

/// True where a text can be read as what its column holds.
fn has_form(table: &str, column: &str, text: &str) -> bool {
    let is_json = || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    match (table, column) {
        (_, "metadata") => JsonObject::parse(text.to_owned()).is_ok(),
        ("agent_messages", "attachments") | ("files", "state") | ("projects", "former_paths") => {
            is_json()
        }
        ("settings" | "meta", "value") => table == "meta" || is_json(),
        ("agent_messages", "role") => Role::parse(text).is_some(),
        (_, "hidden_ranges" | "compacted_ranges") => Hidden::parse(Some(text)).is_ok(),
        (_, "id" | "session_id" | "message_id" | "project_id" | "origin_id" | "parent_id") => {
            !text.is_empty() && !text.contains('\0')
        }
        _ => true,
    }
}

/// Returns the columns of an index, in order; none where the database does not have it.
pub(super) fn index_columns(connection: &mut dyn Connection, index: &str) -> Result<Vec<String>> {
    let mut columns = BTreeMap::new();
    connection.run(&format!("PRAGMA index_info({})", engine::quoted(index)), &mut |row| {
        let place = row.int()?;
        row.cell()?;
        columns.insert(place, row.optional_text()?.unwrap_or_default());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(columns.into_values().collect())
}

/// Returns a cell as a report shows it.
pub(super) fn shown(cell: &Cell) -> serde_json::Value {
    match cell {
        Cell::Null => serde_json::Value::Null,
        Cell::Int(number) => (*number).into(),
        Cell::Real(number) => (*number).into(),
        Cell::Text(text) => text.as_str().into(),
        Cell::Blob(bytes) => format!("{} bytes", bytes.len()).into(),
    }
}

fn value(cell: &Cell) -> Value<'_> {
    match cell {
        // None of our columns holds a real number.
        Cell::Null | Cell::Real(_) => Value::Null,
        Cell::Int(number) => Value::Int(*number),
        Cell::Text(text) => Value::Text(text),
        Cell::Blob(bytes) => Value::Blob(bytes),
    }
}
