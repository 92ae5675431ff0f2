//! Checks a record that is to be stored: that the daemon can read it again, as it reads its own rows.

use sha2::{Digest as _, Sha256};

use super::read::Record;
use super::table::Tables;
use crate::model::limits::MAX_FILE_SIZE;
use crate::model::{
    AttachmentHash, EditId, EditKind, Json, JsonObject, MessageId, ProjectId, Role, SessionId, hex,
};
use crate::store::attachments::References;
use crate::store::engine::Cell;
use crate::store::hidden::Hidden;
use crate::store::shelf::Shelf;

/// The largest number of an edit or a message: so many can follow that none is ever given twice.
const MAX_PLACE: i64 = MAX_FILE_SIZE;

/// Returns what is wrong with a record.
pub(super) fn check(tables: &Tables, record: &Record) -> Result<(), String> {
    let kind = record.kind;
    let columns = tables.of(kind).columns.iter().zip(&record.cells);
    for (column, cell) in columns {
        check_cell(kind.word, &column.name, cell)
            .map_err(|problem| format!("{}: {problem}", column.name))?;
    }
    let int = |column| record.int(tables, column);
    match kind.word {
        "session" => {
            let archived_at = int("archived_at");
            let shelf = match int("deleted_at") {
                Some(_) => Shelf::Trash,
                None => Shelf::outside_trash(archived_at),
            };
            if int("shelf") != Some(shelf.number()) {
                return Err("shelf: is not what archived_at and deleted_at say".to_owned());
            }
            for (ranges, count) in
                [("hidden_ranges", "hidden_count"), ("compacted_ranges", "compacted_count")]
            {
                let hidden = Hidden::parse(record.text(tables, ranges));
                if hidden.map_err(|error| error.to_string())?.count()
                    != int(count).unwrap_or_default()
                {
                    return Err(format!("{count}: is not what {ranges} says"));
                }
            }
            check_texts(tables, record)
        }
        "attachment" => check_data(tables, record),
        "message" => check_attachments(record.text(tables, "attachments")).map(|_| ()),
        _ => Ok(()),
    }
}

fn check_cell(word: &str, column: &str, cell: &Cell) -> Result<(), String> {
    let text = match cell {
        Cell::Text(text) => text.as_str(),
        Cell::Int(number) => return check_number(column, *number),
        _ => return Ok(()),
    };
    let json_error = |error: serde_json::Error| format!("is no JSON: {error}");
    match (word, column) {
        ("setting", "scope") => match text.strip_prefix("project:") {
            Some(id) => ProjectId::parse(id).map(|_| ()),
            None if text == "user" => Ok(()),
            None => Err("expected user, or project: and an id".to_owned()),
        },
        ("setting", "value") | ("file", "state") => {
            Json::parse(text.to_owned()).map(|_| ()).map_err(json_error)
        }
        ("project", "former_paths") => former_paths(text).map(|_| ()),
        ("project", "id") | (_, "project_id") => ProjectId::parse(text).map(|_| ()),
        ("session", "id") | (_, "session_id" | "parent_id") => SessionId::parse(text).map(|_| ()),
        ("message", "id") | (_, "message_id" | "origin_id") => MessageId::parse(text).map(|_| ()),
        ("edit", "id") => EditId::parse(text).map(|_| ()),
        ("attachment", "hash") => AttachmentHash::parse(text).map(|_| ()),
        ("project" | "message", "metadata") => JsonObject::parse(text.to_owned()).map(|_| ()),
        ("message", "role") => {
            Role::parse(text).map(|_| ()).ok_or_else(|| format!("no role is called {text:?}"))
        }
        ("edit", "kind") => {
            EditKind::parse(text).map(|_| ()).ok_or_else(|| format!("no kind is called {text:?}"))
        }
        _ => Ok(()),
    }
}

fn check_number(column: &str, number: i64) -> Result<(), String> {
    let least = match column {
        "seq" => 1,
        "next_index" | "index_in_session" | "edit_count" | "size" => 0,
        _ => return Ok(()),
    };
    if (least..=MAX_PLACE).contains(&number) {
        return Ok(());
    }
    Err(format!("expected {least} to {MAX_PLACE}"))
}

fn check_texts(tables: &Tables, record: &Record) -> Result<(), String> {
    let (Some(part), Some(cells)) = (&record.kind.part, &record.part) else { return Ok(()) };
    match tables.of_part(part).place("metadata").map(|place| &cells[place]) {
        Some(Cell::Text(text)) => JsonObject::parse(text.clone())
            .map(|_| ())
            .map_err(|problem| format!("texts.metadata: {problem}")),
        _ => Ok(()),
    }
}

/// The bytes must be those of the hash, by which everybody knows them.
fn check_data(tables: &Tables, record: &Record) -> Result<(), String> {
    let part = record.kind.part.as_ref().zip(record.part.as_ref());
    let bytes =
        part.and_then(|(part, cells)| match &cells[tables.of_part(part).place("data")?] {
            Cell::Blob(bytes) => Some(bytes),
            _ => None,
        });
    let bytes = bytes.ok_or("content: is missing: there are no bytes to store")?;
    if record.text(tables, "hash") != Some(&hex(&Sha256::digest(bytes))) {
        return Err("content.data: has another hash".to_owned());
    }
    if record.int(tables, "size") != i64::try_from(bytes.len()).ok() {
        return Err("size: is not that of content.data".to_owned());
    }
    Ok(())
}

/// Returns the hashes of what a message lists.
pub(super) fn check_attachments(text: Option<&str>) -> Result<Vec<AttachmentHash>, String> {
    let references = References::read(text.map(str::to_owned))
        .map_err(|error| format!("attachments: {error}"))?;
    let mut hashes = Vec::new();
    for attachment in references.attachments() {
        let hash = attachment.hash;
        if !hashes.contains(&hash) {
            hashes.push(hash);
        }
    }
    Ok(hashes)
}

/// Returns the former folders of a project.
pub(super) fn former_paths(text: &str) -> Result<Vec<String>, String> {
    serde_json::from_str(text).map_err(|error| format!("expected an array of texts: {error}"))
}
