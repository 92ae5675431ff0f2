//! Projects: listed by when they were opened. Which one a folder is of is told in `places.rs`.

use super::engine::Row;
use super::page::Page;
use super::{ReadTx, WriteTx, patch};
use crate::api::Paged;
use crate::api::project::{ListParams, ProjectPage, UpdateParams};
use crate::error::{Error, Result};
use crate::model::{Cursor, JsonObject, Project, ProjectId, Topic, time};

macro_rules! columns {
    () => {
        "id, name, path, former_paths, git_remote, git_root_commit, metadata, created_at, opened_at,
        removed_at"
    };
}
pub(super) use columns;

const BY_ID: &str = concat!("SELECT ", columns!(), " FROM projects WHERE id = ?1");

const EXISTS: &str = "SELECT 1 FROM projects WHERE id = ?1";

const LISTED_PATH: &str = "SELECT path FROM projects WHERE id = ?1 AND removed_at IS NULL";

const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM projects WHERE (removed_at IS NULL OR ?1)
    ORDER BY opened_at DESC, id DESC LIMIT ?2"
);

const LIST_ON: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM projects WHERE (removed_at IS NULL OR ?1) AND opened_at <= ?2 AND (opened_at < ?2 OR id < ?3)
    ORDER BY opened_at DESC, id DESC LIMIT ?4"
);

const UPDATE: &str = "UPDATE projects SET name = ?2, metadata = ?3 WHERE id = ?1";
const REMOVE: &str = "UPDATE projects SET removed_at = ?2 WHERE id = ?1";

/// Returns one project.
pub fn get(tx: &mut ReadTx<'_>, id: &ProjectId) -> Result<Project> {
    find(tx, id)?.ok_or_else(|| Error::not_found("project", id))
}

/// Returns a page of projects.
pub fn list(tx: &mut ReadTx<'_>, params: &ListParams) -> Result<ProjectPage> {
    let mut values = vec![i64::from(params.include_removed).into()];
    let after = params.cursor.as_ref().map(Cursor::position);
    // The first page has no condition on the key: none could let every time of an older file pass.
    let sql = match &after {
        None => LIST,
        Some((opened_at, id)) => {
            values.push((*opened_at).into());
            values.push(id.into());
            LIST_ON
        }
    };
    let mut page = Page::new(params.limit);
    page.fill(tx, sql, values, read_project, size)?;
    let next_cursor =
        page.end().map(|last| Cursor::after(params.list(), last.opened_at, last.id.as_str()));
    Ok(ProjectPage { projects: page.items, next_cursor })
}

/// The bytes of a project's texts.
fn size(project: &Project) -> usize {
    project.name.len()
        + project.path.len()
        + project.former_paths.iter().map(String::len).sum::<usize>()
        + project.git_remote.as_ref().map_or(0, String::len)
        + project.metadata.as_ref().map_or(0, |metadata| metadata.as_str().len())
}

/// Renames a project or patches its free data.
pub fn update(tx: &mut WriteTx<'_>, params: &UpdateParams) -> Result<Project> {
    let mut project = get(tx, &params.id)?;
    let changes = [
        patch::set(&mut project.name, params.name.as_ref()),
        patch::metadata(&mut project.metadata, params.metadata.as_ref())?,
    ];
    if !changes.contains(&true) {
        return Ok(project);
    }
    tx.execute_one(
        UPDATE,
        &[
            project.id.as_str().into(),
            (&project.name).into(),
            project.metadata.as_ref().map(JsonObject::as_str).into(),
        ],
    )?;
    changed(tx, Topic::ProjectUpdated, &project.id)?;
    Ok(project)
}

/// Takes a project off the list, and returns whether it was on it.
pub fn remove(tx: &mut WriteTx<'_>, id: &ProjectId) -> Result<bool> {
    let listed = get(tx, id)?.removed_at.is_none();
    if listed {
        tx.execute_one(REMOVE, &[id.as_str().into(), time::now().into()])?;
        changed(tx, Topic::ProjectRemoved, id)?;
    }
    Ok(listed)
}

/// Tells of a project's change.
pub(super) fn changed(tx: &mut WriteTx<'_>, topic: Topic, id: &ProjectId) -> Result<()> {
    tx.changed(topic, id.as_str(), None, Some(id.as_str()))
}

/// Checks that a project exists, on the list or off it.
pub(super) fn require(tx: &mut ReadTx<'_>, id: &ProjectId) -> Result<()> {
    match tx.first(EXISTS, &[id.as_str().into()], Row::int)? {
        Some(_) => Ok(()),
        None => Err(Error::not_found("project", id)),
    }
}

/// Returns the folder of a project that is on the list.
pub(super) fn listed_path(tx: &mut ReadTx<'_>, id: &ProjectId) -> Result<String> {
    tx.first(LISTED_PATH, &[id.as_str().into()], Row::text)?
        .ok_or_else(|| Error::not_found("project", id))
}

/// Returns a project, on the list or off it.
pub(super) fn find(tx: &mut ReadTx<'_>, id: &ProjectId) -> Result<Option<Project>> {
    tx.first(BY_ID, &[id.as_str().into()], read_project)
}

/// Reads a project from the columns of `columns!`.
pub(super) fn read_project(row: &mut Row) -> Result<Project> {
    Ok(Project {
        id: super::stored(ProjectId::parse(row.text()?))?,
        name: row.text()?,
        path: row.text()?,
        former_paths: row
            .optional_text()?
            .map_or_else(|| Ok(Vec::new()), |text| super::stored(serde_json::from_str(&text)))?,
        git_remote: row.optional_text()?,
        git_root_commit: row.optional_text()?,
        metadata: super::stored_object(row.optional_text()?)?,
        created_at: row.int()?,
        opened_at: row.int()?,
        removed_at: row.optional_int()?,
    })
}
