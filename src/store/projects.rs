//! Projects: found by path, listed by when they were opened.

use super::engine::Row;
use super::page::Page;
use super::{ReadTx, WriteTx, patch};
use crate::api::Paged;
use crate::api::project::{ListParams, OpenParams, Opened, ProjectPage, UpdateParams};
use crate::error::{Error, Result};
use crate::model::{Cursor, FolderPath, JsonObject, Project, ProjectId, Topic, time};

const BY_ID: &str = "SELECT id, name, path, metadata, created_at, opened_at, removed_at
    FROM projects WHERE id = ?1";

const EXISTS: &str = "SELECT 1 FROM projects WHERE id = ?1";

const BY_PATH: &str = "SELECT id, name, path, metadata, created_at, opened_at, removed_at
    FROM projects WHERE path_key = ?1 ORDER BY opened_at DESC, id DESC LIMIT 1";

const LIST: &str = "SELECT id, name, path, metadata, created_at, opened_at, removed_at
    FROM projects WHERE (removed_at IS NULL OR ?1)
    ORDER BY opened_at DESC, id DESC LIMIT ?2";

const LIST_ON: &str = "SELECT id, name, path, metadata, created_at, opened_at, removed_at
    FROM projects WHERE (removed_at IS NULL OR ?1) AND opened_at <= ?2 AND (opened_at < ?2 OR id < ?3)
    ORDER BY opened_at DESC, id DESC LIMIT ?4";

const INSERT: &str =
    "INSERT INTO projects (id, name, path, path_key, metadata, created_at, opened_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)";

const TOUCH: &str = "UPDATE projects SET opened_at = ?2, removed_at = NULL WHERE id = ?1";
const UPDATE: &str = "UPDATE projects SET name = ?2, metadata = ?3 WHERE id = ?1";
const REMOVE: &str = "UPDATE projects SET removed_at = ?2 WHERE id = ?1";

/// Finds the project of a path or makes one, and marks it as opened.
pub fn open(tx: &mut WriteTx<'_>, params: &OpenParams) -> Result<Opened> {
    let now = time::now();
    let folder =
        FolderPath::parse(&params.path).map_err(|problem| Error::invalid("path", problem))?;
    let key = folder.key();
    // An adopted file may have several projects of one folder: the one last opened is taken.
    if let Some(mut project) = tx.first(BY_PATH, &[(&key).into()], read_project)? {
        if let Some(id) = params.id.as_ref().filter(|id| **id != project.id) {
            return Err(Error::conflict(
                "project",
                id,
                format!("cannot be made: {} has the folder", project.id),
            ));
        }
        // Time never runs back, even where the clock does: the list is sorted by it.
        project.opened_at = now.max(project.opened_at);
        project.removed_at = None;
        tx.execute_one(TOUCH, &[project.id.as_str().into(), project.opened_at.into()])?;
        changed(tx, Topic::ProjectOpened, &project.id)?;
        return Ok(Opened { project, created: false });
    }
    let project = Project {
        id: params.id.clone().unwrap_or_else(ProjectId::generate),
        name: params.name.clone().unwrap_or_else(|| folder.name().to_owned()),
        path: params.path.clone(),
        metadata: params.metadata.clone(),
        created_at: now,
        opened_at: now,
        removed_at: None,
    };
    if let Some(other) = find(tx, &project.id)? {
        return Err(Error::conflict(
            "project",
            &project.id,
            format!("exists with the folder {:?}", other.path),
        ));
    }
    tx.execute_one(
        INSERT,
        &[
            project.id.as_str().into(),
            (&project.name).into(),
            (&project.path).into(),
            (&key).into(),
            project.metadata.as_ref().map(JsonObject::as_str).into(),
            now.into(),
        ],
    )?;
    changed(tx, Topic::ProjectCreated, &project.id)?;
    Ok(Opened { project, created: true })
}

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

fn changed(tx: &mut WriteTx<'_>, topic: Topic, id: &ProjectId) -> Result<()> {
    tx.changed(topic, id.as_str(), None, Some(id.as_str()))
}

/// Checks that a project exists, on the list or off it.
pub(super) fn require(tx: &mut ReadTx<'_>, id: &ProjectId) -> Result<()> {
    match tx.first(EXISTS, &[id.as_str().into()], Row::int)? {
        Some(_) => Ok(()),
        None => Err(Error::not_found("project", id)),
    }
}

fn find(tx: &mut ReadTx<'_>, id: &ProjectId) -> Result<Option<Project>> {
    tx.first(BY_ID, &[id.as_str().into()], read_project)
}

fn read_project(row: &mut Row) -> Result<Project> {
    Ok(Project {
        id: super::stored(ProjectId::parse(row.text()?))?,
        name: row.text()?,
        path: row.text()?,
        metadata: super::stored_object(row.optional_text()?)?,
        created_at: row.int()?,
        opened_at: row.int()?,
        removed_at: row.optional_int()?,
    })
}
