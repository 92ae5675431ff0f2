//! Adopts the `ide.db` that the IDE made itself with turso 0.3.2: no version, times in seconds.
//!
//! The old tables are renamed, ours are made, every row is copied, the old tables are dropped,
//! all in the migration's transaction. Tables that are not of the agreed schema are left alone.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use super::run_script;
use crate::error::{Error, Result};
use crate::model::{FolderPath, Json, JsonObject, Role, time};
use crate::store::engine::{self, Cell, Connection, Value};

/// The tables of the agreed schema, with the columns by which the IDE's are known.
pub(super) const AGREED: &[(&str, &[&str])] = &[
    ("settings", &["key", "value"]),
    ("projects", &["id", "name", "path", "created_at"]),
    ("agent_sessions", &["id", "project_id", "kind", "created_at"]),
    ("agent_messages", &["id", "session_id", "role", "index_in_session", "content", "created_at"]),
    ("agent_edits", &["id", "session_id", "file_path", "kind", "diff", "created_at"]),
];

/// Its indexes, which ours replace.
const OLD_INDEXES: &[&str] = &[
    "idx_agent_messages_session_order",
    "idx_agent_sessions_project_created",
    "idx_agent_edits_file_time",
];

/// A time below this is in seconds: as milliseconds it would lie before March 1973.
const SECONDS_BELOW: i64 = 100_000_000_000;

/// The kind of a session that messages or edits name but no row describes.
const RECOVERED: &str = "recovered";

/// Copies the old tables into the new schema.
pub(super) fn run(connection: &mut dyn Connection, schema: &str, tables: &[String]) -> Result<()> {
    let agreed: Vec<&str> = AGREED
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| tables.iter().any(|table| table == name))
        .collect();
    for index in OLD_INDEXES {
        engine::run(connection, &format!("DROP INDEX IF EXISTS {index}"))?;
    }
    let mut old = BTreeMap::new();
    for table in &agreed {
        old.insert(*table, read_all(connection, table)?);
    }
    // Rows that refer go before those they refer to.
    for table in agreed.iter().rev() {
        engine::run(connection, &format!("DROP TABLE {table}"))?;
    }
    run_script(connection, schema)?;
    let now = time::now();
    for row in old.remove("settings").unwrap_or_default() {
        copy_setting(connection, &row, now)?;
    }
    for row in old.remove("projects").unwrap_or_default() {
        copy_project(connection, &row)?;
    }
    let messages = old.remove("agent_messages").unwrap_or_default();
    let edits = old.remove("agent_edits").unwrap_or_default();
    copy_sessions(connection, old.remove("agent_sessions").unwrap_or_default(), &messages, &edits)?;
    copy_messages(connection, messages)?;
    for row in &edits {
        copy_edit(connection, row)?;
    }
    Ok(())
}

/// A row by the names of its columns.
type OldRow = HashMap<String, Cell>;

fn read_all(connection: &mut dyn Connection, table: &str) -> Result<Vec<OldRow>> {
    let columns = columns_of(connection, table)?;
    let mut rows = Vec::new();
    let list = columns.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    connection.run(&format!("SELECT {list} FROM {table} ORDER BY rowid"), &mut |row| {
        let mut cells = OldRow::new();
        for name in &columns {
            cells.insert(name.clone(), row.cell()?);
        }
        rows.push(cells);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}

/// Returns the names of a table's columns.
pub(super) fn columns_of(connection: &mut dyn Connection, table: &str) -> Result<Vec<String>> {
    let mut columns = Vec::new();
    connection.run(&format!("PRAGMA table_info({table})"), &mut |row| {
        row.cell()?;
        columns.push(row.text()?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(columns)
}

fn text<'a>(row: &'a OldRow, column: &str) -> Option<&'a str> {
    match row.get(column) {
        Some(Cell::Text(text)) => Some(text),
        _ => None,
    }
}

fn required<'a>(row: &'a OldRow, column: &'static str) -> Result<&'a str> {
    text(row, column)
        .ok_or_else(|| Error::Damaged(format!("a row to adopt has no text in {column}")))
}

fn int(row: &OldRow, column: &str) -> i64 {
    match row.get(column) {
        Some(Cell::Int(number)) => *number,
        _ => 0,
    }
}

fn millis(row: &OldRow, column: &str) -> i64 {
    let time = int(row, column);
    if (0..SECONDS_BELOW).contains(&time) { time * 1000 } else { time }
}

/// Returns a text that is JSON as it is, and any other as a JSON string.
fn json_of(text: &str) -> Result<Json> {
    Json::parse(text.to_owned()).or_else(|_| json_string(text))
}

fn json_string(text: &str) -> Result<Json> {
    Json::of(text).map_err(|error| Error::Internal(error.to_string()))
}

fn copy_setting(connection: &mut dyn Connection, row: &OldRow, now: i64) -> Result<()> {
    let json = json_of(required(row, "value")?)?;
    insert(
        connection,
        "INSERT INTO settings (scope, key, value, updated_at) VALUES ('user', ?1, ?2, ?3)",
        &[required(row, "key")?.into(), json.as_str().into(), now.into()],
    )
}

fn copy_project(connection: &mut dyn Connection, row: &OldRow) -> Result<()> {
    let created_at = millis(row, "created_at");
    let path = required(row, "path")?;
    // What `project.open` would refuse has itself for a key, which no path that it takes has.
    let key = FolderPath::parse(path).map_or_else(|_| path.to_owned(), |folder| folder.key());
    insert(
        connection,
        "INSERT INTO projects (id, name, path, path_key, created_at, opened_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        &[
            required(row, "id")?.into(),
            required(row, "name")?.into(),
            path.into(),
            (&key).into(),
            created_at.into(),
        ],
    )
}

#[derive(Default)]
struct SessionTimes {
    next_index: i64,
    first: Option<i64>,
    last: Option<i64>,
}

fn copy_sessions(
    connection: &mut dyn Connection,
    rows: Vec<OldRow>,
    messages: &[OldRow],
    edits: &[OldRow],
) -> Result<()> {
    let mut times: BTreeMap<&str, SessionTimes> = BTreeMap::new();
    for row in messages {
        let session = times.entry(required(row, "session_id")?).or_default();
        let created_at = millis(row, "created_at");
        session.next_index += 1;
        session.first = Some(session.first.map_or(created_at, |first| first.min(created_at)));
        session.last = Some(session.last.map_or(created_at, |last| last.max(created_at)));
    }
    for row in edits {
        times.entry(required(row, "session_id")?).or_default();
    }
    for row in &rows {
        let id = required(row, "id")?;
        let created_at = millis(row, "created_at");
        let kind = text(row, "kind").unwrap_or(RECOVERED);
        insert_session(
            connection,
            id,
            text(row, "project_id"),
            kind,
            created_at,
            times.remove(id),
        )?;
    }
    // What names a session that has no row gets one: no message is dropped.
    for (id, session) in times {
        let created_at = session.first.unwrap_or_else(time::now);
        insert_session(connection, id, None, RECOVERED, created_at, Some(session))?;
    }
    Ok(())
}

fn insert_session(
    connection: &mut dyn Connection,
    id: &str,
    project_id: Option<&str>,
    kind: &str,
    created_at: i64,
    times: Option<SessionTimes>,
) -> Result<()> {
    let times = times.unwrap_or_default();
    insert(
        connection,
        "INSERT INTO agent_sessions
            (id, project_id, kind, created_at, updated_at, activity_at, next_index, first_message_at, last_message_at)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8)",
        &[
            id.into(),
            project_id.into(),
            kind.into(),
            created_at.into(),
            times.last.unwrap_or(created_at).into(),
            times.next_index.into(),
            times.first.into(),
            times.last.into(),
        ],
    )
}

/// Messages keep their order; their indexes become 0, 1, 2, … where they had holes or doubles.
fn copy_messages(connection: &mut dyn Connection, mut rows: Vec<OldRow>) -> Result<()> {
    rows.sort_by(|one, other| {
        let key = |row: &OldRow| {
            (text(row, "session_id").map(str::to_owned), int(row, "index_in_session"))
        };
        key(one).cmp(&key(other))
    });
    let mut next: HashMap<String, i64> = HashMap::new();
    for row in &rows {
        let session_id = required(row, "session_id")?;
        let index = next.entry(session_id.to_owned()).or_default();
        let (role, metadata) = readable(required(row, "role")?, text(row, "metadata"))?;
        insert(
            connection,
            "INSERT INTO agent_messages
                (id, session_id, role, index_in_session, content, code_excerpt, metadata, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            &[
                required(row, "id")?.into(),
                session_id.into(),
                role.into(),
                (*index).into(),
                required(row, "content")?.into(),
                text(row, "code_excerpt").into(),
                metadata.as_deref().into(),
                millis(row, "created_at").into(),
            ],
        )?;
        *index += 1;
    }
    Ok(())
}

/// Returns a message's role and free data as they can be read again.
///
/// The old table took any text for both, and one that is none of ours would fail every page it is
/// on. Where either is, both are kept in the free data under `adopted`, and the role is the
/// assistant's, whose words are no instruction to a model.
fn readable(role: &str, metadata: Option<&str>) -> Result<(&'static str, Option<String>)> {
    let known = Role::parse(role);
    let is_object = metadata.is_none_or(|text| JsonObject::parse(text.to_owned()).is_ok());
    if let (Some(known), true) = (known, is_object) {
        return Ok((known.as_str(), metadata.map(str::to_owned)));
    }
    let mut members = Vec::new();
    if known.is_none() {
        members.push(format!("\"role\":{}", json_string(role)?.as_str()));
    }
    if let Some(text) = metadata {
        members.push(format!("\"metadata\":{}", json_of(text)?.as_str()));
    }
    let adopted = format!("{{\"adopted\":{{{}}}}}", members.join(","));
    Ok((known.unwrap_or(Role::Assistant).as_str(), Some(adopted)))
}

fn copy_edit(connection: &mut dyn Connection, row: &OldRow) -> Result<()> {
    insert(
        connection,
        "INSERT INTO agent_edits (id, session_id, file_path, kind, diff, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        &[
            required(row, "id")?.into(),
            required(row, "session_id")?.into(),
            required(row, "file_path")?.into(),
            required(row, "kind")?.into(),
            required(row, "diff")?.into(),
            millis(row, "created_at").into(),
        ],
    )
}

fn insert(connection: &mut dyn Connection, sql: &'static str, params: &[Value<'_>]) -> Result<()> {
    connection.execute(sql, params).map(|_| ())
}
