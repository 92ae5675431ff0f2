//! Stores records of an export that are not there, and tells what became of each.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::check::{check_attachments, former_paths};
use super::read::Record;
use super::table::{OWN_KEYS, Tables, cells};
use crate::error::{Error, Result};
use crate::model::path::path_key;
use crate::model::{AttachmentHash, Topic};
use crate::store::engine::{Cell, Row, Value};
use crate::store::shelf::Shelf;
use crate::store::{ReadTx, WriteTx, edits};

const PROJECT: &str = "SELECT 1 FROM projects WHERE id = ?1";
const SESSION: &str = "SELECT project_id, next_index, shelf FROM agent_sessions WHERE id = ?1";
const ATTACHMENT: &str = "SELECT 1 FROM attachments WHERE hash = ?1";
const AT_INDEX: &str =
    "SELECT id FROM agent_messages WHERE session_id = ?1 AND index_in_session = ?2";
const AT_SEQ: &str = "SELECT 1 FROM agent_edits WHERE seq = ?1";
const SEQ_OF: &str = "SELECT seq FROM agent_edits WHERE id = ?1";

const REFER: &str = "INSERT INTO message_attachments (hash, message_id) VALUES (?1, ?2)";
const ADD_FORMER_PATH: &str =
    "INSERT INTO project_former_paths (path_key, project_id) VALUES (?1, ?2)";
const SET_META: &str = "UPDATE meta SET value = ?2 WHERE key = ?1";

/// A session that was not imported as it is may count none of the edits that are, or all.
const COUNT_EDITS: &str = "UPDATE agent_sessions SET edit_count =
        MAX(edit_count, (SELECT COUNT(*) FROM agent_edits WHERE session_id = ?1))
    WHERE id = ?1";

/// The key of `meta` that only grows: the newest number of an edit that a purge took.
const GROWING: &str = "newest_purged_edit";

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there, and is now.
    Imported,
    /// It was there with the same content.
    AlreadyThere,
    /// It is there with another content, which stays.
    Conflict(String),
    /// It cannot be stored.
    Refused(String),
}

/// Records of one type, in the order of their lines.
#[derive(Debug)]
pub struct Batch {
    /// The records.
    pub records: Vec<Record>,
    /// The number of the edit before them, whose place in the order theirs are behind.
    pub behind_seq: i64,
    /// The sessions that are there with another content.
    pub differing: BTreeSet<String>,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Written {
    /// What became of each record.
    pub outcomes: Vec<Outcome>,
    /// The number of the last edit.
    pub last_seq: i64,
}

/// Stores a batch.
pub fn write(tx: &mut WriteTx<'_>, tables: &Tables, batch: &Batch) -> Result<Written> {
    let mut written = Written { outcomes: Vec::new(), last_seq: batch.behind_seq };
    let mut to_count = BTreeSet::new();
    for record in &batch.records {
        let verdict = judge(tx, tables, record, &mut Looked::default())?;
        let outcome = match verdict {
            Verdict::Is(outcome) => outcome,
            Verdict::Grow(value) => {
                tx.execute_one(SET_META, &[GROWING.into(), (&value).into()])?;
                Outcome::Imported
            }
            Verdict::Insert { project_id } => {
                insert(tx, tables, record, project_id.as_deref(), &mut written.last_seq)?;
                let session = record.text(tables, "session_id");
                to_count.extend(
                    session
                        .filter(|id| record.kind.word == "edit" && batch.differing.contains(*id)),
                );
                Outcome::Imported
            }
        };
        if record.kind.word == "edit" && outcome == Outcome::AlreadyThere {
            let id = record.text(tables, "id").unwrap_or_default();
            let seq = tx.first(SEQ_OF, &[id.into()], Row::int)?;
            written.last_seq = written.last_seq.max(seq.unwrap_or_default());
        }
        written.outcomes.push(outcome);
    }
    for id in to_count {
        tx.execute_one(COUNT_EDITS, &[id.into()])?;
    }
    Ok(written)
}

/// What a look would have stored so far: by the hash of a record's type and id that of its content.
#[derive(Debug, Default)]
pub struct Looked(HashMap<u64, u64>);

/// Tells what would become of a batch, behind those that were looked at before.
pub fn look(
    tx: &mut ReadTx<'_>,
    tables: &Tables,
    batch: &Batch,
    looked: &mut Looked,
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for record in &batch.records {
        let (key, content) = (key_hash(record.kind.word, &record.id(tables)), content_hash(record));
        let outcome = match looked.0.get(&key) {
            Some(seen) if *seen == content => Outcome::AlreadyThere,
            Some(_) => Outcome::Conflict("is in the file before, with another content".to_owned()),
            None => match judge(tx, tables, record, looked)? {
                Verdict::Is(outcome) => outcome,
                Verdict::Grow(_) => Outcome::Imported,
                Verdict::Insert { .. } => {
                    looked.0.insert(key, content);
                    Outcome::Imported
                }
            },
        };
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

fn key_hash(word: &str, id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (word, id).hash(&mut hasher);
    hasher.finish()
}

fn content_hash(record: &Record) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{:?}{:?}", record.cells, record.part).hash(&mut hasher);
    hasher.finish()
}

/// What is to be done with a record.
enum Verdict {
    Is(Outcome),
    /// The counter of `meta` is set to what the record has.
    Grow(String),
    /// It is stored; the project is that of its session.
    Insert {
        project_id: Option<String>,
    },
}

fn conflict(problem: impl Into<String>) -> Verdict {
    Verdict::Is(Outcome::Conflict(problem.into()))
}

fn refused(problem: impl Into<String>) -> Verdict {
    Verdict::Is(Outcome::Refused(problem.into()))
}

fn judge(
    tx: &mut ReadTx<'_>,
    tables: &Tables,
    record: &Record,
    looked: &mut Looked,
) -> Result<Verdict> {
    let kind = record.kind;
    if kind.word == "meta" && record.text(tables, "key").is_some_and(|key| OWN_KEYS.contains(&key))
    {
        return Ok(refused("is of another database alone"));
    }
    let keys: Vec<Value<'_>> =
        kind.keys.iter().map(|key| record.text(tables, key).into()).collect();
    let part = kind.part.as_ref().filter(|_| kind.stored == kind.one);
    let part_columns = part.map_or(0, |part| tables.of_part(part).columns.len());
    let stored = tx.first(kind.stored, &keys, |row| {
        let own = cells(row, tables.of(kind).columns.len())?;
        Ok((own, cells(row, part_columns)?))
    })?;
    if let Some((own, rest)) = stored {
        return Ok(compare(tables, record, &own, &rest));
    }
    let text = |column| record.text(tables, column);
    let is_looked = |word: &str, id: &str| looked.0.contains_key(&key_hash(word, id));
    match kind.word {
        "file" => {
            let id = text("project_id").unwrap_or_default();
            let is_there = tx.first(PROJECT, &[id.into()], Row::int)?.is_some();
            if !is_there && !is_looked("project", id) {
                return Ok(refused(format!("its project {id:?} is not there")));
            }
            Ok(Verdict::Insert { project_id: None })
        }
        "message" | "edit" => {
            let id = text("session_id").unwrap_or_default();
            let session = tx.first(SESSION, &[id.into()], |row| {
                Ok((row.optional_text()?, row.int()?, row.int()?))
            })?;
            let session = session.filter(|(.., shelf)| *shelf != Shelf::Purging.number());
            let Some((project_id, next_index, _)) = session else {
                if is_looked("session", id) {
                    return Ok(Verdict::Insert { project_id: None });
                }
                return Ok(refused(format!("its session {id:?} is not there")));
            };
            if kind.word == "edit" {
                return Ok(Verdict::Insert { project_id });
            }
            let index = record.int(tables, "index_in_session").unwrap_or_default();
            if index >= next_index {
                return Ok(conflict(format!(
                    "its session {id:?} is there with other messages: it has none of index {index}"
                )));
            }
            if let Some(other) = tx.first(AT_INDEX, &[id.into(), index.into()], Row::text)? {
                return Ok(conflict(format!(
                    "its place, index {index} of the session {id:?}, is that of {other:?}"
                )));
            }
            for hash in attachments(tables, record) {
                let is_there = tx.first(ATTACHMENT, &[hash.as_str().into()], Row::int)?.is_some();
                if !is_there && !is_looked("attachment", hash.as_str()) {
                    return Ok(refused(format!("its attachment {hash} is not there")));
                }
            }
            Ok(Verdict::Insert { project_id })
        }
        _ => Ok(Verdict::Insert { project_id: None }),
    }
}

fn attachments(tables: &Tables, record: &Record) -> Vec<AttachmentHash> {
    check_attachments(record.text(tables, "attachments")).expect("the record was checked")
}

/// Compares a record with what is there.
fn compare(tables: &Tables, record: &Record, own: &[Cell], part: &[Cell]) -> Verdict {
    let kind = record.kind;
    if kind.word == "session" && record_shelf(tables, own) == Some(Shelf::Purging.number()) {
        return conflict("is being purged");
    }
    if kind.word == "meta" && record.text(tables, "key") == Some(GROWING) {
        let number = |cells: &[Cell]| match &cells[tables.of(kind).place("value")?] {
            Cell::Text(text) => text.parse::<i64>().ok(),
            _ => None,
        };
        return match number(&record.cells) {
            None => refused("value: expected a number"),
            Some(sent) if number(own).is_none_or(|stored| stored < sent) => {
                Verdict::Grow(sent.to_string())
            }
            Some(_) => Verdict::Is(Outcome::AlreadyThere),
        };
    }
    let mut others: Vec<String> = tables
        .of(kind)
        .columns
        .iter()
        .zip(own.iter().zip(&record.cells))
        .filter(|(column, (stored, sent))| {
            stored != sent && !kind.free.contains(&column.name.as_str())
        })
        .map(|(column, _)| column.name.clone())
        .collect();
    if let Some(table) = kind.part.as_ref().filter(|_| !part.is_empty()) {
        let nothing = vec![Cell::Null; part.len()];
        let sent = record.part.as_ref().unwrap_or(&nothing);
        let columns = &tables.of_part(table).columns;
        others.extend(
            columns
                .iter()
                .zip(part.iter().zip(sent))
                .filter(|(column, (stored, sent))| stored != sent && column.name != table.key)
                .map(|(column, _)| format!("{}.{}", table.member, column.name)),
        );
    }
    match others.as_slice() {
        [] => Verdict::Is(Outcome::AlreadyThere),
        names => conflict(format!("is there with another {}", names.join(", "))),
    }
}

fn record_shelf(tables: &Tables, own: &[Cell]) -> Option<i64> {
    let sessions = super::table::kind("session").expect("there is such a type");
    match &own[tables.of(sessions).place("shelf")?] {
        Cell::Int(shelf) => Some(*shelf),
        _ => None,
    }
}

/// Stores a record, with what follows from it, and tells of it as the write that it comes from would have.
fn insert(
    tx: &mut WriteTx<'_>,
    tables: &Tables,
    record: &Record,
    project_id: Option<&str>,
    last_seq: &mut i64,
) -> Result<()> {
    let kind = record.kind;
    let mut values: Vec<Value<'_>> = record.cells.iter().map(value).collect::<Result<_>>()?;
    if kind.word == "edit" {
        let seq = place_in_order(tx, tables, record, *last_seq)?;
        *last_seq = seq;
        values[tables.of(kind).place("seq").expect("edits have an order")] = seq.into();
    }
    tx.execute_one(tables.of(kind).insert, &values)?;
    if let (Some(part), Some(cells)) = (&kind.part, &record.part) {
        let values: Vec<Value<'_>> = cells.iter().map(value).collect::<Result<_>>()?;
        tx.execute_one(tables.of_part(part).insert, &values)?;
    }
    let text = |column| record.text(tables, column);
    let id = text(kind.keys[0]).unwrap_or_default();
    match kind.word {
        "project" => {
            let former = text("former_paths").map(former_paths).transpose();
            let former = former.expect("the record was checked").unwrap_or_default();
            let keys: BTreeSet<String> = former.iter().map(|path| path_key(path)).collect();
            for key in keys {
                tx.execute_one(ADD_FORMER_PATH, &[(&key).into(), id.into()])?;
            }
            tx.changed(Topic::ProjectCreated, id, None, Some(id))?;
            if record.int(tables, "removed_at").is_some() {
                tx.changed(Topic::ProjectRemoved, id, None, Some(id))?;
            }
            Ok(())
        }
        "setting" => {
            let key = text("key").unwrap_or_default();
            tx.changed(Topic::SettingChanged, key, None, id.strip_prefix("project:"))
        }
        "file" => tx.changed(
            Topic::FileTouched,
            text("relative_path").unwrap_or_default(),
            None,
            text("project_id"),
        ),
        "attachment" => tx.changed(Topic::AttachmentAdded, id, None, None),
        "session" => {
            let project_id = text("project_id");
            tx.changed(Topic::SessionStarted, id, Some(id), project_id)?;
            if record.int(tables, "deleted_at").is_some() {
                tx.changed(Topic::SessionDeleted, id, Some(id), project_id)?;
            }
            Ok(())
        }
        "message" => {
            for hash in attachments(tables, record) {
                tx.execute_one(REFER, &[hash.as_str().into(), id.into()])?;
            }
            tx.changed(Topic::MessageAppended, id, text("session_id"), project_id)
        }
        "edit" => tx.changed(Topic::EditRecorded, id, text("session_id"), project_id),
        _ => Ok(()),
    }
}

/// Returns the number of an edit: its own where that is free and behind the edit before it, or the next.
fn place_in_order(
    tx: &mut ReadTx<'_>,
    tables: &Tables,
    record: &Record,
    behind: i64,
) -> Result<i64> {
    let seq = record.int(tables, "seq").unwrap_or_default();
    let is_free = seq > behind && tx.first(AT_SEQ, &[seq.into()], Row::int)?.is_none();
    if is_free { Ok(seq) } else { edits::next_seq(tx) }
}

fn value(cell: &Cell) -> Result<Value<'_>> {
    match cell {
        Cell::Null => Ok(Value::Null),
        Cell::Int(number) => Ok(Value::Int(*number)),
        Cell::Text(text) => Ok(Value::Text(text)),
        Cell::Blob(bytes) => Ok(Value::Blob(bytes)),
        Cell::Real(_) => Err(Error::Internal("a record has a real number".to_owned())),
    }
}
