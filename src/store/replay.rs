//! Replays a file's edits, in the order recorded and across its renames.

use sha2::{Digest, Sha256};

use super::file_edits::{self, END, Paths};
use super::{ReadTx, projects};
use crate::api::edit::{ReplayParams, Replayed};
use crate::edit;
use crate::error::{Error, Misfit, MisfitPart, Result};
use crate::model::limits::{MAX_CONTENT_BYTES, MAX_REPLAY_EDITS};
use crate::model::path::path_key;
use crate::model::{Edit, EditId, EditKind, hex};

/// Bytes of a line that an error shows at most.
const SHOWN_BYTES: usize = 16 * 1024;

/// Applies every edit of a file to what it held before.
pub fn replay(tx: &mut ReadTx<'_>, params: &ReplayParams) -> Result<Replayed> {
    if let Some(project_id) = &params.project_id {
        projects::require(tx, project_id)?;
    }
    let paths =
        Paths { project_id: params.project_id.as_ref(), until: params.until.unwrap_or(END) };
    let mut work = Work::new(params.base.clone());
    let key =
        file_edits::walk(tx, &paths, &params.file_path, |numbered| work.apply(&numbered.edit))?;
    Ok(work.finish(&params.file_path, &key))
}

/// The file as it is replayed.
pub(super) struct Work {
    /// Its path as the last edit has it.
    file_path: Option<String>,
    pub(super) content: Option<String>,
    /// The content's hash, where it was asked for.
    hash: Option<String>,
    edits: Vec<EditId>,
}

impl Work {
    pub(super) fn new(base: Option<String>) -> Self {
        Self { file_path: None, content: base, hash: None, edits: Vec::new() }
    }

    pub(super) fn apply(&mut self, edit: &Edit) -> Result<()> {
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

/// Returns an edit's diff, or what is wrong with its form.
pub(super) fn diff_of(edit: &Edit) -> Result<edit::FileDiff<'_>, String> {
    if edit.kind == EditKind::Rename && edit.diff.is_empty() {
        return Ok(edit::FileDiff {
            change: edit::Change::Modify,
            renames: true,
            hunks: Vec::new(),
        });
    }
    edit::parse(&edit.diff)
}

/// Returns what an edit makes of a content.
fn changed(edit: &Edit, content: Option<&str>) -> Result<Option<String>> {
    let diff = diff_of(edit).map_err(|problem| {
        Error::Misfit(Box::new(Misfit {
            what: MisfitPart::Form,
            expected: Some("a unified diff of one file".to_owned()),
            actual: Some(problem),
            ..misfit(edit)
        }))
    })?;
    let after = edit::apply(&diff, content).map_err(|mismatch| {
        Error::Misfit(Box::new(Misfit {
            hunk: mismatch.hunk,
            line: mismatch.line,
            expected: mismatch.expected.map(|line| edit::cut(line, SHOWN_BYTES)),
            actual: mismatch.actual.map(|line| edit::cut(line, SHOWN_BYTES)),
            ..misfit(edit)
        }))
    })?;
    match after.as_ref().map_or(0, String::len) {
        0..=MAX_CONTENT_BYTES => Ok(after),
        actual => Err(Error::ResultTooLarge {
            what: format!("the content after edit {:?}", edit.id.as_str()),
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

pub(super) fn sha256(content: &str) -> String {
    hex(&Sha256::digest(content))
}
