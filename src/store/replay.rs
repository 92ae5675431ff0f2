//! Replays a file's edits, in the order recorded and across its renames.
//!
//! A path is not a file: it may be renamed away, and another file be made or renamed there. A replay
//! is of the file that has the path at its end, or had it last, and begins where that file does: back
//! across its renames, behind the last edit that took another file from the path.

use std::ops::ControlFlow;

use sha2::{Digest, Sha256};

use super::edits::{Numbered, columns, read_numbered, shown};
use super::engine::Value;
use super::{ReadTx, projects};
use crate::api::edit::{ReplayParams, Replayed};
use crate::edit;
use crate::error::{Error, Misfit, MisfitPart, Result};
use crate::model::limits::{MAX_CONTENT_BYTES, MAX_REPLAY_EDITS};
use crate::model::path::path_key;
use crate::model::{Edit, EditId, EditKind, Millis, ProjectId, hex};

/// Bytes of a line that an error shows at most.
const SHOWN_BYTES: usize = 16 * 1024;

/// The edits that are replayed at all: of a project, where one is given, up to a time. The
/// parameters of every statement are a path, a number, the project and the time.
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
const END: i64 = i64::MAX;

/// Applies every edit of a file to what it held before.
pub fn replay(tx: &mut ReadTx<'_>, params: &ReplayParams) -> Result<Replayed> {
    if let Some(project_id) = &params.project_id {
        projects::require(tx, project_id)?;
    }
    let paths =
        Paths { project_id: params.project_id.as_ref(), until: params.until.unwrap_or(END) };
    let (mut key, mut seq) = match paths.origin(tx, &params.file_path)? {
        Some(origin) => origin,
        // The path of a file that had another one then.
        None => Paths { until: END, ..paths }
            .origin(tx, &params.file_path)?
            .unwrap_or_else(|| (path_key(&params.file_path), START)),
    };
    let mut work =
        Work { file_path: None, content: params.base.clone(), hash: None, edits: Vec::new() };
    loop {
        let arrival = paths.find(tx, FIRST_ARRIVAL, &key, seq)?;
        let overwritten = arrival.as_ref().map_or(i64::MAX, |arrival| arrival.seq);
        let mut renamed = None;
        tx.each(EDITS, &paths.values(&key, seq), |row| {
            let Numbered { edit, seq } = read_numbered(row)?;
            if seq > overwritten {
                return Ok(ControlFlow::Break(()));
            }
            work.apply(&edit)?;
            let new_key = edit.new_path.as_deref().map(path_key);
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
            (None, None) => return Ok(work.finish(&params.file_path, &key)),
        }
    }
}

/// A file that is renamed to the path is another one, of which the base tells nothing.
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
struct Paths<'a> {
    project_id: Option<&'a ProjectId>,
    until: Millis,
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

/// The file as it is replayed.
struct Work {
    /// Its path as the last edit has it.
    file_path: Option<String>,
    content: Option<String>,
    /// The content's hash, where it was asked for.
    hash: Option<String>,
    edits: Vec<EditId>,
}

impl Work {
    fn apply(&mut self, edit: &Edit) -> Result<()> {
        if self.edits.len() == MAX_REPLAY_EDITS {
            return Err(Error::invalid(
                "until",
                format!("the file has more than {MAX_REPLAY_EDITS} edits up to then"),
            ));
        }
        self.check_hash(edit, MisfitPart::BeforeHash, edit.before_hash.as_ref())?;
        // A rename alone needs no diff.
        if edit.kind != EditKind::Rename || !edit.diff.is_empty() || self.content.is_none() {
            self.content = changed(edit, self.content.as_deref())?;
            self.hash = None;
        }
        self.check_hash(edit, MisfitPart::AfterHash, edit.after_hash.as_ref())?;
        self.file_path = Some(edit.new_path.as_ref().unwrap_or(&edit.file_path).clone());
        self.edits.push(edit.id.clone());
        Ok(())
    }

    /// Compares the content's hash with the one recorded. No file has the hash of an empty one.
    fn check_hash(
        &mut self,
        edit: &Edit,
        what: MisfitPart,
        expected: Option<&String>,
    ) -> Result<()> {
        let Some(expected) = expected else { return Ok(()) };
        let content = self.content.as_deref().unwrap_or_default();
        let actual = self.hash.get_or_insert_with(|| sha256(content));
        if actual.eq_ignore_ascii_case(expected) {
            return Ok(());
        }
        Err(Error::Misfit(Box::new(Misfit {
            what,
            expected: Some(expected.clone()),
            actual: Some(actual.clone()),
            ..misfit(edit)
        })))
    }

    /// Returns the answer. A file that no edit was applied to has the path that was asked for where
    /// that is the one it has.
    fn finish(self, asked: &str, key: &str) -> Replayed {
        let asked = || if path_key(asked) == key { asked } else { key };
        Replayed {
            file_path: self.file_path.unwrap_or_else(|| asked().to_owned()),
            hash: self
                .content
                .as_deref()
                .map(|content| self.hash.unwrap_or_else(|| sha256(content))),
            content: self.content,
            edits: self.edits,
        }
    }
}

/// Returns what an edit makes of a content.
fn changed(edit: &Edit, content: Option<&str>) -> Result<Option<String>> {
    let diff = if edit.kind == EditKind::Rename && edit.diff.is_empty() {
        edit::FileDiff { change: edit::Change::Modify, renames: true, hunks: Vec::new() }
    } else {
        edit::parse(&edit.diff).map_err(|problem| {
            Error::Misfit(Box::new(Misfit {
                what: MisfitPart::Form,
                expected: Some("a unified diff of one file".to_owned()),
                actual: Some(problem),
                ..misfit(edit)
            }))
        })?
    };
    let after = edit::apply(&diff, content).map_err(|mismatch| {
        Error::Misfit(Box::new(Misfit {
            hunk: mismatch.hunk,
            line: mismatch.line,
            expected: mismatch.expected.map(cut),
            actual: mismatch.actual.map(cut),
            ..misfit(edit)
        }))
    })?;
    match after.as_ref().map_or(0, String::len) {
        0..=MAX_CONTENT_BYTES => Ok(after),
        actual => Err(Error::TooLarge {
            field: format!("the content after edit {:?}", edit.id.as_str()),
            limit: MAX_CONTENT_BYTES as u64,
            actual: actual as u64,
        }),
    }
}

fn misfit(edit: &Edit) -> Misfit {
    Misfit {
        edit_id: edit.id.to_string(),
        file_path: edit.file_path.clone(),
        what: MisfitPart::Diff,
        hunk: None,
        line: None,
        expected: None,
        actual: None,
    }
}

fn cut(mut line: String) -> String {
    if line.len() > SHOWN_BYTES {
        line.truncate(line.floor_char_boundary(SHOWN_BYTES));
        line.push('…');
    }
    line
}

fn sha256(content: &str) -> String {
    hex(&Sha256::digest(content))
}
