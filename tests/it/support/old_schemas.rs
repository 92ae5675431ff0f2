//! Databases of earlier versions: how those in `tests/fixtures/schema` are made, and what a file holds.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// The versions that have a fixture: all before the current one but 0, the IDE's own.
pub(crate) const VERSIONS: RangeInclusive<i64> = 1..=7;

/// The frozen scripts, of which the second one replaces the edits' table of the first.
const SCRIPTS: [&str; 7] = [
    include_str!("../../../src/store/migrations/0001_foundation.sql"),
    concat!(
        "DROP TABLE agent_edits;",
        include_str!("../../../src/store/migrations/0002_edits.sql")
    ),
    include_str!("../../../src/store/migrations/0003_changes.sql"),
    include_str!("../../../src/store/migrations/0004_attachments.sql"),
    include_str!("../../../src/store/migrations/0005_sessions.sql"),
    include_str!("../../../src/store/migrations/0006_edit_counts.sql"),
    include_str!("../../../src/store/migrations/0007_places.sql"),
];

/// What each version can hold that the one before cannot.
const ROWS: [&str; 7] = [
    include_str!("../../fixtures/schema/rows/since_1.sql"),
    include_str!("../../fixtures/schema/rows/since_2.sql"),
    include_str!("../../fixtures/schema/rows/since_3.sql"),
    include_str!("../../fixtures/schema/rows/since_4.sql"),
    include_str!("../../fixtures/schema/rows/since_5.sql"),
    include_str!("../../fixtures/schema/rows/since_6.sql"),
    include_str!("../../fixtures/schema/rows/since_7.sql"),
];
/// What no later version can hold: the edits' table of the first one.
const ROWS_OF_1: &str = include_str!("../../fixtures/schema/rows/only_1.sql");

/// Returns the fixture of a version.
pub(crate) fn fixture(version: i64) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schema");
    folder.join(format!("v{version}.db"))
}

/// Makes a database of a version, with its log in the file and none beside it.
pub(crate) fn make(version: i64, path: &Path) {
    let connection = Connection::open(path).expect("SQLite makes it");
    let run = |sql: &str| connection.execute_batch(sql).expect("is carried out");
    run("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON; BEGIN;");
    let steps = usize::try_from(version).expect("a version");
    SCRIPTS[..steps].iter().chain(&ROWS[..steps]).for_each(|sql| run(sql));
    if version == 1 {
        run(ROWS_OF_1);
    }
    run(&format!("PRAGMA user_version = {version}; COMMIT; PRAGMA wal_checkpoint(TRUNCATE);"));
}

/// A row: the SQL of each value, by its column.
pub(crate) type Row = BTreeMap<String, String>;

/// A table as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// The columns of its key.
    pub(crate) key: Vec<String>,
    /// Its rows, by the SQL of their keys.
    pub(crate) rows: BTreeMap<String, Row>,
}

/// All that a database file holds, read by SQLite from a copy with its log.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    /// The version it says it is of.
    pub(crate) version: i64,
    /// Its tables, without the engine's own.
    pub(crate) tables: BTreeMap<String, Table>,
    /// The ids of the edits in the order recorded.
    pub(crate) edits: Vec<String>,
}

impl Contents {
    /// Reads a file, which must be sound.
    pub(crate) fn of(database: &Path) -> Self {
        with_copy(database, |connection| {
            assert_eq!(texts(connection, "PRAGMA integrity_check"), ["ok"], "{database:?}");
            let orphans = texts(connection, "SELECT \"table\" FROM pragma_foreign_key_check");
            assert!(orphans.is_empty(), "{database:?}: {orphans:?}");
            let tables = texts(
                connection,
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
            );
            let version =
                connection.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("one");
            let edits = texts(connection, "SELECT id FROM agent_edits ORDER BY rowid");
            let read = |name: String| {
                let table = read_table(connection, &name);
                (name, table)
            };
            Self { version, tables: tables.into_iter().map(read).collect(), edits }
        })
    }
}

/// Opens a copy of a database, log included, in SQLite: what is open elsewhere stays as it is.
pub(crate) fn with_copy<T>(database: &Path, work: impl FnOnce(&Connection) -> T) -> T {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("x.db");
    copy_with_log(database, &copy);
    work(&Connection::open(copy).expect("SQLite opens it"))
}

/// Copies a database and, where there is one, its log.
pub(crate) fn copy_with_log(database: &Path, copy: &Path) {
    std::fs::copy(database, copy).expect("a copy");
    let log_of = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    if log_of(database).exists() {
        std::fs::copy(log_of(database), log_of(copy)).expect("a copy");
    }
}

/// Returns the first column of each row.
pub(crate) fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).expect("a query");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

fn read_table(connection: &Connection, table: &str) -> Table {
    let of_info = |condition: &str| {
        texts(
            connection,
            &format!("SELECT name FROM pragma_table_info('{table}') WHERE {condition}"),
        )
    };
    let (columns, key) = (of_info("1 ORDER BY cid"), of_info("pk > 0 ORDER BY pk"));
    assert!(!key.is_empty(), "{table} has a key");
    let quoted: Vec<String> = columns.iter().map(|column| format!("QUOTE(\"{column}\")")).collect();
    let mut statement = connection
        .prepare(&format!("SELECT {} FROM \"{table}\"", quoted.join(", ")))
        .expect("a query");
    let rows = statement
        .query_map([], |row| {
            let value = |(at, column): (usize, &String)| Ok((column.clone(), row.get(at)?));
            columns.iter().enumerate().map(value).collect::<rusqlite::Result<Row>>()
        })
        .expect("rows");
    let rows = rows.map(|row| row.expect("a row")).map(|row| (key_of(&row, &key), row)).collect();
    Table { key, rows }
}

/// Returns the SQL of a row's values in some columns.
pub(crate) fn key_of(row: &Row, columns: &[String]) -> String {
    columns.iter().map(|column| row[column].as_str()).collect::<Vec<_>>().join(", ")
}

/// Tables to which the daemon adds rows of its own: what it did itself, and what it tells of that.
const GROWING: [&str; 2] = ["meta", "changes"];

/// The session whose purge was broken off. It exists for no client, and the next start goes on with the
/// purge: then all that it has is gone.
const PURGING: &str = "'purging'";
/// Its last edit.
const PURGED_EDIT: &str = "edit-p";

/// Returns what of the rows of an old file a new one does not have as they were, column by column.
///
/// Not as they were, and rightly so: what the session has that is being purged, of which all or nothing
/// is gone; and in an `ide.db` of version 0 the times, which were in seconds, and settings, which were
/// free text and are JSON.
pub(crate) fn differences(old: &Contents, new: &Contents) -> Vec<String> {
    let mut found = Vec::new();
    let (mut purging, mut purged) = (0, 0);
    for (name, table) in &old.tables {
        let Some(now) = new.tables.get(name) else {
            found.push(format!("{name} is gone"));
            continue;
        };
        // By the old key, beside which the new one may have another column.
        let rows: BTreeMap<String, &Row> =
            now.rows.values().map(|row| (key_of(row, &table.key), row)).collect();
        for (key, row) in &table.rows {
            let now = rows.get(key);
            if is_being_purged(name, row) {
                purging += 1;
                purged += i32::from(now.is_none());
            } else if now.is_none() {
                found.push(format!("{name} lacks {key}"));
            }
            let Some(now) = now else { continue };
            for (column, value) in row {
                let expected = expected(old.version, name, column, value);
                if now.get(column) != Some(&expected) {
                    let now = now.get(column);
                    found.push(format!("{name} {key}: {column} was {value} and is {now:?}"));
                }
            }
        }
        if rows.len() > table.rows.len() && !GROWING.contains(&name.as_str()) {
            found.push(format!("{name} has {} rows and had {}", rows.len(), table.rows.len()));
        }
    }
    if purged != 0 && purged != purging {
        found.push(format!("{purged} of {purging} rows of the session {PURGING} are gone"));
    }
    let order = |of: &Contents| -> Vec<String> {
        of.edits.iter().filter(|id| *id != PURGED_EDIT).cloned().collect()
    };
    if order(old) != order(new) {
        found.push("the edits have another order".to_owned());
    }
    found
}

fn is_being_purged(table: &str, row: &Row) -> bool {
    let column = match table {
        "agent_sessions" => "id",
        "agent_session_texts" | "agent_messages" | "agent_edits" => "session_id",
        _ => return false,
    };
    row[column] == PURGING
}

/// What becomes of an old value.
fn expected(version: i64, table: &str, column: &str, value: &str) -> String {
    match (version, table, column) {
        (0, _, "created_at") => format!("{value}000"),
        (0, "settings", "value") => {
            let text = value.trim_matches('\'').replace("''", "'");
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(_) => value.to_owned(),
                Err(_) => format!("'{}'", serde_json::json!(text).to_string().replace('\'', "''")),
            }
        }
        _ => value.to_owned(),
    }
}
