//! Copies a snapshot, table by table, into a new file of the same engine, and compares the two.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::store::engine::{self, Cell, Connection, Row, Value};

/// All that the file's schema has, in the order in which it was made, but for what the engine makes
/// itself.
const SCHEMA: &str = "SELECT type, name, sql FROM sqlite_schema
    WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid";

/// Bytes that one transaction of the copy writes, about.
const TRANSACTION_BYTES: usize = 1024 * 1024;
/// What a row counts for beside its texts.
const BYTES_OF_A_ROW: usize = 64;

/// What was copied of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    name: String,
    has_rowid: bool,
    contents: Contents,
}

/// How many rows a table has, and a hash of all of them in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Contents {
    rows: u64,
    hash: u64,
}

/// Something of a schema.
struct Item {
    kind: String,
    name: String,
    sql: String,
}

impl Item {
    fn is_table(&self) -> bool {
        self.kind == "table"
    }
}

/// Copies the tables, then the rows, then the indexes and what else there is.
///
/// `go_on` is asked again and again, and its error ends the copy.
pub(super) fn copy(
    source: &mut dyn Connection,
    target: &mut dyn Connection,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Vec<Table>> {
    // The order of the tables is not that of their references, and the rows were checked once.
    engine::run(target, "PRAGMA foreign_keys = OFF")?;
    engine::run(target, engine::COMMIT_WITHOUT_FLUSH)?;
    let items = schema(source)?;
    let mut tables = Vec::new();
    for item in items.iter().filter(|item| item.is_table()) {
        let sql = item.sql.to_ascii_uppercase();
        if sql.trim_start().starts_with("CREATE VIRTUAL") {
            return Err(Error::Storage(format!(
                "the table {} is a virtual one, which cannot be copied",
                item.name
            )));
        }
        engine::run(target, &item.sql)?;
        tables.push((item.name.clone(), !sql.contains("WITHOUT ROWID")));
    }
    let mut copied = Vec::new();
    for (name, has_rowid) in tables {
        let contents = copy_rows(source, target, &name, has_rowid, go_on)?;
        copied.push(Table { name, has_rowid, contents });
    }
    for item in items.iter().filter(|item| !item.is_table()) {
        go_on()?;
        engine::run(target, &item.sql)?;
    }
    for pragma in ["user_version", "application_id"] {
        if let Some(Cell::Int(number)) = engine::scalar(source, &format!("PRAGMA {pragma}"))? {
            engine::run(target, &format!("PRAGMA {pragma} = {number}"))?;
        }
    }
    engine::run(target, "PRAGMA foreign_keys = ON")?;
    Ok(copied)
}

/// Checks the copy: by the engine's own check, and table by table against what was read.
pub(super) fn verify(
    target: &mut dyn Connection,
    tables: &[Table],
    go_on: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let problems = engine::integrity_problems(target)?;
    if !problems.is_empty() {
        return Err(Error::Damaged(format!(
            "the compacted file fails its check: {}",
            problems.join("; ")
        )));
    }
    for table in tables {
        let found = contents(target, table, go_on)?;
        if found != table.contents {
            return Err(Error::Damaged(format!(
                "the table {} of the compacted file differs: {} rows instead of {}, or others",
                table.name, found.rows, table.contents.rows
            )));
        }
    }
    Ok(())
}

fn schema(source: &mut dyn Connection) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    source.run(SCHEMA, &mut |row| {
        items.push(Item { kind: row.text()?, name: row.text()?, sql: row.text()? });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(items)
}

fn copy_rows(
    source: &mut dyn Connection,
    target: &mut dyn Connection,
    name: &str,
    has_rowid: bool,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Contents> {
    let columns = column_count(source, name)?;
    let places: Vec<String> = (1..=columns).map(|at| format!("?{at}")).collect();
    let insert = format!("INSERT INTO {} VALUES ({})", engine::quoted(name), places.join(", "));
    let mut summing = Summing::default();
    let mut bytes = 0;
    engine::run(target, "BEGIN")?;
    source.run(&select(name, has_rowid), &mut |row| {
        go_on()?;
        let cells = cells(row, columns)?;
        summing.add(&cells);
        let values: Vec<Value<'_>> = cells.iter().map(Value::from).collect();
        if bytes >= TRANSACTION_BYTES {
            engine::run(target, "COMMIT")?;
            engine::run(target, "BEGIN")?;
            bytes = 0;
        }
        bytes += BYTES_OF_A_ROW + values.iter().map(Value::bytes).sum::<usize>();
        target.execute_text(&insert, &values)?;
        Ok(ControlFlow::Continue(()))
    })?;
    engine::run(target, "COMMIT")?;
    Ok(summing.contents())
}

fn contents(
    target: &mut dyn Connection,
    table: &Table,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Contents> {
    let columns = column_count(target, &table.name)?;
    let mut summing = Summing::default();
    target.run(&select(&table.name, table.has_rowid), &mut |row| {
        go_on()?;
        summing.add(&cells(row, columns)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(summing.contents())
}

/// Reads a table in the order of its rows, not of an index that has all its columns.
fn select(name: &str, has_rowid: bool) -> String {
    let order = if has_rowid { " ORDER BY rowid" } else { "" };
    format!("SELECT * FROM {}{order}", engine::quoted(name))
}

fn column_count(connection: &mut dyn Connection, table: &str) -> Result<usize> {
    let mut columns = 0;
    connection.run(&format!("PRAGMA table_info({})", engine::quoted(table)), &mut |_| {
        columns += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(columns)
}

fn cells(row: &mut Row, columns: usize) -> Result<Vec<Cell>> {
    (0..columns).map(|_| row.cell()).collect()
}

/// Counts and hashes rows. The hash is to tell a row that is missing, changed or out of its place; it
/// is compared within the process alone.
#[derive(Default)]
struct Summing {
    rows: u64,
    hasher: DefaultHasher,
}

impl Summing {
    fn add(&mut self, cells: &[Cell]) {
        self.rows += 1;
        for cell in cells {
            std::mem::discriminant(cell).hash(&mut self.hasher);
            match cell {
                Cell::Null => {}
                Cell::Int(number) => number.hash(&mut self.hasher),
                Cell::Real(number) => number.to_bits().hash(&mut self.hasher),
                Cell::Text(text) => text.hash(&mut self.hasher),
                Cell::Blob(bytes) => bytes.hash(&mut self.hasher),
            }
        }
    }

    fn contents(&self) -> Contents {
        Contents { rows: self.rows, hash: self.hasher.finish() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineKind;
    use crate::store::migrations;

    fn new_file(kind: EngineKind) -> (tempfile::TempDir, Box<dyn Connection>) {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = engine::open(kind, &folder.path().join("copy.db")).expect("an engine");
        let connection = engine.connect().expect("a connection");
        (folder, connection)
    }

    /// Turso sets the spaces of a text anew where a column is added.
    fn without_spaces(texts: Vec<String>) -> Vec<String> {
        texts.into_iter().map(|text| text.replace(' ', "")).collect()
    }

    fn texts(connection: &mut dyn Connection, sql: &str) -> Vec<String> {
        let mut texts = Vec::new();
        connection
            .run(sql, &mut |row| {
                texts.push(row.text()?);
                Ok(ControlFlow::Continue(()))
            })
            .expect("rows");
        texts
    }

    #[test]
    fn a_copy_has_the_schema_and_every_row_also_of_others() {
        for kind in [EngineKind::Turso, EngineKind::Sqlite] {
            let (_folder, mut source) = migrations::new_database(kind);
            let (_copies, mut target) = new_file(kind);
            for sql in [
                "CREATE TABLE \"of \"\"others\" (a, b REAL, c TEXT DEFAULT 'd', e BLOB)",
                "INSERT INTO \"of \"\"others\" VALUES (NULL, 1.5, 'é', x'00ff'), (9223372036854775807, NULL, '', NULL)",
                "INSERT INTO \"of \"\"others\" (a) VALUES ('x')",
                "INSERT INTO agent_sessions (id, kind, created_at, updated_at, activity_at) VALUES ('s', 'chat', 1, 2, 3)",
                "INSERT INTO agent_messages (id, session_id, role, index_in_session, content, created_at)
                    VALUES ('z', 's', 'user', 0, 'first', 1), ('a', 's', 'user', 1, 'second', 1)",
                "INSERT INTO attachments VALUES ('h', 1, 'a/b', NULL, 1, 1), ('g', 1, 'a/b', NULL, 1, 1)",
                "INSERT INTO message_attachments VALUES ('h', 'z'), ('g', 'a')",
                "PRAGMA user_version = 7",
            ] {
                engine::run(source.as_mut(), sql).expect("is carried out");
            }
            let tables = copy(source.as_mut(), target.as_mut(), &|| Ok(())).expect("copies");
            verify(target.as_mut(), &tables, &|| Ok(())).expect("is the same");
            let schema = "SELECT type || name || tbl_name || COALESCE(sql, '') FROM sqlite_schema ORDER BY type, name";
            let [there, here] =
                [&mut source, &mut target].map(|file| without_spaces(texts(file.as_mut(), schema)));
            assert_eq!(there, here, "{kind:?}");
            let version = engine::scalar(target.as_mut(), "PRAGMA user_version").expect("one");
            assert_eq!(version, Some(Cell::Int(7)));
            // What differs in one cell, in a row or in the order is no copy.
            for sql in [
                "UPDATE agent_messages SET content = 'First' WHERE id = 'z'",
                "DELETE FROM agent_messages WHERE id = 'a'",
            ] {
                engine::run(target.as_mut(), sql).expect("changes");
                let error = verify(target.as_mut(), &tables, &|| Ok(())).expect_err("differs");
                assert!(error.to_string().contains("agent_messages"), "{error}");
            }
        }
    }

    #[test]
    fn every_table_is_read_in_its_order_without_a_sort() {
        migrations::on_each_engine(|kind, connection| {
            for item in schema(connection).expect("a schema") {
                if item.is_table() {
                    let plan = engine::query_plan(connection, &select(&item.name, true));
                    let [step] = plan.as_slice() else {
                        panic!("{kind:?}: {}: {plan:?}", item.name)
                    };
                    assert!(
                        step.starts_with("SCAN ") && !step.contains("INDEX"),
                        "{kind:?}: {step}"
                    );
                }
            }
        });
    }

    /// A log that grows as long as the file is moved into it again and again.
    #[test]
    fn the_log_of_a_copy_stays_short() {
        const ROWS: i64 = 3000;
        for kind in [EngineKind::Turso, EngineKind::Sqlite] {
            let (_folder, mut source) = new_file(kind);
            let (copies, mut target) = new_file(kind);
            engine::run(source.as_mut(), "CREATE TABLE t (a)").expect("a table");
            engine::run(source.as_mut(), "BEGIN").expect("begins");
            for row in 0..ROWS {
                let text = format!("{row:08}").repeat(1000);
                let values = [Value::from(&text)];
                source.execute("INSERT INTO t VALUES (?1)", &values).expect("inserts");
            }
            engine::run(source.as_mut(), "COMMIT").expect("commits");
            copy(source.as_mut(), target.as_mut(), &|| Ok(())).expect("copies");
            let path = copies.path().join("copy.db");
            let [file, log] = [path.clone(), crate::paths::log_of(&path)]
                .map(|path| path.metadata().expect("a file").len());
            assert!(file > 20_000_000 && log < 8_000_000, "{kind:?}: {file}, {log}");
        }
    }

    #[test]
    fn a_copy_ends_where_it_is_told_to() {
        let (_folder, mut source) = migrations::new_database(EngineKind::Turso);
        let (_copies, mut target) = new_file(EngineKind::Turso);
        let stop = || Err(Error::ShuttingDown);
        let error = copy(source.as_mut(), target.as_mut(), &stop).expect_err("is stopped");
        assert!(matches!(error, Error::ShuttingDown), "{error}");
    }
}
