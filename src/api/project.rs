//! `project.*`: the folders the user works in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{self, Check};
use super::method;
use super::page::{Paged, paged};
use crate::error::{Error, Result};
use crate::model::limits::{MAX_NAME_BYTES, MAX_PAGE_ITEMS, MAX_PATH_BYTES};
use crate::model::{
    Cursor, FolderPath, GitRemote, JsonObject, Millis, Project, ProjectId, RootCommit, Sighting,
};

/// Params of `project.open`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenParams {
    /// The folder: an absolute path, of Unix (`/…`) or of Windows (`C:\…`, `\\server\share\…`).
    pub path: String,
    /// The id for a project that is new; a UUIDv7 unless given. With one, no project of another id is
    /// taken for this folder's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ProjectId>,
    /// The name for a project that is new; the folder's name unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free data for a project that is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonObject>,
    /// Where the repository is fetched from, as git has it; without user and password afterwards.
    /// Only for the root of a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_remote: Option<String>,
    /// The repository's first commit: 40 or 64 hex digits. Only for the root of a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_root_commit: Option<String>,
}

impl OpenParams {
    /// Returns where the repository is fetched from.
    pub fn remote(&self) -> Result<Option<GitRemote>> {
        let parsed = self.git_remote.as_deref().map(GitRemote::parse).transpose();
        parsed.map_err(|problem| Error::invalid("git_remote", problem))
    }

    /// Returns the repository's first commit.
    pub fn root_commit(&self) -> Result<Option<RootCommit>> {
        let parsed = self.git_root_commit.as_deref().map(RootCommit::parse).transpose();
        parsed.map_err(|problem| Error::invalid("git_root_commit", problem))
    }
}

impl Check for OpenParams {
    fn check(&self) -> Result<()> {
        folder("path", &self.path)?;
        optional_name(self.name.as_ref())?;
        check::metadata("metadata", self.metadata.as_ref())?;
        self.remote()?;
        self.root_commit().map(drop)
    }
}

fn folder(field: &str, path: &str) -> Result<()> {
    check::name(field, path, MAX_PATH_BYTES)?;
    FolderPath::parse(path).map(drop).map_err(|problem| Error::invalid(field, problem))
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
    /// How it was found; null where this call made it.
    pub found_by: Option<FoundBy>,
    /// The folder that it had until this call found it moved; null where it did not move.
    pub moved_from: Option<String>,
    /// Other projects that may be taken for this one, the last opened first: clones and worktrees of
    /// its repository, and those whose folder this one was before.
    pub related: Vec<Related>,
}

/// How `project.open` knew a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// By its folder.
    Path,
    /// By a folder that it had before; the one it had last is gone.
    FormerPath,
    /// By its repository; the folder it had is gone.
    Repository,
}

/// A project that may be taken for another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Related {
    /// The project.
    pub id: ProjectId,
    /// What the user calls it.
    pub name: String,
    /// Its folder.
    pub path: String,
    /// What they have in common: the repository, or the folder, which was that project's before.
    pub by: FoundBy,
    /// Whether its folder is there.
    pub folder: Sighting,
    /// When it was taken off the list; null while it is on it.
    pub removed_at: Option<Millis>,
}

/// Params of `project.relocate`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RelocateParams {
    /// The project.
    pub id: ProjectId,
    /// Its folder from now on: an absolute path.
    pub path: String,
}

impl Check for RelocateParams {
    fn check(&self) -> Result<()> {
        folder("path", &self.path)
    }
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
    ///
    /// The project that has the folder is the one. Where none has it and the folder is there, a project
    /// of the same repository whose own folder is gone is taken to have moved here, and so is one that
    /// was here before; the answer says so. As long as its own folder is there it is another clone or
    /// worktree: it stays as it is, and the answer tells of it in `related`.
    Open = "project.open", Write, OpenParams => Opened,
    errors: [Conflict, TooLarge],
    example: r#"{"path": "/home/me/shop", "id": "prj-1", "git_remote": "git@github.com:me/shop.git"}"# => r#"{
        "project": {
            "id": "prj-1", "name": "shop", "path": "/home/me/shop", "former_paths": [],
            "git_remote": "github.com/me/shop", "git_root_commit": null, "metadata": null,
            "created_at": 1764000000000, "opened_at": 1764000000000, "removed_at": null
        },
        "created": true, "found_by": null, "moved_from": null, "related": []
    }"#,
}

method! {
    /// Gives one project.
    Get = "project.get", Read, IdParams => Project,
    errors: [NotFound],
    example: r#"{"id": "prj-1"}"# => r#"{
        "id": "prj-1", "name": "shop", "path": "/home/me/shop", "former_paths": [],
        "git_remote": "github.com/me/shop", "git_root_commit": null, "metadata": null,
        "created_at": 1764000000000, "opened_at": 1764000000000, "removed_at": null
    }"#,
}

method! {
    /// Lists projects, the most recently opened first.
    List = "project.list", Read, ListParams => ProjectPage,
    errors: [],
    example: r#"{"limit": 10}"# => r#"{
        "projects": [{
            "id": "prj-1", "name": "shop", "path": "/home/me/shop", "former_paths": [],
            "git_remote": "github.com/me/shop", "git_root_commit": null, "metadata": null,
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
        "id": "prj-1", "name": "Web shop", "path": "/home/me/shop", "former_paths": [],
        "git_remote": "github.com/me/shop", "git_root_commit": null, "metadata": {"color": "#0af"},
        "created_at": 1764000000000, "opened_at": 1764000000000, "removed_at": null
    }"##,
}

method! {
    /// Gives a project another folder: the one it was moved to. Its sessions, files and settings stay with it.
    ///
    /// `conflict` where another project on the list has that folder. The name follows where it was the
    /// folder's. A retry gives the same. A project that was removed stays off the list.
    Relocate = "project.relocate", Write, RelocateParams => Project,
    errors: [NotFound, Conflict, TooLarge],
    example: r#"{"id": "prj-1", "path": "/home/me/web/shop"}"# => r##"{
        "id": "prj-1", "name": "Web shop", "path": "/home/me/web/shop",
        "former_paths": ["/home/me/shop"], "git_remote": "github.com/me/shop",
        "git_root_commit": null, "metadata": {"color": "#0af"},
        "created_at": 1764000000000, "opened_at": 1764000000000, "removed_at": null
    }"##,
}

method! {
    /// Takes a project off the list. Its sessions, files and settings stay; `project.open` brings it back.
    Remove = "project.remove", Write, IdParams => Removed,
    errors: [NotFound],
    example: r#"{"id": "prj-1"}"# => r#"{"removed": true}"#,
}
