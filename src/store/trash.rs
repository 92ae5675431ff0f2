//! The trash: sessions moved there and back, and purged from anywhere.
//!
//! A purge of a long session takes seconds, which no other write should wait for. So it takes the
//! session off every list at once, and what is stored of it goes in batches: the first with the call,
//! the others between other writes, and from the next start on where the daemon ended before.

use std::ops::ControlFlow;

use super::engine::Row;
use super::sessions::{self, Found};
use super::shelf::Shelf;
use super::{ReadTx, WriteTx, edits};
use crate::api::session::{DeleteParams, DeletedSession, IdParams};
use crate::error::{Error, Result};
use crate::model::{Millis, Session, SessionId, Topic, time};

const MOVE: &str = "UPDATE agent_sessions SET deleted_at = ?2, shelf = ?3 WHERE id = ?1";

const NEXT_TO_PURGE: &str = "SELECT id FROM agent_sessions WHERE shelf = ?1 LIMIT 1";

const MESSAGES: &str =
    "SELECT index_in_session, LENGTH(content) + COALESCE(LENGTH(code_excerpt), 0)
        + COALESCE(LENGTH(metadata), 0)
    FROM agent_messages WHERE session_id = ?1 ORDER BY index_in_session LIMIT ?2";

const DELETE_MESSAGE: &str =
    "DELETE FROM agent_messages WHERE session_id = ?1 AND index_in_session = ?2";

const EDITS: &str =
    "SELECT seq, LENGTH(diff) FROM agent_edits WHERE session_id = ?1 ORDER BY seq LIMIT ?2";

const DELETE_EDIT: &str = "DELETE FROM agent_edits WHERE session_id = ?1 AND seq = ?2";

/// Its texts go with it.
const DELETE_SESSION: &str = "DELETE FROM agent_sessions WHERE id = ?1";

/// Messages and edits that one batch deletes.
const BATCH_ROWS: i64 = 500;
/// Characters of their texts, but always one.
const BATCH_CHARS: i64 = 4 * 1024 * 1024;

/// What a row that is deleted counts for in its transaction: the page it is on is written.
const BYTES_OF_A_ROW: usize = 4096;

/// Moves a session to the trash, or purges it, and returns what that changed.
pub fn delete(tx: &mut WriteTx<'_>, params: &DeleteParams) -> Result<DeletedSession> {
    let found = known(tx, &params.id)?;
    let deleted = found.shelf.is_outside_trash();
    if params.purge {
        move_to(tx, &params.id, Some(time::now()), Shelf::Purging)?;
        edits::retire(tx, &params.id)?;
        sessions::changed(tx, Topic::SessionPurged, &found.session)?;
        if !delete_batch(tx, &params.id)? {
            tx.leave_purging();
        }
    } else if deleted {
        move_to(tx, &params.id, Some(time::now()), Shelf::Trash)?;
        sessions::changed(tx, Topic::SessionDeleted, &found.session)?;
    }
    Ok(DeletedSession { deleted, purged: params.purge })
}

/// Brings a session back from the trash.
pub fn restore(tx: &mut WriteTx<'_>, params: &IdParams) -> Result<Session> {
    let found = known(tx, &params.id)?;
    if !found.shelf.is_outside_trash() {
        move_to(tx, &params.id, None, Shelf::outside_trash(found.session.archived_at))?;
        sessions::changed(tx, Topic::SessionRestored, &found.session)?;
    }
    Ok(found.session)
}

/// Returns a session, also of the trash.
fn known(tx: &mut ReadTx<'_>, id: &SessionId) -> Result<Found> {
    sessions::find(tx, id)?
        .filter(|found| found.shelf != Shelf::Purging)
        .ok_or_else(|| Error::not_found("session", id))
}

pub(super) fn move_to(
    tx: &mut WriteTx<'_>,
    id: &SessionId,
    deleted_at: Option<Millis>,
    shelf: Shelf,
) -> Result<()> {
    tx.execute_one(MOVE, &[id.as_str().into(), deleted_at.into(), shelf.number().into()])
}

/// True while something is left of a session that is being purged.
pub fn is_purging(tx: &mut ReadTx<'_>) -> Result<bool> {
    Ok(tx.first(NEXT_TO_PURGE, &[Shelf::Purging.number().into()], Row::text)?.is_some())
}

/// Deletes a batch of what is being purged, and returns whether nothing is left.
pub(super) fn purge_batch(tx: &mut WriteTx<'_>) -> Result<bool> {
    let purging = Shelf::Purging.number().into();
    let next = tx.first(NEXT_TO_PURGE, &[purging], Row::text)?;
    if let Some(id) = next {
        delete_batch(tx, &super::stored(SessionId::parse(id))?)?;
    }
    Ok(!is_purging(tx)?)
}

/// Deletes a batch of a session, and returns whether it is gone.
fn delete_batch(tx: &mut WriteTx<'_>, id: &SessionId) -> Result<bool> {
    let (mut rows, mut chars) = (0, 0);
    for (read, delete) in [(MESSAGES, DELETE_MESSAGE), (EDITS, DELETE_EDIT)] {
        let mut keys = Vec::new();
        if rows < BATCH_ROWS && chars < BATCH_CHARS {
            tx.each(read, &[id.as_str().into(), (BATCH_ROWS - rows).into()], |row| {
                keys.push(row.int()?);
                chars += row.int()?;
                let is_full = chars >= BATCH_CHARS;
                Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        for key in keys {
            tx.execute_one(delete, &[id.as_str().into(), key.into()])?;
            tx.add_written(BYTES_OF_A_ROW);
            rows += 1;
        }
    }
    if rows >= BATCH_ROWS || chars >= BATCH_CHARS {
        return Ok(false);
    }
    tx.execute_one(DELETE_SESSION, &[id.as_str().into()])?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineKind;
    use crate::store::engine::{self, Cell, Connection};
    use crate::store::migrations;

    const PLANNED: [(&str, &str); 4] = [
        (NEXT_TO_PURGE, "idx_agent_sessions_"),
        (MESSAGES, "idx_agent_messages_session_order"),
        (DELETE_MESSAGE, "idx_agent_messages_session_order"),
        (EDITS, "idx_agent_edits_session_order"),
    ];

    /// A connection to tables with a session of so many messages and edits, each of so many characters.
    fn connect(
        kind: EngineKind,
        [messages, edits]: [i64; 2],
        chars: usize,
    ) -> (tempfile::TempDir, Box<dyn Connection>) {
        let (folder, mut connection) = migrations::new_database(kind);
        let mut run = |sql: &'static str, params: &[engine::Value<'_>]| {
            connection.execute(sql, params).expect("is carried out");
        };
        let text = "x".repeat(chars);
        run("BEGIN", &[]);
        run(
            "INSERT INTO agent_sessions (id, kind, created_at, updated_at, activity_at)
            VALUES ('s', 'chat', 1, 1, 1)",
            &[],
        );
        for index in 0..messages {
            run(
                "INSERT INTO agent_messages (id, session_id, role, index_in_session, content, created_at)
                VALUES (?1, 's', 'user', ?1, ?2, 1)",
                &[index.into(), (&text).into()],
            );
        }
        for seq in 0..edits {
            run(
                "INSERT INTO agent_edits (seq, id, session_id, file_path, path_key, kind, diff, created_at)
                VALUES (?1, ?1, 's', '/x', '/x', 'replace', ?2, 1)",
                &[seq.into(), (&text).into()],
            );
        }
        run("COMMIT", &[]);
        (folder, connection)
    }

    fn count(connection: &mut dyn Connection, sql: &str) -> i64 {
        match engine::scalar(connection, sql).expect("a count") {
            Some(Cell::Int(count)) => count,
            other => panic!("{other:?}"),
        }
    }

    /// Purges the session, and returns how many rows are left behind each batch.
    fn purge(kind: EngineKind, rows: [i64; 2], chars: usize) -> Vec<i64> {
        let (_folder, mut connection) = connect(kind, rows, chars);
        let connection = connection.as_mut();
        let params = DeleteParams { id: SessionId::parse("s").expect("an id"), purge: true };
        let mut left = Vec::new();
        let mut is_left = {
            let mut tx = WriteTx::new(connection, Some(0));
            delete(&mut tx, &params).expect("purges");
            tx.leaves_purging()
        };
        loop {
            let messages = count(connection, "SELECT COUNT(*) FROM agent_messages");
            left.push(messages + count(connection, "SELECT COUNT(*) FROM agent_edits"));
            let sessions = count(connection, "SELECT COUNT(*) FROM agent_sessions");
            assert_eq!(sessions == 1, is_left, "{kind:?}");
            if !is_left {
                return left;
            }
            is_left = !purge_batch(&mut WriteTx::new(connection, Some(1))).expect("goes on");
        }
    }

    #[test]
    fn a_batch_has_a_limit_of_rows_and_of_characters() {
        for kind in [EngineKind::Turso, EngineKind::Sqlite] {
            assert_eq!(purge(kind, [0, 0], 1), [0], "{kind:?}");
            let some = BATCH_ROWS / 2 + 1;
            assert_eq!(purge(kind, [some, BATCH_ROWS - some - 1], 1), [0]);
            assert_eq!(purge(kind, [some, BATCH_ROWS - some], 1), [0, 0]);
            assert_eq!(purge(kind, [some, 2 * BATCH_ROWS - some], 1), [BATCH_ROWS, 0, 0]);
            assert_eq!(purge(kind, [2 * BATCH_ROWS + 1, 0], 1), [BATCH_ROWS + 1, 1, 0]);
            let half = BATCH_CHARS as usize / 2;
            assert_eq!(purge(kind, [3, 2], half), [3, 1, 0]);
            assert_eq!(purge(kind, [3, 0], 2 * half), [2, 1, 0, 0]);
        }
    }

    #[test]
    fn every_statement_searches_its_index_on_both_engines() {
        for kind in [EngineKind::Turso, EngineKind::Sqlite] {
            let (_folder, mut connection) = connect(kind, [0, 0], 1);
            for (sql, index) in PLANNED {
                let plan = engine::query_plan(connection.as_mut(), sql);
                // What refers to the rows that go is searched too.
                assert!(
                    plan.iter().all(|step| step.starts_with("SEARCH ")) && plan[0].contains(index),
                    "{kind:?}: {sql}: {plan:?}"
                );
            }
        }
    }
}
