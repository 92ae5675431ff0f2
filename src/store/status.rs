//! How much is stored.

use super::ReadTx;
use crate::api::system::StoredCounts;
use crate::error::{Error, Result};

const PROJECTS: &str = "SELECT COUNT(*) FROM projects WHERE removed_at IS NULL";
const FILES: &str = "SELECT COUNT(*) FROM files";
const SETTINGS: &str = "SELECT COUNT(*) FROM settings";
const SESSIONS: &str =
    "SELECT COUNT(*), COALESCE(SUM(next_index - hidden_count - compacted_count), 0),
        COALESCE(SUM(edit_count), 0)
    FROM agent_sessions WHERE deleted_at IS NULL";

const ATTACHMENTS: &str = "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM attachments";

/// Counts what is stored, without reading messages or edits.
pub fn counts(tx: &mut ReadTx<'_>) -> Result<StoredCounts> {
    let none = || Error::Internal("a count gave no row".to_owned());
    let projects = tx.first(PROJECTS, &[], |row| row.int())?.ok_or_else(none)?;
    let files = tx.first(FILES, &[], |row| row.int())?.ok_or_else(none)?;
    let settings = tx.first(SETTINGS, &[], |row| row.int())?.ok_or_else(none)?;
    let (sessions, messages, edits) = tx
        .first(SESSIONS, &[], |row| Ok((row.int()?, row.int()?, row.int()?)))?
        .ok_or_else(none)?;
    let (attachments, attachment_bytes) =
        tx.first(ATTACHMENTS, &[], |row| Ok((row.int()?, row.int()?)))?.ok_or_else(none)?;
    Ok(StoredCounts {
        projects,
        files,
        sessions,
        messages,
        edits,
        settings,
        attachments,
        attachment_bytes,
    })
}
