//! The tables that an export holds, and how each is read: a type of record each.
//!
//! A record has the columns that its table has, whatever they are: one that a migration adds is exported
//! and imported without a word here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Mutex;

use crate::error::{Error, Result};
use crate::store::ReadTx;
use crate::store::engine::{self, Cell, Row};

/// The keys of `meta` that are of one database alone: its feed's name, and what was done to its file.
pub(super) const OWN_KEYS: [&str; 3] = ["feed_id", "last_compaction", "retention_last_run"];

/// Reads the others.
pub(super) const META: &str =
    "SELECT * FROM meta WHERE key NOT IN ('feed_id', 'last_compaction', 'retention_last_run')";

/// The tables of one database alone.
pub(super) const OWN: [&str; 1] = ["changes"];

/// A type of record.
#[derive(Debug)]
pub struct Kind {
    /// The word in its lines.
    pub word: &'static str,
    /// The table with its columns.
    pub(super) table: &'static str,
    /// The table of a row that belongs to each of it.
    pub(super) part: Option<Part>,
    /// The columns by which it is found.
    pub(super) keys: &'static [&'static str],
    /// The columns that may differ where the content is the same.
    pub(super) free: &'static [&'static str],
    /// Reads all rows, with those of the part.
    pub(super) all: &'static str,
    /// Reads one by its keys, with that of the part.
    pub(super) one: &'static str,
    /// Reads one by its keys, to compare.
    pub(super) stored: &'static str,
}

/// A table whose rows belong to those of another, one to one.
#[derive(Debug)]
pub(super) struct Part {
    /// The member of the record that has its columns.
    pub(super) member: &'static str,
    /// The table.
    pub(super) table: &'static str,
    /// The column that refers to the other table's first key.
    pub(super) key: &'static str,
}

/// The types of records, in the order of the lines: what refers to others comes behind them.
pub(super) static KINDS: [Kind; 8] = [
    Kind {
        word: "meta",
        table: "meta",
        part: None,
        keys: &["key"],
        free: &[],
        all: META,
        one: "SELECT * FROM meta WHERE key = ?1",
        stored: "SELECT * FROM meta WHERE key = ?1",
    },
    Kind {
        word: "project",
        table: "projects",
        part: None,
        keys: &["id"],
        free: &[],
        all: "SELECT * FROM projects",
        one: "SELECT * FROM projects WHERE id = ?1",
        stored: "SELECT * FROM projects WHERE id = ?1",
    },
    Kind {
        word: "setting",
        table: "settings",
        part: None,
        keys: &["scope", "key"],
        free: &[],
        all: "SELECT * FROM settings",
        one: "SELECT * FROM settings WHERE scope = ?1 AND key = ?2",
        stored: "SELECT * FROM settings WHERE scope = ?1 AND key = ?2",
    },
    Kind {
        word: "file",
        table: "files",
        part: None,
        keys: &["project_id", "path_key"],
        free: &[],
        all: "SELECT * FROM files",
        one: "SELECT * FROM files WHERE project_id = ?1 AND path_key = ?2",
        stored: "SELECT * FROM files WHERE project_id = ?1 AND path_key = ?2",
    },
    Kind {
        word: "attachment",
        table: "attachments",
        part: Some(Part { member: "content", table: "attachment_data", key: "hash" }),
        keys: &["hash"],
        // Every put moves them, and its bytes are those of its hash.
        free: &["created_at", "put_at"],
        all: "SELECT a.*, d.* FROM attachments a LEFT JOIN attachment_data d ON d.hash = a.hash",
        one: "SELECT a.*, d.* FROM attachments a LEFT JOIN attachment_data d ON d.hash = a.hash
            WHERE a.hash = ?1",
        stored: "SELECT * FROM attachments WHERE hash = ?1",
    },
    Kind {
        word: "session",
        table: "agent_sessions",
        part: Some(Part { member: "texts", table: "agent_session_texts", key: "session_id" }),
        keys: &["id"],
        free: &[],
        all: "SELECT s.*, t.* FROM agent_sessions s
            LEFT JOIN agent_session_texts t ON t.session_id = s.id WHERE s.shelf <> 3",
        one: "SELECT s.*, t.* FROM agent_sessions s
            LEFT JOIN agent_session_texts t ON t.session_id = s.id WHERE s.id = ?1",
        stored: "SELECT s.*, t.* FROM agent_sessions s
            LEFT JOIN agent_session_texts t ON t.session_id = s.id WHERE s.id = ?1",
    },
    Kind {
        word: "message",
        table: "agent_messages",
        part: None,
        keys: &["id"],
        free: &[],
        all: "SELECT * FROM agent_messages",
        one: "SELECT * FROM agent_messages WHERE id = ?1",
        stored: "SELECT * FROM agent_messages WHERE id = ?1",
    },
    Kind {
        word: "edit",
        table: "agent_edits",
        part: None,
        keys: &["id"],
        // An edit whose number another one has gets a new one.
        free: &["seq"],
        all: "SELECT * FROM agent_edits ORDER BY seq",
        one: "SELECT * FROM agent_edits WHERE seq = ?1",
        stored: "SELECT * FROM agent_edits WHERE id = ?1",
    },
];

/// Returns the type of a word.
pub(super) fn kind(word: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.word == word)
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnType {
    Text,
    Int,
    Blob,
}

/// A column of a table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) holds: ColumnType,
    /// What it holds where a record of an older aetherd does not have it; `None` where it must.
    pub(super) default: Option<Cell>,
    /// True where it may hold NULL.
    pub(super) is_nullable: bool,
}

/// A table as it is.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    /// Writes a row of all its columns.
    pub(super) insert: &'static str,
}

impl Table {
    /// Returns the place of a column.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// The tables of all types of records.
#[derive(Debug)]
pub struct Tables(BTreeMap<&'static str, Table>);

impl Tables {
    /// Reads what columns the tables have.
    pub fn read(tx: &mut ReadTx<'_>) -> Result<Self> {
        let mut tables = BTreeMap::new();
        for kind in &KINDS {
            for name in std::iter::once(kind.table).chain(kind.part.as_ref().map(|part| part.table))
            {
                tables.insert(name, describe(tx, name)?);
            }
        }
        Ok(Self(tables))
    }

    /// Returns the table of a type.
    pub(super) fn of(&self, kind: &Kind) -> &Table {
        &self.0[kind.table]
    }

    /// Returns the table of the part of a type.
    pub(super) fn of_part(&self, part: &Part) -> &Table {
        &self.0[part.table]
    }
}

fn describe(tx: &mut ReadTx<'_>, name: &str) -> Result<Table> {
    let mut columns = Vec::new();
    tx.each_made(&format!("PRAGMA table_info({name})"), |row| {
        columns.push(column(row)?);
        Ok(ControlFlow::Continue(()))
    })?;
    if columns.is_empty() {
        return Err(Error::Damaged(format!("the table {name} has no columns")));
    }
    let names: Vec<String> = columns.iter().map(|column| engine::quoted(&column.name)).collect();
    let places: Vec<String> = (1..=names.len()).map(|place| format!("?{place}")).collect();
    let insert =
        kept(format!("INSERT INTO {name} ({}) VALUES ({})", names.join(", "), places.join(", ")));
    Ok(Table { columns, insert })
}

/// Reads a column's line: its number, name, type, whether it is NOT NULL, its default and its place in
/// the key.
fn column(row: &mut Row) -> Result<Column> {
    row.cell()?;
    let (name, holds) = (row.text()?, row.text()?);
    let holds = match holds.to_ascii_uppercase().as_str() {
        "INTEGER" => ColumnType::Int,
        "BLOB" => ColumnType::Blob,
        _ => ColumnType::Text,
    };
    let is_required = row.int()? != 0;
    let default = match row.cell()? {
        Cell::Text(text) => text,
        _ => "NULL".to_owned(),
    };
    let is_nullable = !is_required && row.int()? == 0;
    let default = match (default.parse(), default.strip_prefix('\'')) {
        (Ok(number), _) => Some(Cell::Int(number)),
        (_, Some(text)) => Some(Cell::Text(text.trim_end_matches('\'').replace("''", "'"))),
        _ => is_nullable.then_some(Cell::Null),
    };
    Ok(Column { name, holds, default, is_nullable })
}

/// Keeps the text of a statement for the life of the process, once: there are as many as tables.
fn kept(text: String) -> &'static str {
    static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut kept = KEPT.lock().expect("no holder of the lock panics");
    if let Some(text) = kept.get(text.as_str()) {
        return text;
    }
    let text: &'static str = Box::leak(text.into_boxed_str());
    kept.insert(text);
    text
}

/// Takes all cells of a row.
pub(super) fn cells(row: &mut Row, count: usize) -> Result<Vec<Cell>> {
    (0..count).map(|_| row.cell()).collect()
}

/// Returns the ids of the sessions that are being purged: of what they hold nothing is told.
pub(super) fn purging(tx: &mut ReadTx<'_>) -> Result<BTreeSet<String>> {
    const PURGING: &str = "SELECT id FROM agent_sessions WHERE shelf = 3";
    Ok(tx.all(PURGING, &[], Row::text)?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migrations::{self, recognise};

    /// The tables whose rows follow from those of others: an import makes them anew.
    const DERIVED: [&str; 2] = ["message_attachments", "project_former_paths"];

    #[test]
    fn every_table_of_the_schema_is_exported_or_said_not_to_be() {
        let mut told: BTreeSet<&str> = DERIVED.into_iter().chain(OWN).collect();
        for kind in &KINDS {
            told.insert(kind.table);
            told.extend(kind.part.as_ref().map(|part| part.table));
        }
        let tables: BTreeSet<&str> = recognise::tables_of(migrations::CURRENT_VERSION).collect();
        assert_eq!(told, tables);
        assert!(OWN_KEYS.iter().all(|key| META.contains(&format!("'{key}'"))));
    }

    #[test]
    fn the_columns_are_those_of_the_tables_on_both_engines() {
        migrations::on_each_engine(|kind, connection| {
            let mut tx = ReadTx::new(connection);
            let tables = Tables::read(&mut tx).expect("tables");
            for (name, table) in &tables.0 {
                let mut names = Vec::new();
                tx.each_made(&format!("SELECT * FROM pragma_table_info('{name}')"), |row| {
                    row.cell()?;
                    names.push(row.text()?);
                    Ok(ControlFlow::Continue(()))
                })
                .expect("columns");
                let told: Vec<&str> =
                    table.columns.iter().map(|column| column.name.as_str()).collect();
                assert_eq!(told, names, "{kind:?}: {name}");
            }
            let sessions = tables.of(super::kind("session").expect("a type"));
            let of = |name: &str| &sessions.columns[sessions.place(name).expect("a column")];
            assert_eq!(of("shelf").default, Some(Cell::Int(0)));
            assert_eq!(of("title").default, Some(Cell::Null));
            assert_eq!((&of("id").default, of("id").is_nullable), (&None, false));
            assert_eq!((&of("kind").default, of("kind").holds), (&None, ColumnType::Text));
            let data = &tables.0["attachment_data"];
            assert_eq!(data.columns[data.place("data").expect("a column")].holds, ColumnType::Blob);
        });
    }

    /// Each type is read by an index, not by a look at the whole table.
    #[test]
    fn one_record_is_searched_for_on_both_engines() {
        migrations::on_each_engine(|engine, connection| {
            for kind in &KINDS {
                for sql in [kind.one, kind.stored] {
                    let plan = crate::store::engine::query_plan(connection, sql);
                    assert!(
                        plan.iter().all(|step| step.starts_with("SEARCH ")),
                        "{engine:?}: {sql}: {plan:?}"
                    );
                }
            }
        });
    }
}
