//! An export as JSON Lines: a header, a record a line, and a footer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::ControlFlow;

use data_encoding::BASE64;
use serde::Serialize;

use super::digest::digest;
use super::new_file::NewFile;
use super::selection::Selection;
use super::table::{self, Kind, Tables, cells};
use crate::api::dump::{ExportParams, FORMAT, FORMAT_VERSION, Footer, Header};
use crate::error::{Error, Result};
use crate::model::time;
use crate::store::ReadTx;
use crate::store::engine::{Cell, Row, Value};
use crate::store::migrations::CURRENT_VERSION;

const MESSAGES_OF: &str =
    "SELECT * FROM agent_messages WHERE session_id = ?1 ORDER BY index_in_session";

/// The numbers of a session's edits, which are all of it that is kept in mind.
const EDITS_OF: &str = "SELECT seq FROM agent_edits WHERE session_id = ?1 ORDER BY seq";

const ATTACHMENTS_OF: &str =
    "SELECT a.hash FROM agent_messages m JOIN message_attachments a ON a.message_id = m.id
    WHERE m.session_id = ?1";

/// Writes all that was asked for, and returns the footer.
pub(super) fn write(
    tx: &mut ReadTx<'_>,
    params: &ExportParams,
    file: &mut NewFile,
) -> Result<Footer> {
    let selected = params.selection();
    let selection =
        selected.as_ref().map(|selected| Selection::resolve(tx, selected, true)).transpose()?;
    let tables = Tables::read(tx)?;
    let mut lines = Lines { tables: &tables, file, counts: BTreeMap::new() };
    lines.add(&Header {
        word: "header".to_owned(),
        format: FORMAT.to_owned(),
        version: FORMAT_VERSION,
        created_at: time::now(),
        aetherd: env!("CARGO_PKG_VERSION").to_owned(),
        schema_version: CURRENT_VERSION,
        selection: selected,
    })?;
    let digest = match &selection {
        None => {
            write_all(tx, &mut lines)?;
            Some(digest(tx)?.total)
        }
        Some(selection) => {
            write_selection(tx, selection, &mut lines)?;
            None
        }
    };
    let counts = std::mem::take(&mut lines.counts);
    let footer = Footer { word: "footer".to_owned(), counts, digest };
    lines.add(&footer)?;
    Ok(footer)
}

/// Writes every record, as the tables have them: none is held in memory but the one that is written.
fn write_all(tx: &mut ReadTx<'_>, lines: &mut Lines<'_>) -> Result<()> {
    let purging = table::purging(tx)?;
    for kind in &table::KINDS {
        let session = lines.tables.of(kind).place("session_id");
        lines.records(tx, kind, kind.all, &[], |cells| {
            let session = session.map(|place| &cells[place]);
            !matches!(session, Some(Cell::Text(id)) if purging.contains(id))
        })?;
    }
    Ok(())
}

fn write_selection(
    tx: &mut ReadTx<'_>,
    selection: &Selection,
    lines: &mut Lines<'_>,
) -> Result<()> {
    let kind = |word| table::kind(word).expect("there is such a type");
    let mut each = |tx: &mut ReadTx<'_>, word, ids: &mut dyn Iterator<Item = &String>| {
        let kind = kind(word);
        for id in ids {
            lines.records(tx, kind, kind.one, &[id.into()], |_| true)?;
        }
        Ok::<(), Error>(())
    };
    each(tx, "project", &mut selection.projects.iter())?;
    let mut hashes = BTreeSet::new();
    let mut edits = Vec::new();
    for id in &selection.sessions {
        hashes.extend(tx.all(ATTACHMENTS_OF, &[id.into()], Row::text)?);
        edits.extend(tx.all(EDITS_OF, &[id.into()], Row::int)?);
    }
    each(tx, "attachment", &mut hashes.iter())?;
    each(tx, "session", &mut selection.sessions.iter())?;
    for id in &selection.sessions {
        lines.records(tx, kind("message"), MESSAGES_OF, &[id.into()], |_| true)?;
    }
    edits.sort_unstable();
    for seq in edits {
        lines.records(tx, kind("edit"), kind("edit").one, &[seq.into()], |_| true)?;
    }
    Ok(())
}

/// The lines as they are written.
struct Lines<'a> {
    tables: &'a Tables,
    file: &'a mut NewFile,
    counts: BTreeMap<String, u64>,
}

impl Lines<'_> {
    fn add<T: Serialize>(&mut self, line: &T) -> Result<()> {
        serde_json::to_writer(&mut *self.file, line)
            .map_err(std::io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"))
            .map_err(|error| self.file.failed(&error))
    }

    /// Writes the records that a statement gives, those that are wanted.
    fn records(
        &mut self,
        tx: &mut ReadTx<'_>,
        kind: &Kind,
        sql: &'static str,
        params: &[Value<'_>],
        is_wanted: impl Fn(&[Cell]) -> bool,
    ) -> Result<()> {
        let mut count = 0;
        tx.each(sql, params, |row| {
            let own = cells(row, self.tables.of(kind).columns.len())?;
            if is_wanted(&own) {
                self.record(kind, &own, row).map_err(|error| self.file.failed(&error))?;
                count += 1;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if count > 0 {
            *self.counts.entry(kind.word.to_owned()).or_default() += count;
        }
        Ok(())
    }

    fn record(&mut self, kind: &Kind, own: &[Cell], rest: &mut Row) -> std::io::Result<()> {
        let file = &mut *self.file;
        write!(file, "{{\"type\":\"{}\"", kind.word)?;
        for (column, cell) in self.tables.of(kind).columns.iter().zip(own) {
            file.write_all(b",")?;
            member(file, &column.name, cell)?;
        }
        if let Some(part) = &kind.part {
            write!(file, ",\"{}\":", part.member)?;
            let columns = &self.tables.of_part(part).columns;
            let part_cells = cells(rest, columns.len()).map_err(std::io::Error::other)?;
            let mut members = columns.iter().zip(&part_cells);
            let key = members.clone().find(|(column, _)| column.name == part.key);
            if key.is_none_or(|(_, key)| *key == Cell::Null) {
                file.write_all(b"null")?;
            } else {
                file.write_all(b"{")?;
                let mut comma: &[u8] = b"";
                for (column, cell) in members.by_ref().filter(|(column, _)| column.name != part.key)
                {
                    file.write_all(comma)?;
                    member(file, &column.name, cell)?;
                    comma = b",";
                }
                file.write_all(b"}")?;
            }
        }
        file.write_all(b"}\n")
    }
}

fn member(file: &mut NewFile, name: &str, cell: &Cell) -> std::io::Result<()> {
    serde_json::to_writer(&mut *file, name)?;
    file.write_all(b":")?;
    match cell {
        Cell::Null => file.write_all(b"null"),
        Cell::Int(number) => write!(file, "{number}"),
        // No column of ours holds one; an import refuses it by name.
        Cell::Real(number) => Ok(serde_json::to_writer(file, number)?),
        Cell::Text(text) => Ok(serde_json::to_writer(file, text)?),
        Cell::Blob(bytes) => {
            file.write_all(b"\"")?;
            // In parts of whole groups of three bytes, so that the text is not held as well.
            for part in bytes.chunks(3 * 1024) {
                file.write_all(BASE64.encode(part).as_bytes())?;
            }
            file.write_all(b"\"")
        }
    }
}
