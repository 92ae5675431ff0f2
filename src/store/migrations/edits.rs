//! Step 2: the rows of the old table of edits go into the new one, in the order they were written.

use std::ops::ControlFlow;

use super::run_script;
use crate::error::Result;
use crate::model::path::path_key;
use crate::store::engine::{self, Connection};

const READ: &str =
    "SELECT e.id, e.session_id, s.project_id, e.file_path, e.kind, e.diff, e.created_at
    FROM agent_edits e LEFT JOIN agent_sessions s ON s.id = e.session_id ORDER BY e.rowid";

const WRITE: &str = "INSERT INTO agent_edits
        (id, session_id, project_id, file_path, path_key, kind, diff, created_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// An edit as step 1 has it, and its session's project.
struct OldEdit {
    id: String,
    session_id: String,
    project_id: Option<String>,
    file_path: String,
    kind: String,
    diff: String,
    created_at: i64,
}

/// Replaces the table by the one of a script.
pub(super) fn run(connection: &mut dyn Connection, script: &str) -> Result<()> {
    let mut edits = Vec::new();
    connection.run(READ, &mut |row| {
        edits.push(OldEdit {
            id: row.text()?,
            session_id: row.text()?,
            project_id: row.optional_text()?,
            file_path: row.text()?,
            kind: row.text()?,
            diff: row.text()?,
            created_at: row.int()?,
        });
        Ok(ControlFlow::Continue(()))
    })?;
    engine::run(connection, "DROP TABLE agent_edits")?;
    run_script(connection, script)?;
    for edit in edits {
        let key = path_key(&edit.file_path);
        connection.execute(
            WRITE,
            &[
                (&edit.id).into(),
                (&edit.session_id).into(),
                edit.project_id.as_deref().into(),
                (&edit.file_path).into(),
                (&key).into(),
                (&edit.kind).into(),
                (&edit.diff).into(),
                edit.created_at.into(),
            ],
        )?;
    }
    Ok(())
}
