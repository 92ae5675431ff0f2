//! Finds which edits are a file's, across its renames.
//!
//! A path is not a file: it may be renamed away, and another file be made or renamed there. The file
//! that is meant has the path at its end, or had it last, and begins where its edits do: back across
//! its renames, behind the last edit that took another file from the path.

use std::ops::ControlFlow;

use super::ReadTx;
use super::edits::{Numbered, columns, read_numbered, shown};
use super::engine::Value;
use crate::error::{Error, Misfit, MisfitPart, Result};
use crate::model::path::path_key;
use crate::model::{Edit, Millis, ProjectId};

/// The edits that count at all: of a project, where one is given, up to a time. The parameters of
/// every statement are a path, a number, the project and the time.
macro_rules! wanted {
    () => {
        concat!(shown!(), " AND (?3 IS NULL OR +e.project_id = ?3) AND e.created_at <= ?4")
    };
}

/// The edits of a path from one on.
const EDITS: &str =
    concat!("SELECT ", columns!(), wanted!(), " AND e.path_key = ?1 AND e.seq > ?2 ORDER BY e.seq");

/// The first rename to a path from another, after an edit.
const FIRST_ARRIVAL: &str = concat!(
    "SELECT ",
    columns!(),
    wanted!(),
    " AND e.new_path_key = ?1 AND e.seq > ?2 AND e.path_key <> ?1 ORDER BY e.seq LIMIT 1"
);

/// The last rename to a path from another, before an edit.
const LAST_ARRIVAL: &str = concat!(
    "SELECT ",
    columns!(),
    wanted!(),
    " AND e.new_path_key = ?1 AND e.seq < ?2 AND e.path_key <> ?1 ORDER BY e.seq DESC LIMIT 1"
);

/// The last edit of a path.
const LAST_EDIT: &str = concat!(
    "SELECT ",
    columns!(),
    wanted!(),
    " AND e.path_key = ?1 AND e.seq < ?2 ORDER BY e.seq DESC LIMIT 1"
);

/// The last rename of a path to another, before an edit.
const LAST_DEPARTURE: &str = concat!(
    "SELECT ",
    columns!(),
    wanted!(),
    " AND e.path_key = ?1 AND e.seq < ?2 AND e.new_path_key <> ?1 ORDER BY e.seq DESC LIMIT 1"
);

/// The statements and the indexes they search.
#[cfg(test)]
pub(super) const STATEMENTS: [(&str, &str); 5] = [
    (EDITS, "idx_agent_edits_path_order"),
    (FIRST_ARRIVAL, "idx_agent_edits_new_path_order"),
    (LAST_ARRIVAL, "idx_agent_edits_new_path_order"),
    (LAST_EDIT, "idx_agent_edits_path_order"),
    (LAST_DEPARTURE, "idx_agent_edits_path_order"),
];

/// Before the first edit.
const START: i64 = i64::MIN;
/// Behind the last one.
pub(super) const END: i64 = i64::MAX;

/// Hands on every edit of a file in the order recorded, and returns the key of the path it has then.
pub(super) fn walk(
    tx: &mut ReadTx<'_>,
    paths: &Paths<'_>,
    file_path: &str,
    mut each: impl FnMut(Numbered) -> Result<()>,
) -> Result<String> {
    let (mut key, mut seq) = match paths.origin(tx, file_path)? {
        Some(origin) => origin,
        // The path of a file that had another one then.
        None => Paths { until: END, ..*paths }
            .origin(tx, file_path)?
            .unwrap_or_else(|| (path_key(file_path), START)),
    };
    loop {
        let arrival = paths.find(tx, FIRST_ARRIVAL, &key, seq)?;
        let overwritten = arrival.as_ref().map_or(i64::MAX, |arrival| arrival.seq);
        let mut renamed = None;
        tx.each(EDITS, &paths.values(&key, seq), |row| {
            let numbered = read_numbered(row)?;
            let seq = numbered.seq;
            if seq > overwritten {
                return Ok(ControlFlow::Break(()));
            }
            let new_key = numbered.edit.new_path.as_deref().map(path_key);
            each(numbered)?;
            Ok(match new_key.filter(|new_key| *new_key != key) {
                None => ControlFlow::Continue(()),
                Some(new_key) => {
                    renamed = Some((new_key, seq));
                    ControlFlow::Break(())
                }
            })
        })?;
        match (renamed, arrival) {
            (Some(renamed), _) => (key, seq) = renamed,
            (None, Some(arrival)) => return Err(overwritten_by(&arrival.edit)),
            (None, None) => return Ok(key),
        }
    }
}

/// A file that is renamed to the path is another one, of which no content is known.
fn overwritten_by(arrival: &Edit) -> Error {
    Error::Misfit(Box::new(Misfit {
        edit_id: arrival.id.to_string(),
        file_path: arrival.file_path.clone(),
        what: MisfitPart::Path,
        hunk: None,
        line: None,
        expected: Some("no other file at the path".to_owned()),
        actual: arrival.new_path.clone(),
    }))
}

/// Finds which file a path is.
#[derive(Clone, Copy)]
pub(super) struct Paths<'a> {
    /// The project whose edits count alone, where one is given.
    pub(super) project_id: Option<&'a ProjectId>,
    /// The time of the last edits that count.
    pub(super) until: Millis,
}

impl Paths<'_> {
    fn values<'a>(&'a self, key: &'a str, seq: i64) -> [Value<'a>; 4] {
        let project_id = self.project_id.map(ProjectId::as_str);
        [key.into(), seq.into(), project_id.into(), self.until.into()]
    }

    fn find(
        &self,
        tx: &mut ReadTx<'_>,
        sql: &'static str,
        key: &str,
        seq: i64,
    ) -> Result<Option<Numbered>> {
        tx.first(sql, &self.values(key, seq), read_numbered)
    }

    /// Returns the newest edit of a path, or to it.
    pub(super) fn newest(&self, tx: &mut ReadTx<'_>, key: &str) -> Result<Option<Edit>> {
        let last = self.find(tx, LAST_EDIT, key, END)?;
        let arrival = self.find(tx, LAST_ARRIVAL, key, END)?;
        let newest = last.into_iter().chain(arrival).max_by_key(|numbered| numbered.seq);
        Ok(newest.map(|numbered| numbered.edit))
    }

    /// Returns the path of the file at its beginning, and the edit behind which it begins; none where
    /// no edit is of the path.
    fn origin(&self, tx: &mut ReadTx<'_>, file_path: &str) -> Result<Option<(String, i64)>> {
        let mut key = path_key(file_path);
        let arrived = self.find(tx, LAST_ARRIVAL, &key, END)?.map(|edit| edit.seq);
        let last = self.find(tx, LAST_EDIT, &key, END)?;
        if arrived.is_none() && last.is_none() {
            return Ok(None);
        }
        // Where the last edit took the file from the path, it is that file.
        let mut before = match last {
            Some(Numbered { edit, seq })
                if arrived.is_none_or(|arrived| arrived < seq)
                    && edit
                        .new_path
                        .as_deref()
                        .is_some_and(|new_path| path_key(new_path) != key) =>
            {
                seq
            }
            _ => END,
        };
        loop {
            let departed =
                self.find(tx, LAST_DEPARTURE, &key, before)?.map_or(START, |edit| edit.seq);
            match self.find(tx, LAST_ARRIVAL, &key, before)? {
                Some(arrival) if arrival.seq > departed => {
                    (key, before) = (path_key(&arrival.edit.file_path), arrival.seq);
                }
                _ => return Ok(Some((key, departed))),
            }
        }
    }
}
