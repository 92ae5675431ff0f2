//! Edits of files: recorded once, never changed, listed in the order recorded.
//!
//! `seq` is that order: a time is one of many within its millisecond, and clocks run back. No number
//! is given twice, so that a list goes on behind any that it has shown: the newest number that a
//! purge took is kept.

use serde::Serialize;

use super::engine::{Row, Value};
use super::page::Page;
use super::sessions::{self, project_id};
use super::{ReadTx, WriteTx, first_sent, messages, projects};
use crate::api::Paged;
use crate::api::edit::{EditPage, ListParams, Order, RecordParams};
use crate::error::{Error, Result};
use crate::model::path::path_key;
use crate::model::{Cursor, Edit, EditId, EditKind, MessageId, ProjectId, SessionId, Topic, time};

macro_rules! columns {
    () => {
        "e.seq, e.id, e.session_id, e.project_id, e.message_id, e.file_path, e.kind, e.diff,
        e.new_path, e.before_hash, e.after_hash, e.created_at"
    };
}
pub(super) use columns;

/// The edits, without those of sessions in the trash. A cross join has the engines go through the
/// edits, which are in order, and look up the session of each.
macro_rules! shown {
    () => {
        " FROM agent_edits e CROSS JOIN agent_sessions s
        WHERE s.id = e.session_id AND s.deleted_at IS NULL"
    };
}
pub(super) use shown;

const BY_ID: &str = concat!("SELECT ", columns!(), " FROM agent_edits e WHERE e.id = ?1");

/// An edit that is shown.
const SHOWN_BY_ID: &str = concat!("SELECT e.seq", shown!(), " AND e.id = ?1");

/// An edit by its place in the order.
const BY_SEQ: &str = concat!("SELECT ", columns!(), shown!(), " AND e.seq = ?1");

const INSERT: &str = "INSERT INTO agent_edits
        (seq, id, session_id, project_id, message_id, file_path, path_key, kind, diff, new_path,
        new_path_key, before_hash, after_hash, created_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

const NEWEST: &str = "SELECT seq FROM agent_edits ORDER BY seq DESC LIMIT 1";
const NEWEST_OF_SESSION: &str =
    "SELECT seq FROM agent_edits WHERE session_id = ?1 ORDER BY seq DESC LIMIT 1";
const PURGED: &str = "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'newest_purged_edit'";
const SET_PURGED: &str = "INSERT INTO meta (key, value) VALUES ('newest_purged_edit', ?1)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";

const COUNT: &str = "UPDATE agent_sessions SET edit_count = edit_count + 1 WHERE id = ?1";

const MOVE: &str = "UPDATE agent_edits SET project_id = ?2 WHERE session_id = ?1";

/// A list in both orders. The parameters are what it is of, the number of the edit that the page
/// before ended with, a session, a project and the limit. A `+` keeps an engine from the index of
/// what narrows the list further.
struct List {
    oldest: &'static str,
    newest: &'static str,
}

macro_rules! list {
    ($of:literal) => {
        List {
            oldest: concat!(
                "SELECT ",
                columns!(),
                shown!(),
                " AND ",
                $of,
                " AND e.seq > ?2 ORDER BY e.seq LIMIT ?5"
            ),
            newest: concat!(
                "SELECT ",
                columns!(),
                shown!(),
                " AND ",
                $of,
                " AND e.seq < ?2 ORDER BY e.seq DESC LIMIT ?5"
            ),
        }
    };
}

const OF_FILE: List = list!(
    "e.path_key = ?1 AND (?3 IS NULL OR +e.session_id = ?3) AND (?4 IS NULL OR +e.project_id = ?4)"
);
/// The renames to a file's path from another.
const TO_FILE: List = list!(
    "e.new_path_key = ?1 AND e.path_key <> ?1 AND (?3 IS NULL OR +e.session_id = ?3)
        AND (?4 IS NULL OR +e.project_id = ?4)"
);
const OF_SESSION: List = list!("e.session_id = ?1");
const OF_PROJECT: List = list!("e.project_id = ?1");

/// Records an edit, or returns the one that the same call recorded before.
pub fn record(tx: &mut WriteTx<'_>, params: &RecordParams) -> Result<Edit> {
    let project_id = sessions::head(tx, &params.session_id)?.project_id;
    if let Some(id) = &params.id
        && let Some(stored) = find(tx, id)?
    {
        return match first_sent::difference("edit", &fields(&stored), &sent(params), None) {
            None => Ok(stored),
            Some(problem) => Err(Error::conflict("edit", id, problem)),
        };
    }
    if let Some(message_id) = &params.message_id
        && messages::get(tx, message_id)?.session_id != params.session_id
    {
        return Err(Error::invalid("message_id", "is a message of another session"));
    }
    let edit = Edit {
        id: params.id.clone().unwrap_or_else(EditId::generate),
        session_id: params.session_id.clone(),
        project_id,
        message_id: params.message_id.clone(),
        file_path: params.file_path.clone(),
        kind: params.kind,
        diff: params.diff.clone(),
        new_path: params.new_path.clone(),
        before_hash: params.before_hash.clone(),
        after_hash: params.after_hash.clone(),
        created_at: time::now(),
    };
    let key = path_key(&edit.file_path);
    let new_key = edit.new_path.as_deref().map(path_key);
    let seq = next_seq(tx)?;
    tx.execute_one(
        INSERT,
        &[
            seq.into(),
            edit.id.as_str().into(),
            edit.session_id.as_str().into(),
            edit.project_id.as_ref().map(ProjectId::as_str).into(),
            edit.message_id.as_ref().map(MessageId::as_str).into(),
            (&edit.file_path).into(),
            (&key).into(),
            edit.kind.as_str().into(),
            (&edit.diff).into(),
            edit.new_path.as_deref().into(),
            new_key.as_deref().into(),
            edit.before_hash.as_deref().into(),
            edit.after_hash.as_deref().into(),
            edit.created_at.into(),
        ],
    )?;
    tx.execute_one(COUNT, &[edit.session_id.as_str().into()])?;
    tx.changed(
        Topic::EditRecorded,
        edit.id.as_str(),
        Some(edit.session_id.as_str()),
        edit.project_id.as_ref().map(ProjectId::as_str),
    )?;
    Ok(edit)
}

/// Returns the number of the next edit.
pub(super) fn next_seq(tx: &mut ReadTx<'_>) -> Result<i64> {
    let newest = tx.first(NEWEST, &[], Row::int)?.unwrap_or(0);
    Ok(newest.max(newest_purged(tx)?) + 1)
}

fn newest_purged(tx: &mut ReadTx<'_>) -> Result<i64> {
    Ok(tx.first(PURGED, &[], Row::int)?.unwrap_or(0))
}

/// Keeps the numbers of a session's edits, which are to be purged, from being given again.
pub(super) fn retire(tx: &mut WriteTx<'_>, id: &SessionId) -> Result<()> {
    let newest = tx.first(NEWEST_OF_SESSION, &[id.as_str().into()], Row::int)?;
    let purged = newest_purged(tx)?;
    if let Some(seq) = newest.filter(|seq| *seq > purged) {
        tx.execute_one(SET_PURGED, &[seq.to_string().as_str().into()])?;
    }
    Ok(())
}

/// Returns one edit of a session outside the trash.
pub(super) fn get(tx: &mut ReadTx<'_>, id: &EditId) -> Result<Edit> {
    let edit = find(tx, id)?.ok_or_else(|| Error::not_found("edit", id))?;
    sessions::head(tx, &edit.session_id).map(|_| edit)
}

/// Returns a page of edits.
pub fn list(tx: &mut ReadTx<'_>, params: &ListParams) -> Result<EditPage> {
    if let Some(session_id) = &params.session_id {
        sessions::head(tx, session_id)?;
    }
    if let Some(project_id) = &params.project_id {
        projects::require(tx, project_id)?;
    }
    let session_id = params.session_id.as_ref().map(SessionId::as_str);
    let project_id = params.project_id.as_ref().map(ProjectId::as_str);
    let key = params.file_path.as_deref().map(path_key);
    let (list, of) = match (key.as_deref(), session_id, project_id) {
        (Some(key), ..) => (&OF_FILE, key),
        (None, Some(session_id), _) => (&OF_SESSION, session_id),
        (None, None, project_id) => (&OF_PROJECT, project_id.unwrap_or_default()),
    };
    let after = params.cursor.as_ref().map(|cursor| cursor.position().0);
    let start = match params.order {
        Order::Oldest => i64::MIN,
        Order::Newest => i64::MAX,
    };
    let values: Vec<Value<'_>> =
        vec![of.into(), after.unwrap_or(start).into(), session_id.into(), project_id.into()];
    let mut fill = |list: &List, page: &mut Page<Numbered>| {
        let sql = if params.order == Order::Oldest { list.oldest } else { list.newest };
        page.fill(tx, sql, values.clone(), read_numbered, |numbered| size(&numbered.edit))
    };
    let mut arrivals = Page::half(params.limit);
    if key.is_some() {
        fill(&TO_FILE, &mut arrivals)?;
    }
    let page = if arrivals.items.is_empty() {
        let mut page = Page::new(params.limit);
        fill(list, &mut page)?;
        page
    } else {
        let mut others = Page::half(params.limit);
        fill(list, &mut others)?;
        merged(params, [others, arrivals])?
    };
    let next_cursor = page.end().map(|last| Cursor::after(params.list(), last.seq, ""));
    Ok(EditPage {
        edits: page.items.into_iter().map(|numbered| numbered.edit).collect(),
        next_cursor,
    })
}

/// Returns the page of two lists that are both in its order.
fn merged(params: &ListParams, parts: [Page<Numbered>; 2]) -> Result<Page<Numbered>> {
    let place = |seq: i64| if params.order == Order::Oldest { seq } else { -seq };
    // What lies behind the end of a part may have others of that part before it.
    let ends = parts.iter().filter_map(|part| part.end().map(|last| place(last.seq)));
    let end = ends.min().unwrap_or(i64::MAX);
    let mut page = Page::new(params.limit);
    page.has_more = end < i64::MAX;
    let mut items: Vec<Numbered> = parts.into_iter().flat_map(|part| part.items).collect();
    items.sort_unstable_by_key(|numbered| place(numbered.seq));
    for numbered in items {
        let bytes = size(&numbered.edit);
        if place(numbered.seq) > end || page.push(numbered, bytes)?.is_break() {
            break;
        }
    }
    Ok(page)
}

/// Has the edits of a session follow it to another project.
pub(super) fn follow(
    tx: &mut WriteTx<'_>,
    session_id: &SessionId,
    project_id: Option<&ProjectId>,
) -> Result<()> {
    let params = [session_id.as_str().into(), project_id.map(ProjectId::as_str).into()];
    tx.execute(MOVE, &params).map(|_| ())
}

/// An edit and its place in the order.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Numbered {
    pub(super) edit: Edit,
    #[serde(skip)]
    pub(super) seq: i64,
}

fn find(tx: &mut ReadTx<'_>, id: &EditId) -> Result<Option<Edit>> {
    Ok(tx.first(BY_ID, &[id.as_str().into()], read_numbered)?.map(|numbered| numbered.edit))
}

/// Returns true where there is such an edit outside the trash.
pub(super) fn is_shown(tx: &mut ReadTx<'_>, id: &EditId) -> Result<bool> {
    Ok(tx.first(SHOWN_BY_ID, &[id.as_str().into()], Row::int)?.is_some())
}

/// Returns the edit that has this place in the order, of this same snapshot.
pub(super) fn at(tx: &mut ReadTx<'_>, seq: i64) -> Result<Edit> {
    let numbered = tx.first(BY_SEQ, &[seq.into()], read_numbered)?;
    let gone = || Error::Internal("an edit of the snapshot is gone".to_owned());
    numbered.map(|numbered| numbered.edit).ok_or_else(gone)
}

/// Reads an edit from the columns of `columns!`.
pub(super) fn read_numbered(row: &mut Row) -> Result<Numbered> {
    Ok(Numbered {
        seq: row.int()?,
        edit: Edit {
            id: super::stored(EditId::parse(row.text()?))?,
            session_id: super::stored(SessionId::parse(row.text()?))?,
            project_id: project_id(row)?,
            message_id: row
                .optional_text()?
                .map(|text| super::stored(MessageId::parse(text)))
                .transpose()?,
            file_path: row.text()?,
            // An adopted file may have any word here, which must not fail the page it is on.
            kind: EditKind::parse(&row.text()?).unwrap_or(EditKind::Replace),
            diff: row.text()?,
            new_path: row.optional_text()?,
            before_hash: row.optional_text()?,
            after_hash: row.optional_text()?,
            created_at: row.int()?,
        },
    })
}

/// The bytes of an edit's texts.
fn size(edit: &Edit) -> usize {
    edit.file_path.len() + edit.diff.len() + edit.new_path.as_ref().map_or(0, String::len)
}

/// Returns an edit's fields as they were sent. It is never patched: they are compared as they are.
fn fields(edit: &Edit) -> first_sent::Fields<'_, 8> {
    [
        ("session_id", Some(edit.session_id.as_str())),
        ("message_id", edit.message_id.as_ref().map(MessageId::as_str)),
        ("file_path", Some(edit.file_path.as_str())),
        ("kind", Some(edit.kind.as_str())),
        ("diff", Some(edit.diff.as_str())),
        ("new_path", edit.new_path.as_deref()),
        ("before_hash", edit.before_hash.as_deref()),
        ("after_hash", edit.after_hash.as_deref()),
    ]
}

fn sent(params: &RecordParams) -> first_sent::Fields<'_, 8> {
    [
        ("session_id", Some(params.session_id.as_str())),
        ("message_id", params.message_id.as_ref().map(MessageId::as_str)),
        ("file_path", Some(params.file_path.as_str())),
        ("kind", Some(params.kind.as_str())),
        ("diff", Some(params.diff.as_str())),
        ("new_path", params.new_path.as_deref()),
        ("before_hash", params.before_hash.as_deref()),
        ("after_hash", params.after_hash.as_deref()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{engine, file_edits, migrations};

    /// A list that scans or sorts is slow only once there is much in it.
    #[test]
    fn every_statement_searches_its_index_on_both_engines() {
        migrations::on_each_engine(|kind, connection| {
            let mut statements = vec![
                (OF_FILE.oldest, "idx_agent_edits_path_order"),
                (OF_FILE.newest, "idx_agent_edits_path_order"),
                (TO_FILE.oldest, "idx_agent_edits_new_path_order"),
                (TO_FILE.newest, "idx_agent_edits_new_path_order"),
                (OF_SESSION.oldest, "idx_agent_edits_session_order"),
                (OF_SESSION.newest, "idx_agent_edits_session_order"),
                (OF_PROJECT.oldest, "idx_agent_edits_project_order"),
                (OF_PROJECT.newest, "idx_agent_edits_project_order"),
                (SHOWN_BY_ID, "sqlite_autoindex_agent_edits_1"),
                (BY_SEQ, "INTEGER PRIMARY KEY"),
            ];
            statements.extend(file_edits::STATEMENTS);
            for (sql, index) in statements {
                let plan = engine::query_plan(connection, sql);
                let [first, second] = plan.as_slice() else { panic!("{kind:?}: {sql}: {plan:?}") };
                assert!(
                    first.starts_with("SEARCH ") && first.contains(index),
                    "{kind:?}: {sql}: {plan:?}"
                );
                assert!(second.starts_with("SEARCH "), "{kind:?}: {sql}: {plan:?}");
            }
        });
    }
}
