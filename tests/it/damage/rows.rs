//! What the tables of a database hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The rows of a table: what each has, by its key.
pub(super) type Rows = BTreeMap<String, BTreeMap<String, String>>;
/// The rows of every table.
pub(super) type Dump = BTreeMap<String, Rows>;

/// Tables that tell of one file alone.
const OWN: [&str; 2] = ["changes", "meta"];
/// Columns that count or hide what is lost.
const COUNTING: [&str; 5] =
    ["next_index", "hidden_count", "hidden_ranges", "edit_count", "activity_at"];

/// Reads all tables by SQLite, from a copy with its log.
pub(super) fn dump(database: &Path) -> Dump {
    let copy = tempfile::tempdir().expect("a temporary folder");
    let file = copy.path().join("x.db");
    std::fs::copy(database, &file).expect("a copy");
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let _ = std::fs::copy(PathBuf::from(log), copy.path().join("x.db-wal"));
    let connection = rusqlite::Connection::open(&file).expect("SQLite opens it");
    let check: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(check, "ok");
    let orphans =
        connection.prepare("PRAGMA foreign_key_check").and_then(|mut check| check.exists([]));
    assert_eq!(orphans, Ok(false), "what rows refer to is there");
    let mut tables = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        .expect("a query");
    let tables: Vec<String> = tables
        .query_map([], |row| row.get(0))
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("names");
    tables
        .into_iter()
        .filter(|table| !OWN.contains(&table.as_str()))
        .map(|table| {
            let rows = rows(&connection, &table);
            (table, rows)
        })
        .collect()
}

fn rows(connection: &rusqlite::Connection, table: &str) -> Rows {
    let mut keys = connection
        .prepare(&format!("SELECT name FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk"))
        .expect("a query");
    let keys: Vec<String> = keys
        .query_map([], |row| row.get(0))
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("names");
    let mut all = connection.prepare(&format!("SELECT * FROM {table}")).expect("a query");
    let names: Vec<String> = all.column_names().map(str::to_owned).collect();
    let mut rows = all.query([]).expect("rows");
    let mut found = Rows::new();
    while let Some(row) = rows.next().expect("a row") {
        let cells: BTreeMap<String, String> = names
            .iter()
            .enumerate()
            .map(|(at, name)| (name.clone(), format!("{:?}", row.get_ref(at).expect("a cell"))))
            .collect();
        let key = keys.iter().map(|key| cells[key].clone()).collect::<Vec<_>>().join(" ");
        found.insert(key, cells);
    }
    found
}

pub(super) fn without_counts(row: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    row.iter()
        .filter(|(column, _)| !COUNTING.contains(&column.as_str()))
        .map(|(column, cell)| (column.as_str(), cell.as_str()))
        .collect()
}
