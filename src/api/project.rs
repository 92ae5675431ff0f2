//! `project.*`: the folders the user works in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{self, Check};
use super::method;
use super::page::{Paged, paged};
use crate::error::{Error, Result};
use crate::model::limits::{MAX_NAME_BYTES, MAX_PAGE_ITEMS, MAX_PATH_BYTES};
use crate::model::{Cursor, FolderPath, JsonObject, Project, ProjectId};

/// Params of `project.open`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenParams {
    /// The folder: an absolute path, of Unix (`/…`) or of Windows (`C:\…`, `\\server\share\…`).
    pub path: String,
    /// The id for a project that is new; a UUIDv7 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ProjectId>,
    /// The name for a project that is new; the folder's name unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free data for a project that is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonObject>,
}

impl Check for OpenParams {
    fn check(&self) -> Result<()> {
        check::name("path", &self.path, MAX_PATH_BYTES)?;
        FolderPath::parse(&self.path).map_err(|problem| Error::invalid("path", problem))?;
        optional_name(self.name.as_ref())?;
        check::metadata("metadata", self.metadata.as_ref())
    }
}

fn optional_name(name: Option<&String>) -> Result<()> {
    name.map_or(Ok(()), |name| check::name("name", name, MAX_NAME_BYTES))
}

/// What `project.open` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Opened {
    /// The project.
    pub project: Project,
    /// True where this call made it.
    pub created: bool,
}

/// Params of a method that names one project.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdParams {
    /// The project.
    pub id: ProjectId,
}

impl Check for IdParams {}

/// Params of `project.list`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    /// How many at most.
    #[serde(default = "check::default_page_items")]
    #[schemars(range(min = 1, max = MAX_PAGE_ITEMS))]
    pub limit: u32,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// Also those taken off the list.
    #[serde(default)]
    pub include_removed: bool,
}

paged!(ListParams, List);

impl Check for ListParams {
    fn check(&self) -> Result<()> {
        self.check_page()
    }
}

/// A page of projects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectPage {
    /// The projects, the most recently opened first.
    pub projects: Vec<Project>,
    /// Where the next page starts; null on the last.
    pub next_cursor: Option<Cursor>,
}

/// Params of `project.update`. A field that is absent stays as it is; null clears one that can be null.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateParams {
    /// The project.
    pub id: ProjectId,
    /// Its new name.
    #[serde(
        default,
        deserialize_with = "check::not_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "String")]
    pub name: Option<String>,
    /// A merge patch (RFC 7396) for its free data; null clears that.
    #[serde(
        default,
        deserialize_with = "check::nullable",
        skip_serializing_if = "Option::is_none"
    )]
    pub metadata: Option<Option<JsonObject>>,
}

impl Check for UpdateParams {
    fn check(&self) -> Result<()> {
        optional_name(self.name.as_ref())?;
        check::metadata("metadata", self.metadata.as_ref().and_then(Option::as_ref))
    }
}

/// What `project.remove` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// True where it was on the list until now.
    pub removed: bool,
}

method! {
    /// Finds the project of a folder, or makes one, and marks it as opened now.
    ///
    /// A project that was removed is back on the list, with its sessions.
    Open = "project.open", Write, OpenParams => Opened,
    errors: [Conflict, TooLarge],
    example: r#"{"path": "/home/me/shop", "id": "prj-1"}"# => r#"{
        "project": {
            "id": "prj-1", "name": "shop", "path": "/home/me/shop", "metadata": null,
            "created_at": 1764000000000, "opened_at": 1764000000000, "removed_at": null
        },
        "created": true
    }"#,
}

method! {
    /// Gives one project.
    Get = "project.get", Read, IdParams => Project,
    errors: [NotFound],
    example: r#"{"id": "prj-1"}"# => r#"{
        "id": "prj-1", "name": "shop", "path": "/home/me/shop", "metadata": null,
        "created_at": 1764000000000, "opened_at": 1764000000000, "removed_at": null
    }"#,
}

method! {
    /// Lists projects, the most recently opened first.
    List = "project.list", Read, ListParams => ProjectPage,
    errors: [],
    example: r#"{"limit": 10}"# => r#"{
        "projects": [{
            "id": "prj-1", "name": "shop", "path": "/home/me/shop", "metadata": null,
            "created_at": 1764000000000, "opened_at": 1764000000000, "removed_at": null
        }],
        "next_cursor": null
    }"#,
}

method! {
    /// Renames a project or patches its free data.
    Update = "project.update", Write, UpdateParams => Project,
    errors: [NotFound, TooLarge],
    example: r##"{"id": "prj-1", "name": "Web shop", "metadata": {"color": "#0af"}}"## => r##"{
        "id": "prj-1", "name": "Web shop", "path": "/home/me/shop", "metadata": {"color": "#0af"},
        "created_at": 1764000000000, "opened_at": 1764000000000, "removed_at": null
    }"##,
}

method! {
    /// Takes a project off the list. Its sessions and settings stay; `project.open` brings it back.
    Remove = "project.remove", Write, IdParams => Removed,
    errors: [NotFound],
    example: r#"{"id": "prj-1"}"# => r#"{"removed": true}"#,
}
