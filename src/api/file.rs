//! `file.*`: the files of a project, as a client tells of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{self, Check};
use super::method;
use super::page::{Paged, paged};
use crate::error::{Error, Result};
use crate::model::limits::{
    MAX_FILE_SIZE, MAX_NAME_BYTES, MAX_PAGE_ITEMS, MAX_PATH_BYTES, MAX_TIME, MIN_TIME,
};
use crate::model::{Cursor, File, Json, Millis, ProjectId};

/// Params of `file.touch`. A field that is absent stays as it is; null clears it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TouchParams {
    /// The project.
    pub project_id: ProjectId,
    /// The file: relative to the project's folder, or absolute inside it.
    pub path: String,
    /// The language it is written in.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub language: Option<Option<String>>,
    /// Its bytes.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 0, max = MAX_FILE_SIZE))]
    pub size: Option<Option<i64>>,
    /// A hash of its content, of whatever kind the client uses.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub hash: Option<Option<String>>,
    /// When it was last written.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = MIN_TIME, max = MAX_TIME))]
    pub modified_at: Option<Option<Millis>>,
    /// When it was last opened.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = MIN_TIME, max = MAX_TIME))]
    pub opened_at: Option<Option<Millis>>,
    /// True where it is opened now; in place of `opened_at`.
    #[serde(default)]
    pub opened: bool,
    /// Free data, any JSON; replaces what was there as a whole.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub state: Option<Option<Json>>,
}

impl TouchParams {
    /// Returns the params that tell nothing but that the file is there.
    pub fn new(project_id: ProjectId, path: impl Into<String>) -> Self {
        Self {
            project_id,
            path: path.into(),
            language: None,
            size: None,
            hash: None,
            modified_at: None,
            opened_at: None,
            opened: false,
            state: None,
        }
    }
}

impl Check for TouchParams {
    fn check(&self) -> Result<()> {
        check::name("path", &self.path, MAX_PATH_BYTES)?;
        let text = |field: &'static str, value: &Option<Option<String>>| {
            check::optional_size(field, value.as_ref().and_then(Option::as_ref), MAX_NAME_BYTES)
        };
        text("language", &self.language)?;
        text("hash", &self.hash)?;
        if let Some(size) = self.size.flatten().filter(|size| !(0..=MAX_FILE_SIZE).contains(size)) {
            return Err(Error::invalid(
                "size",
                format!("expected 0 to {MAX_FILE_SIZE}, found {size}"),
            ));
        }
        check::optional_time("modified_at", self.modified_at.flatten())?;
        check::optional_time("opened_at", self.opened_at.flatten())?;
        if self.opened && self.opened_at.is_some() {
            return Err(Error::invalid("opened", "not beside opened_at"));
        }
        let state = self.state.as_ref().and_then(Option::as_ref);
        state.map_or(Ok(()), |state| check::json("state", state.as_str()))
    }
}

/// Params of a method that names one file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathParams {
    /// The project.
    pub project_id: ProjectId,
    /// The file: relative to the project's folder, or absolute inside it.
    pub path: String,
}

impl Check for PathParams {
    fn check(&self) -> Result<()> {
        check::name("path", &self.path, MAX_PATH_BYTES)
    }
}

/// What a list of files is sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// By their paths, as those are compared.
    #[default]
    Path,
    /// The last opened first, and only those that were ever opened.
    Recent,
}

/// Params of `file.list`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    /// The project.
    pub project_id: ProjectId,
    /// Only files whose paths begin with this: relative to the project's folder, or absolute inside
    /// it. `src/` is a folder, `src` also begins `src2`. Only with the order `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// What they are sorted by.
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
        check::optional_size("prefix", self.prefix.as_ref(), MAX_PATH_BYTES)?;
        if self.prefix.is_some() && self.order != Order::Path {
            return Err(Error::invalid("prefix", "only with the order path"));
        }
        self.check_page()
    }
}

/// A page of files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FilePage {
    /// The files, in the order asked for.
    pub files: Vec<File>,
    /// Where the next page starts; null on the last.
    pub next_cursor: Option<Cursor>,
}

/// What `file.remove` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RemovedFile {
    /// True where the daemon knew it until now.
    pub removed: bool,
}

method! {
    /// Tells of a file of a project: makes its record, or changes what the call names.
    ///
    /// `updated_at` stays where nothing changes. The file system is not asked.
    Touch = "file.touch", Write, TouchParams => File,
    errors: [NotFound, TooLarge],
    example: r#"{
        "project_id": "prj-1", "path": "/home/me/shop/src/cart.ts", "language": "typescript",
        "size": 2048, "opened": true, "state": {"cursor": [12, 4], "folds": []}
    }"# => r#"{
        "project_id": "prj-1", "path": "/home/me/shop/src/cart.ts", "relative_path": "src/cart.ts",
        "language": "typescript", "size": 2048, "hash": null, "modified_at": null,
        "opened_at": 1764000000000, "state": {"cursor": [12, 4], "folds": []},
        "created_at": 1764000000000, "updated_at": 1764000000000
    }"#,
}

method! {
    /// Gives what is known of one file.
    Get = "file.get", Read, PathParams => File,
    errors: [NotFound, TooLarge],
    example: r#"{"project_id": "prj-1", "path": "src/cart.ts"}"# => r#"{
        "project_id": "prj-1", "path": "/home/me/shop/src/cart.ts", "relative_path": "src/cart.ts",
        "language": "typescript", "size": 2048, "hash": null, "modified_at": null,
        "opened_at": 1764000000000, "state": {"cursor": [12, 4], "folds": []},
        "created_at": 1764000000000, "updated_at": 1764000000000
    }"#,
}

method! {
    /// Lists the files of a project, by their paths or the last opened first.
    ///
    /// A page ends early where its JSON would pass the page's bytes; the cursor goes on from there.
    List = "file.list", Read, ListParams => FilePage,
    errors: [NotFound, TooLarge],
    example: r#"{"project_id": "prj-1", "prefix": "src/"}"# => r#"{
        "files": [{
            "project_id": "prj-1", "path": "/home/me/shop/src/cart.ts", "relative_path": "src/cart.ts",
            "language": "typescript", "size": 2048, "hash": null, "modified_at": null,
            "opened_at": 1764000000000, "state": {"cursor": [12, 4], "folds": []},
            "created_at": 1764000000000, "updated_at": 1764000000000
        }],
        "next_cursor": null
    }"#,
}

method! {
    /// Forgets what is known of one file. The file itself is not touched.
    Remove = "file.remove", Write, PathParams => RemovedFile,
    errors: [NotFound, TooLarge],
    example: r#"{"project_id": "prj-1", "path": "src/cart.ts"}"# => r#"{"removed": true}"#,
}
