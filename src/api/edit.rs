//! `edit.*`: what was changed in files, as unified diffs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{self, Check};
pub use super::history::Order;
use super::method;
use super::page::{Paged, paged};
use crate::edit;
use crate::error::{Error, Result};
use crate::model::limits::{
    MAX_CONTENT_BYTES, MAX_PAGE_ITEMS, MAX_PATH_BYTES, MAX_REVERT_IDS, MAX_TIME, MIN_TIME,
};
use crate::model::{Cursor, Edit, EditId, EditKind, MessageId, Millis, ProjectId, SessionId};

/// Hex digits of a SHA-256.
const HASH_DIGITS: usize = 64;

/// Params of `edit.record`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordParams {
    /// The edit's id; a UUIDv7 unless given. With an id the call can be retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<EditId>,
    /// The session it was made in.
    pub session_id: SessionId,
    /// The message it was made for, one of that session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// The file, by its path before the edit.
    pub file_path: String,
    /// What it does.
    pub kind: EditKind,
    /// The unified diff of this one file, as git writes it; may be empty for a rename alone.
    pub diff: String,
    /// The file's path after a rename.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_path: Option<String>,
    /// SHA-256 of the file's bytes before the edit, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_hash: Option<String>,
    /// SHA-256 of the file's bytes after the edit, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_hash: Option<String>,
}

impl Check for RecordParams {
    fn check(&self) -> Result<()> {
        path("file_path", &self.file_path)?;
        self.new_path.as_ref().map_or(Ok(()), |new_path| path("new_path", new_path))?;
        hash("before_hash", self.before_hash.as_ref())?;
        hash("after_hash", self.after_hash.as_ref())?;
        check::size("diff", &self.diff, MAX_CONTENT_BYTES)?;
        let is_rename = self.kind == EditKind::Rename;
        match (is_rename, &self.new_path) {
            (true, None) => return Err(Error::invalid("new_path", "a rename needs it")),
            (false, Some(_)) => {
                return Err(Error::invalid("new_path", "only a rename has it"));
            }
            _ => {}
        }
        if is_rename && self.diff.is_empty() {
            return Ok(());
        }
        let diff = edit::parse(&self.diff).map_err(|problem| Error::invalid("diff", problem))?;
        if diff.renames && !is_rename {
            return Err(Error::invalid("kind", "the diff renames the file: expected rename"));
        }
        if is_rename && diff.change != edit::Change::Modify {
            return Err(Error::invalid("diff", "a rename neither makes nor deletes the file"));
        }
        Ok(())
    }
}

/// Checks the path of a file. One that is not absolute is compared to the letter.
fn path(field: &str, path: &str) -> Result<()> {
    check::name(field, path, MAX_PATH_BYTES)?;
    if path.chars().any(char::is_control) {
        return Err(Error::invalid(field, "a path has no control characters"));
    }
    Ok(())
}

fn hash(field: &str, hash: Option<&String>) -> Result<()> {
    let is_hash = |hash: &String| {
        hash.len() == HASH_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    match hash.filter(|hash| !is_hash(hash)) {
        None => Ok(()),
        Some(_) => {
            Err(Error::invalid(field, format!("expected a SHA-256: {HASH_DIGITS} hex digits")))
        }
    }
}

/// Params of `edit.list`: one of a file, a session or a project, or a file and one of the others.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    /// Edits of this file alone, by its path before the edit or after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_path: Option<String>,
    /// Edits of this session alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Edits of this project alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// Which end comes first.
    #[serde(default)]
    pub order: Order,
    /// How many at most.
    #[serde(default = "check::default_page_items")]
    #[schemars(range(min = 1, max = MAX_PAGE_ITEMS))]
    pub limit: u32,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
}

paged!(ListParams, List);

impl Check for ListParams {
    fn check(&self) -> Result<()> {
        match (&self.file_path, &self.session_id, &self.project_id) {
            (None, None, None) => {
                return Err(Error::invalid(
                    "",
                    "expected one of file_path, session_id and project_id",
                ));
            }
            (_, Some(_), Some(_)) => {
                return Err(Error::invalid(
                    "project_id",
                    "not beside session_id: a session has one project",
                ));
            }
            _ => {}
        }
        self.file_path.as_ref().map_or(Ok(()), |file_path| path("file_path", file_path))?;
        self.check_page()
    }
}

/// A page of edits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EditPage {
    /// The edits, in the order asked for.
    pub edits: Vec<Edit>,
    /// Where the next page starts; null on the last.
    pub next_cursor: Option<Cursor>,
}

/// Params of `edit.replay`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayParams {
    /// The file that has this path at the end, or had it last.
    pub file_path: String,
    /// What the file held before the first edit; absent or null where there was no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The time of the last edits that are applied; all are unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = MIN_TIME, max = MAX_TIME))]
    pub until: Option<Millis>,
    /// Edits of this project alone; those of every one unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

impl Check for ReplayParams {
    fn check(&self) -> Result<()> {
        path("file_path", &self.file_path)?;
        check::optional_size("base", self.base.as_ref(), MAX_CONTENT_BYTES)?;
        check::optional_time("until", self.until)
    }
}

/// What `edit.replay` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replayed {
    /// The file's path after the last edit.
    pub file_path: String,
    /// What the file holds then; null where there is no file.
    pub content: Option<String>,
    /// SHA-256 of the content's bytes, in hex; null where there is no file.
    pub hash: Option<String>,
    /// The edits that were applied, in order.
    pub edits: Vec<EditId>,
}

/// Params of `edit.revert`: one of `edit_ids`, `session_id` and `since` says which edits.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevertParams {
    /// The file that has this path at the end, or had it last.
    pub file_path: String,
    /// What the file holds now; null where there is no file.
    #[serde(deserialize_with = "check::present")]
    #[schemars(with = "Nullable")]
    pub content: Option<String>,
    /// These edits of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_REVERT_IDS))]
    pub edit_ids: Option<Vec<EditId>>,
    /// The edits of the file that were made in this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The edits of the file that were recorded at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = MIN_TIME, max = MAX_TIME))]
    pub since: Option<Millis>,
    /// What the file held before the first edit, as for `edit.replay`: lets changes that nobody
    /// recorded be told. Not needed where an edit made the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Edits of this project alone; those of every one unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

/// How the document shows a text that must be given and may be null.
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
#[expect(dead_code, reason = "it stands for its schema alone")]
enum Nullable {
    Text(String),
    Null(()),
}

impl RevertParams {
    /// Returns the name of the param that says which edits.
    pub fn selects_by(&self) -> &'static str {
        match (&self.edit_ids, &self.session_id) {
            (Some(_), _) => "edit_ids",
            (None, Some(_)) => "session_id",
            (None, None) => "since",
        }
    }
}

impl Check for RevertParams {
    fn check(&self) -> Result<()> {
        path("file_path", &self.file_path)?;
        check::optional_size("content", self.content.as_ref(), MAX_CONTENT_BYTES)?;
        check::optional_size("base", self.base.as_ref(), MAX_CONTENT_BYTES)?;
        check::optional_time("since", self.since)?;
        let selects = [self.edit_ids.is_some(), self.session_id.is_some(), self.since.is_some()];
        if selects.into_iter().filter(|is_given| *is_given).count() != 1 {
            return Err(Error::invalid("", "expected one of edit_ids, session_id and since"));
        }
        self.edit_ids
            .as_ref()
            .map_or(Ok(()), |ids| check::count("edit_ids", ids.len(), MAX_REVERT_IDS))
    }
}

/// What becomes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevertOutcome {
    /// It holds `content`.
    File,
    /// There is no file: the edit that made it is undone, or there was none.
    NoFile,
    /// It stays as it is: an edit cannot be undone.
    Conflicts,
}

/// What of an edit hinders it from being undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConflictPart {
    /// Its lines, those beside them, or the file as a whole were changed since.
    Diff,
    /// Its lines are there, but the file holds changes that nobody recorded, and the lines may be
    /// those of another place.
    Ambiguous,
    /// The file was renamed again, or its path before has another file.
    Path,
    /// Its diff, or that of a later edit, cannot be read; only the IDE itself stored such ones.
    Form,
}

/// Why an edit cannot be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevertConflict {
    /// The edit.
    pub edit_id: EditId,
    /// What hinders it.
    pub what: ConflictPart,
    /// Which hunk of its diff, from 1; null where the edit as a whole is meant.
    pub hunk: Option<u64>,
    /// Which line of `content`, from 1; null where it is none.
    pub line: Option<u64>,
    /// What the edit left there, a line with its end or a path; null for the end of the file, no
    /// file, and where the diff does not tell.
    pub expected: Option<String>,
    /// What is there now; null for the end of the file or no file.
    pub actual: Option<String>,
    /// The later edit that changed it; null where nobody recorded that.
    pub changed_by: Option<EditId>,
}

/// What `edit.revert` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reverted {
    /// What becomes of the file.
    pub outcome: RevertOutcome,
    /// The file's path then: another one where a rename is undone.
    pub file_path: String,
    /// What the file holds then; null for every outcome but `file`.
    pub content: Option<String>,
    /// SHA-256 of the content's bytes, in hex; null where there is none.
    pub hash: Option<String>,
    /// The edits that are undone, newest first; none where there are conflicts.
    pub edits: Vec<EditId>,
    /// The conflicts, of the newest edit first.
    pub conflicts: Vec<RevertConflict>,
    /// How many conflicts there are, also where not all are listed.
    pub conflict_count: u64,
}

method! {
    /// Records one change of one file. The answer comes after it is on the disk.
    ///
    /// The diff is checked for its form, not against any file: the file system is not asked. With an
    /// `id` the call can be retried: the same id with the same content gives the stored edit, with
    /// other content `conflict`.
    Record = "edit.record", Write, RecordParams => Edit,
    errors: [NotFound, Conflict, TooLarge],
    example: r#"{
        "id": "edt-1", "session_id": "ses-1", "message_id": "msg-2", "file_path": "/home/me/shop/cart.ts",
        "kind": "replace",
        "diff": "--- a/cart.ts\n+++ b/cart.ts\n@@ -1 +1 @@\n-export const total = 0;\n+export const total = 1;\n"
    }"# => r#"{
        "id": "edt-1", "session_id": "ses-1", "project_id": "prj-1", "message_id": "msg-2",
        "file_path": "/home/me/shop/cart.ts", "kind": "replace",
        "diff": "--- a/cart.ts\n+++ b/cart.ts\n@@ -1 +1 @@\n-export const total = 0;\n+export const total = 1;\n",
        "new_path": null, "before_hash": null, "after_hash": null, "created_at": 1764000000000
    }"#,
}

method! {
    /// Lists the edits of a file, a session or a project, in the order recorded or from the newest back.
    ///
    /// Those of sessions in the trash are not shown. A page ends early where its JSON would pass the
    /// page's bytes; the cursor goes on from there.
    List = "edit.list", Read, ListParams => EditPage,
    errors: [NotFound, TooLarge],
    example: r#"{"file_path": "/home/me/shop/cart.ts", "session_id": "ses-1"}"# => r#"{
        "edits": [{
            "id": "edt-1", "session_id": "ses-1", "project_id": "prj-1", "message_id": "msg-2",
            "file_path": "/home/me/shop/cart.ts", "kind": "replace",
            "diff": "--- a/cart.ts\n+++ b/cart.ts\n@@ -1 +1 @@\n-export const total = 0;\n+export const total = 1;\n",
            "new_path": null, "before_hash": null, "after_hash": null, "created_at": 1764000000000
        }],
        "next_cursor": null
    }"#,
}

method! {
    /// Applies every recorded edit of a file to what it held before, in the order recorded.
    ///
    /// Renames are followed: `base` is what the file held under its first path, where it had another
    /// one then. A hunk fits where it says, byte for byte, or the answer is `conflict`,
    /// whose data names the edit, the hunk, the line, and what was expected and found. Edits of
    /// sessions in the trash are left out.
    Replay = "edit.replay", Read, ReplayParams => Replayed,
    errors: [NotFound, Conflict, TooLarge],
    example: r#"{"file_path": "/home/me/shop/cart.ts", "base": "export const total = 0;\n"}"# => r#"{
        "file_path": "/home/me/shop/cart.ts", "content": "export const total = 1;\n",
        "hash": "0739219ff1302eacd47db855b5c2e4a0db33ec756c3945074284df2d0b89361f",
        "edits": ["edt-1"]
    }"#,
}

method! {
    /// Gives what a file holds with some of its edits undone, or what hinders that. Writes nothing.
    ///
    /// The edits are undone newest first, over later ones that stay: each where its lines have moved
    /// to. What touches a line that was changed since is a conflict, and all conflicts are listed.
    /// To keep the history right, record what you then do to the file as an edit of its own.
    Revert = "edit.revert", Read, RevertParams => Reverted,
    errors: [NotFound, Conflict, TooLarge],
    example: r#"{
        "file_path": "/home/me/shop/cart.ts", "content": "// Prices\nexport const total = 1;\n",
        "edit_ids": ["edt-1"], "base": "export const total = 0;\n"
    }"# => r#"{
        "outcome": "conflicts", "file_path": "/home/me/shop/cart.ts", "content": null, "hash": null,
        "edits": [],
        "conflicts": [{
            "edit_id": "edt-1", "what": "diff", "hunk": 1, "line": 1,
            "expected": "export const total = 1;\n", "actual": "// Prices\n", "changed_by": null
        }],
        "conflict_count": 1
    }"#,
}
