//! Undoes edits of a file on what it holds now.
//!
//! Once forward through the file's edits: which of them are meant, and what the newest one left, where
//! that can be known. Then back from the newest to the oldest that is meant.

use std::collections::HashSet;

use super::edits::{self, Numbered};
use super::file_edits::{self, END, Paths};
use super::replay::{Work, diff_of, sha256};
use super::{ReadTx, projects, sessions};
use crate::api::edit::{ConflictPart, RevertConflict, RevertOutcome, RevertParams, Reverted};
use crate::edit::{self, CONFLICT_LINE_BYTES, Change, Clash, Clashes, Left, Rewind};
use crate::error::{Error, Result};
use crate::model::limits::{MAX_CONTENT_BYTES, MAX_LISTED_CONFLICTS, MAX_REPLAY_EDITS};
use crate::model::path::path_key;
use crate::model::{Edit, EditId};

/// Returns what a file holds without some of its edits, or what hinders that.
pub fn revert(tx: &mut ReadTx<'_>, params: &RevertParams) -> Result<Reverted> {
    if let Some(project_id) = &params.project_id {
        projects::require(tx, project_id)?;
    }
    if let Some(session_id) = &params.session_id {
        sessions::head(tx, session_id)?;
    }
    let paths = Paths { project_id: params.project_id.as_ref(), until: END };
    let mut history = History::new(params);
    let key = file_edits::walk(tx, &paths, &params.file_path, |numbered| history.add(numbered))?;
    history.need_all(tx)?;
    let left = history.left(params.content.as_deref());
    let asked = if path_key(&params.file_path) == key { &params.file_path } else { &key };
    let mut path = PathNow::new(history.file_path.as_ref().unwrap_or(asked));
    let rewind = Rewind::new(params.content.as_deref(), left, MAX_LISTED_CONFLICTS);
    let undone = go_back(tx, &history.steps, rewind, &mut path)?;
    path.need_room(tx, &paths, &key)?;
    Ok(undone.answer(path))
}

/// An edit that is gone back behind.
struct Step {
    seq: i64,
    is_meant: bool,
}

/// The file's edits as they are gone through forward.
struct History<'a> {
    params: &'a RevertParams,
    /// Those that are meant and are not met yet.
    missing: HashSet<&'a EditId>,
    /// From the oldest edit that is meant on.
    steps: Vec<Step>,
    file_path: Option<String>,
    /// What the edits so far left; none where that is not known.
    work: Option<Work>,
    is_first: bool,
    /// The hash that the edit before left, where it is recorded.
    hash: Option<String>,
    /// True where something shows that not all changes were recorded.
    is_doubtful: bool,
}

impl<'a> History<'a> {
    fn new(params: &'a RevertParams) -> Self {
        Self {
            params,
            missing: params.edit_ids.iter().flatten().collect(),
            steps: Vec::new(),
            file_path: None,
            work: params.base.clone().map(|base| Work::new(Some(base))),
            is_first: true,
            hash: None,
            is_doubtful: false,
        }
    }

    fn add(&mut self, numbered: Numbered) -> Result<()> {
        let Numbered { edit, seq } = numbered;
        let is_creation = || diff_of(&edit).is_ok_and(|diff| diff.change == Change::Create);
        if self.is_first && self.work.is_none() && is_creation() {
            self.work = Some(Work::new(None));
        }
        self.is_first = false;
        match self.work.as_mut().map(|work| work.apply(&edit)) {
            None | Some(Ok(())) => {}
            Some(Err(Error::Misfit(_))) => (self.work, self.is_doubtful) = (None, true),
            Some(Err(Error::ResultTooLarge { .. } | Error::InvalidParams { .. })) => {
                self.work = None
            }
            Some(Err(error)) => return Err(error),
        }
        if let (Some(left), Some(met)) = (&self.hash, &edit.before_hash) {
            self.is_doubtful |= !self.steps.is_empty() && !left.eq_ignore_ascii_case(met);
        }
        let is_meant = self.is_meant(&edit);
        if is_meant || !self.steps.is_empty() {
            if self.steps.len() == MAX_REPLAY_EDITS {
                let problem = format!(
                    "the file has more than {MAX_REPLAY_EDITS} edits from the first of these on"
                );
                return Err(Error::invalid(self.params.selects_by(), problem));
            }
            self.steps.push(Step { seq, is_meant });
        }
        self.hash = edit.after_hash;
        self.file_path = Some(edit.new_path.unwrap_or(edit.file_path));
        Ok(())
    }

    fn is_meant(&mut self, edit: &Edit) -> bool {
        match (&self.params.edit_ids, &self.params.session_id, self.params.since) {
            (Some(_), ..) => self.missing.remove(&edit.id),
            (None, Some(session_id), _) => edit.session_id == *session_id,
            (None, None, since) => since.is_some_and(|since| edit.created_at >= since),
        }
    }

    /// Checks that every edit that is meant was met.
    fn need_all(&self, tx: &mut ReadTx<'_>) -> Result<()> {
        for (index, id) in self.params.edit_ids.iter().flatten().enumerate() {
            if !self.missing.contains(id) {
                continue;
            }
            if !edits::is_shown(tx, id)? {
                return Err(Error::not_found("edit", id));
            }
            let field = format!("edit_ids[{index}]");
            return Err(Error::invalid(
                field,
                format!("edit {:?} is of another file", id.as_str()),
            ));
        }
        Ok(())
    }

    /// Returns what is known of the content that the newest edit left.
    fn left(&self, now: Option<&str>) -> Left<'_> {
        if let Some(work) = &self.work {
            return Left::Known(work.content.as_deref());
        }
        // No file has the hash of an empty one.
        let hash = self.hash.as_ref().map(|hash| (hash, sha256(now.unwrap_or_default())));
        let differs = hash.is_some_and(|(left, now)| !left.eq_ignore_ascii_case(&now));
        Left::Assumed { is_doubtful: self.is_doubtful || differs }
    }
}

/// What going back came to.
struct Undone {
    /// The edits that were gone back behind, by their numbers, as far as they were read.
    ids: Vec<Option<EditId>>,
    content: Result<Option<String>, Clashes>,
    edits: Vec<EditId>,
    /// Conflicts over the form of a diff.
    unreadable: Vec<RevertConflict>,
}

fn go_back(
    tx: &mut ReadTx<'_>,
    steps: &[Step],
    mut rewind: Rewind<'_>,
    path: &mut PathNow,
) -> Result<Undone> {
    let mut ids: Vec<Option<EditId>> = steps.iter().map(|_| None).collect();
    let (mut edits, mut unreadable) = (Vec::new(), Vec::new());
    // Behind a diff that cannot be read, nothing is known of where lines are.
    let mut broken: Option<(EditId, String)> = None;
    for (number, step) in steps.iter().enumerate().rev() {
        let edit = edits::at(tx, step.seq)?;
        ids[number] = Some(edit.id.clone());
        let diff = diff_of(&edit);
        if let Err(problem) = &diff {
            broken.get_or_insert_with(|| (edit.id.clone(), problem.clone()));
        }
        match (&broken, &diff) {
            (None, Ok(diff)) if step.is_meant => rewind.undo(number, diff),
            (None, Ok(diff)) => rewind.keep(number, diff),
            (Some((id, problem)), _) if step.is_meant => {
                unreadable.push(RevertConflict {
                    expected: Some("a unified diff of one file".to_owned()),
                    actual: Some(edit::cut(problem.clone(), CONFLICT_LINE_BYTES)),
                    changed_by: Some(id.clone()).filter(|id| *id != edit.id),
                    ..conflict(&edit.id, ConflictPart::Form)
                });
            }
            _ => {}
        }
        if rewind.bytes() > MAX_CONTENT_BYTES {
            return Err(Error::ResultTooLarge {
                what: format!("the content without edit {:?}", edit.id.as_str()),
                limit: MAX_CONTENT_BYTES as u64,
                actual: rewind.bytes() as u64,
            });
        }
        path.go_back(&edit, step.is_meant);
        if step.is_meant {
            edits.push(edit.id);
        }
    }
    Ok(Undone { ids, content: rewind.finish(), edits, unreadable })
}

impl Undone {
    fn answer(self, path: PathNow) -> Reverted {
        let mut conflicts = path.conflicts;
        conflicts.extend(self.unreadable);
        let mut conflict_count = conflicts.len();
        let mut content = None;
        match self.content {
            Ok(made) => content = made,
            Err(clashes) => {
                conflict_count += clashes.count;
                let id = |number: usize| self.ids[number].clone();
                conflicts.extend(clashes.listed.into_iter().filter_map(|clash| {
                    let changed_by = clash.changed_by.and_then(id);
                    id(clash.edit).map(|edit_id| of_clash(clash, &edit_id, changed_by))
                }));
            }
        }
        if conflict_count > 0 {
            let place = |conflict: &RevertConflict| {
                self.ids.iter().rposition(|id| id.as_ref() == Some(&conflict.edit_id))
            };
            conflicts.sort_by_cached_key(|conflict| std::cmp::Reverse(place(conflict)));
            conflicts.truncate(MAX_LISTED_CONFLICTS);
            return Reverted {
                outcome: RevertOutcome::Conflicts,
                file_path: path.first,
                content: None,
                hash: None,
                edits: Vec::new(),
                conflicts,
                conflict_count: conflict_count as u64,
            };
        }
        let outcome = if content.is_some() { RevertOutcome::File } else { RevertOutcome::NoFile };
        Reverted {
            outcome,
            file_path: path.path,
            hash: content.as_deref().map(sha256),
            content,
            edits: self.edits,
            conflicts,
            conflict_count: 0,
        }
    }
}

fn of_clash(clash: Clash, edit_id: &EditId, changed_by: Option<EditId>) -> RevertConflict {
    let what = if clash.is_ambiguous { ConflictPart::Ambiguous } else { ConflictPart::Diff };
    RevertConflict {
        hunk: clash.hunk.map(|hunk| hunk as u64),
        line: clash.line.map(|line| line as u64),
        expected: clash.expected,
        actual: clash.actual,
        changed_by,
        ..conflict(edit_id, what)
    }
}

fn conflict(edit_id: &EditId, what: ConflictPart) -> RevertConflict {
    RevertConflict {
        edit_id: edit_id.clone(),
        what,
        hunk: None,
        line: None,
        expected: None,
        actual: None,
        changed_by: None,
    }
}

/// The file's path as renames are undone.
struct PathNow {
    /// As it is before.
    first: String,
    path: String,
    /// The rename that stays and came next.
    kept: Option<EditId>,
    /// The rename that was undone last.
    undone: Option<EditId>,
    conflicts: Vec<RevertConflict>,
}

impl PathNow {
    fn new(path: &str) -> Self {
        Self {
            first: path.to_owned(),
            path: path.to_owned(),
            kept: None,
            undone: None,
            conflicts: Vec::new(),
        }
    }

    fn go_back(&mut self, edit: &Edit, is_meant: bool) {
        let Some(new_path) = &edit.new_path else { return };
        match (&self.kept, is_meant) {
            (None, true) => {
                self.path.clone_from(&edit.file_path);
                self.undone = Some(edit.id.clone());
            }
            (Some(kept), true) => self.conflicts.push(RevertConflict {
                expected: Some(shown(new_path)),
                actual: Some(shown(&self.path)),
                changed_by: Some(kept.clone()),
                ..conflict(&edit.id, ConflictPart::Path)
            }),
            (_, false) => self.kept = Some(edit.id.clone()),
        }
    }

    /// Checks that a path to go back to has no other file, as far as edits tell.
    fn need_room(&mut self, tx: &mut ReadTx<'_>, paths: &Paths<'_>, key_now: &str) -> Result<()> {
        let Some(undone) = &self.undone else { return Ok(()) };
        let key = path_key(&self.path);
        if key == key_now {
            return Ok(());
        }
        if let Some(newest) = paths.newest(tx, &key)?
            && leaves_file_at(&newest, &key)
        {
            self.conflicts.push(RevertConflict {
                expected: None,
                actual: Some(shown(&self.path)),
                changed_by: Some(newest.id),
                ..conflict(undone, ConflictPart::Path)
            });
        }
        Ok(())
    }
}

/// Returns true where the newest edit of a path, or to it, leaves a file there.
fn leaves_file_at(edit: &Edit, key: &str) -> bool {
    match &edit.new_path {
        Some(new_path) => path_key(new_path) == key,
        None => diff_of(edit).is_ok_and(|diff| diff.change != Change::Delete),
    }
}

fn shown(path: &str) -> String {
    edit::cut(path.to_owned(), CONFLICT_LINE_BYTES)
}
