//! Which project a folder is of: `project.open` and `project.relocate`.
//!
//! The project that has the folder's path is the one, whatever else is known. Where none has it, the
//! folder may be that of a project which moved: one of the same repository, or one that was here before.
//! It is taken for that only where its own folder is gone, since two folders that are both there are
//! two projects, and where no other project may be meant as well. All else makes a new project and tells
//! of the others, so that a person can decide.
//!
//! Whether a folder is there is not asked here, on the writer's thread: it was seen before.

use super::projects::{self, columns, read_project};
use super::{ReadTx, WriteTx, files};
use crate::api::project::{FoundBy, OpenParams, Opened, Related, RelocateParams};
use crate::error::{Error, Result};
use crate::model::limits::{MAX_FORMER_PATHS, MAX_RELATED};
use crate::model::path::{path_key, without_case};
use crate::model::{
    FolderPath, GitRemote, JsonObject, Project, ProjectId, RootCommit, Sighting, Sightings, Topic,
    time,
};
use crate::store::engine::Row;

/// The project on the list before one that was taken off it; an adopted file may have several of one
/// folder, of which the one last opened counts.
const BY_PATH: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM projects WHERE path_key = ?1
    ORDER BY removed_at IS NOT NULL, opened_at DESC, id DESC LIMIT 1"
);

macro_rules! candidates {
    ($column:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM projects WHERE ",
            $column,
            " = ?1 ORDER BY opened_at DESC, id DESC LIMIT ?2"
        )
    };
}

const BY_PATH_WITHOUT_CASE: &str = candidates!("path_without_case");
const BY_REMOTE: &str = candidates!("git_remote");
const BY_ROOT_COMMIT: &str = candidates!("git_root_commit");

const BY_FORMER_PATH: &str =
    "SELECT project_id FROM project_former_paths WHERE path_key = ?1 ORDER BY project_id LIMIT ?2";

const INSERT: &str = "INSERT INTO projects
        (id, name, path, path_key, path_without_case, git_remote, git_root_commit, metadata,
        created_at, opened_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)";

const OPENED: &str = "UPDATE projects
    SET opened_at = ?2, removed_at = NULL, git_remote = ?3, git_root_commit = ?4 WHERE id = ?1";

const MOVED: &str = "UPDATE projects
    SET name = ?2, path = ?3, path_key = ?4, path_without_case = ?5, former_paths = ?6 WHERE id = ?1";

const ADD_FORMER_PATH: &str = "INSERT INTO project_former_paths (path_key, project_id)
    VALUES (?1, ?2) ON CONFLICT (path_key, project_id) DO NOTHING";

const REMOVE_FORMER_PATH: &str =
    "DELETE FROM project_former_paths WHERE path_key = ?1 AND project_id = ?2";

/// Finds the project of a folder or makes one, and marks it as opened.
pub fn open(tx: &mut WriteTx<'_>, params: &OpenParams, seen: &Sightings) -> Result<Opened> {
    let asked = Asked::of(params)?;
    let candidates = asked.candidates(tx)?;
    let found = match asked.by_path(tx)? {
        Some(project) => Some((project, FoundBy::Path)),
        None => asked.choose(&candidates, seen),
    };
    let Some((project, found_by)) = found else {
        let related = related(&candidates, None, seen);
        let project = create(tx, &asked)?;
        return Ok(Opened { project, created: true, found_by: None, moved_from: None, related });
    };
    if let Some(id) = params.id.as_ref().filter(|id| **id != project.id) {
        return Err(Error::conflict(
            "project",
            id,
            format!("cannot be made: {} has the folder", project.id),
        ));
    }
    let related = related(&candidates, Some(&project.id), seen);
    let (project, moved_from) = reopen(tx, &asked, project, found_by)?;
    Ok(Opened { project, created: false, found_by: Some(found_by), moved_from, related })
}

/// Returns the folders to look at before a project is opened: its own, and those of the projects
/// that it may be. None where there is no such project.
pub fn folders_to_see(tx: &mut ReadTx<'_>, params: &OpenParams) -> Result<Vec<String>> {
    let candidates = Asked::of(params)?.candidates(tx)?;
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let others = candidates.into_iter().map(|candidate| candidate.project.path);
    Ok(std::iter::once(params.path.clone()).chain(others).collect())
}

/// Gives a project another folder.
pub fn relocate(tx: &mut WriteTx<'_>, params: &RelocateParams) -> Result<Project> {
    let mut project = projects::get(tx, &params.id)?;
    if project.path == params.path {
        return Ok(project);
    }
    let folder = parse(&params.path)?;
    let key = folder.key();
    let owner = tx.first(BY_PATH, &[(&key).into()], read_project)?;
    if let Some(owner) = owner.filter(|owner| owner.id != project.id && owner.removed_at.is_none())
        && key != path_key(&project.path)
    {
        return Err(Error::conflict(
            "project",
            &project.id,
            format!("cannot go there: {} has the folder", owner.id),
        ));
    }
    move_to(tx, &mut project, &folder, &params.path)?;
    Ok(project)
}

fn parse(path: &str) -> Result<FolderPath<'_>> {
    FolderPath::parse(path).map_err(|problem| Error::invalid("path", problem))
}

/// A folder as a call asks for its project.
struct Asked<'a> {
    params: &'a OpenParams,
    folder: FolderPath<'a>,
    key: String,
    remote: Option<GitRemote>,
    root_commit: Option<RootCommit>,
}

/// A project that may be meant.
struct Candidate {
    project: Project,
    /// The folder was its own before.
    was_here: bool,
    /// It has the repository's first commit, or is fetched from the same place.
    is_akin: bool,
    /// Nothing that is known of its repository is otherwise.
    is_compatible: bool,
}

impl<'a> Asked<'a> {
    fn of(params: &'a OpenParams) -> Result<Self> {
        let folder = parse(&params.path)?;
        let key = folder.key();
        let (remote, root_commit) = (params.remote()?, params.root_commit()?);
        Ok(Self { params, folder, key, remote, root_commit })
    }

    fn by_path(&self, tx: &mut ReadTx<'_>) -> Result<Option<Project>> {
        tx.first(BY_PATH, &[(&self.key).into()], read_project)
    }

    /// Returns the projects of other folders that may be meant, the last opened first.
    fn candidates(&self, tx: &mut ReadTx<'_>) -> Result<Vec<Candidate>> {
        let limit = MAX_RELATED as i64;
        let without_case = without_case(&self.key);
        let remote = self.remote.as_ref().map(GitRemote::as_str);
        let root_commit = self.root_commit.as_ref().map(RootCommit::as_str);
        let former: Vec<String> =
            tx.all(BY_FORMER_PATH, &[(&self.key).into(), limit.into()], Row::text)?;
        let mut found = Vec::new();
        for id in &former {
            found.extend(projects::find(tx, &super::stored(ProjectId::parse(id.as_str()))?)?);
        }
        for (sql, key) in [
            (BY_PATH_WITHOUT_CASE, Some(without_case.as_str())),
            (BY_ROOT_COMMIT, root_commit),
            (BY_REMOTE, remote),
        ] {
            if let Some(key) = key {
                found.extend(tx.all(sql, &[key.into(), limit.into()], read_project)?);
            }
        }
        found.retain(|project| path_key(&project.path) != self.key);
        found.sort_by(|one, other| (other.opened_at, &other.id).cmp(&(one.opened_at, &one.id)));
        found.dedup_by(|one, other| one.id == other.id);
        Ok(found
            .into_iter()
            .map(|project| {
                let pairs = [
                    (project.git_remote.as_deref(), remote),
                    (project.git_root_commit.as_deref(), root_commit),
                ];
                let known = || pairs.iter().filter_map(|(one, other)| Some((*one)?.cmp((*other)?)));
                let (is_akin, is_compatible) =
                    (known().any(|order| order.is_eq()), known().all(|order| order.is_eq()));
                let was_here = former.iter().any(|id| id == project.id.as_str());
                Candidate { project, was_here, is_akin, is_compatible }
            })
            .collect())
    }

    /// Returns the project that moved to the folder, or has it by another name of the same folder.
    fn choose(&self, candidates: &[Candidate], seen: &Sightings) -> Option<(Project, FoundBy)> {
        let same = candidates.iter().filter(|candidate| seen.is_same(&candidate.project.path));
        let same = same.min_by_key(|candidate| candidate.project.removed_at.is_some());
        if let Some(candidate) = same {
            return Some((candidate.project.clone(), FoundBy::Path));
        }
        // Who cannot see the folder itself cannot see that another one is gone.
        if seen.of(&self.params.path) != Sighting::There {
            return None;
        }
        let is_gone = |candidate: &&Candidate| seen.of(&candidate.project.path) == Sighting::Gone;
        let compatible = || candidates.iter().filter(|candidate| candidate.is_compatible);
        let back = only(compatible().filter(|candidate| candidate.was_here).filter(is_gone));
        let moved = back.map(|candidate| (candidate, FoundBy::FormerPath)).or_else(|| {
            let clones = || compatible().filter(|candidate| candidate.is_akin);
            self.moved_clone(clones, is_gone).map(|candidate| (candidate, FoundBy::Repository))
        });
        moved
            .filter(|(candidate, _)| {
                self.params.id.as_ref().is_none_or(|id| *id == candidate.project.id)
            })
            .map(|(candidate, found_by)| (candidate.project.clone(), found_by))
    }

    /// Returns the one project of the repository that must have moved here.
    ///
    /// With another clone or worktree that is there, a folder may as well be a new one beside it. So
    /// it is the only one that is gone, or the only one of the folder's name, as where the folder
    /// above was moved.
    fn moved_clone<'c, I: Iterator<Item = &'c Candidate>>(
        &self,
        clones: impl Fn() -> I,
        is_gone: impl Fn(&&'c Candidate) -> bool,
    ) -> Option<&'c Candidate> {
        let is_listed = |candidate: &&Candidate| candidate.project.removed_at.is_none();
        if clones().all(|candidate| is_gone(&candidate)) {
            let mut listed = clones().filter(is_listed).peekable();
            let one = if listed.peek().is_some() { only(listed) } else { only(clones()) };
            if one.is_some() {
                return one;
            }
        }
        let name = self.folder.name_key();
        let is_named_so = |candidate: &&Candidate| {
            FolderPath::parse(&candidate.project.path).is_ok_and(|other| other.name_key() == name)
        };
        only(clones().filter(is_named_so)).filter(is_gone)
    }
}

/// Returns the only item there is.
fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    items.next().filter(|_| items.next().is_none())
}

/// Returns what a client is told of the others.
fn related(candidates: &[Candidate], found: Option<&ProjectId>, seen: &Sightings) -> Vec<Related> {
    let others = candidates.iter().filter(|other| Some(&other.project.id) != found);
    others
        .filter_map(|Candidate { project, was_here, is_akin, .. }| {
            let by = match (is_akin, was_here) {
                (true, _) => FoundBy::Repository,
                (false, true) => FoundBy::FormerPath,
                (false, false) => return None,
            };
            Some(Related {
                id: project.id.clone(),
                name: project.name.clone(),
                path: project.path.clone(),
                by,
                folder: seen.of(&project.path),
                removed_at: project.removed_at,
            })
        })
        .take(MAX_RELATED)
        .collect()
}

fn create(tx: &mut WriteTx<'_>, asked: &Asked<'_>) -> Result<Project> {
    let Asked { params, folder, key, remote, root_commit } = asked;
    let now = time::now();
    let project = Project {
        id: params.id.clone().unwrap_or_else(ProjectId::generate),
        name: params.name.clone().unwrap_or_else(|| folder.name().to_owned()),
        path: params.path.clone(),
        former_paths: Vec::new(),
        git_remote: remote.as_ref().map(|remote| remote.as_str().to_owned()),
        git_root_commit: root_commit.as_ref().map(|commit| commit.as_str().to_owned()),
        metadata: params.metadata.clone(),
        created_at: now,
        opened_at: now,
        removed_at: None,
    };
    if let Some(other) = projects::find(tx, &project.id)? {
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
            key.into(),
            (&without_case(key)).into(),
            project.git_remote.as_deref().into(),
            project.git_root_commit.as_deref().into(),
            project.metadata.as_ref().map(JsonObject::as_str).into(),
            now.into(),
        ],
    )?;
    projects::changed(tx, Topic::ProjectCreated, &project.id)?;
    Ok(project)
}

/// Marks a project as opened, in its new folder where it moved, and returns it and its old one.
fn reopen(
    tx: &mut WriteTx<'_>,
    asked: &Asked<'_>,
    mut project: Project,
    found_by: FoundBy,
) -> Result<(Project, Option<String>)> {
    let mut moved_from = None;
    if found_by != FoundBy::Path {
        moved_from = Some(project.path.clone());
        move_to(tx, &mut project, &asked.folder, &asked.params.path)?;
    }
    // Time never runs back, even where the clock does: the list is sorted by it.
    project.opened_at = time::now().max(project.opened_at);
    project.removed_at = None;
    if let Some(remote) = &asked.remote {
        project.git_remote = Some(remote.as_str().to_owned());
    }
    if let Some(commit) = &asked.root_commit {
        project.git_root_commit = Some(commit.as_str().to_owned());
    }
    tx.execute_one(
        OPENED,
        &[
            project.id.as_str().into(),
            project.opened_at.into(),
            project.git_remote.as_deref().into(),
            project.git_root_commit.as_deref().into(),
        ],
    )?;
    projects::changed(tx, Topic::ProjectOpened, &project.id)?;
    Ok((project, moved_from))
}

/// Gives a project another folder, or another spelling of its own.
fn move_to(
    tx: &mut WriteTx<'_>,
    project: &mut Project,
    folder: &FolderPath<'_>,
    path: &str,
) -> Result<()> {
    let (key, old_path) = (folder.key(), std::mem::replace(&mut project.path, path.to_owned()));
    let old_key = path_key(&old_path);
    if FolderPath::parse(&old_path).is_ok_and(|old| old.name() == project.name) {
        folder.name().clone_into(&mut project.name);
    }
    if key != old_key {
        files::follow(tx, &project.id, &old_path, path)?;
        let mut kept = std::mem::take(&mut project.former_paths);
        kept.retain(|former| {
            let former = path_key(former);
            former != key && former != old_key
        });
        kept.insert(0, old_path);
        let dropped = kept.split_off(kept.len().min(MAX_FORMER_PATHS));
        project.former_paths = kept;
        tx.execute(ADD_FORMER_PATH, &[(&old_key).into(), project.id.as_str().into()])?;
        for gone in dropped.iter().map(|path| path_key(path)).chain([key.clone()]) {
            tx.execute(REMOVE_FORMER_PATH, &[(&gone).into(), project.id.as_str().into()])?;
        }
    }
    let former_paths = (!project.former_paths.is_empty())
        .then(|| serde_json::to_string(&project.former_paths).expect("texts are JSON"));
    tx.execute_one(
        MOVED,
        &[
            project.id.as_str().into(),
            (&project.name).into(),
            (&project.path).into(),
            (&key).into(),
            (&without_case(&key)).into(),
            former_paths.as_ref().into(),
        ],
    )?;
    projects::changed(tx, Topic::ProjectRelocated, &project.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{engine, migrations};

    #[test]
    fn every_statement_searches_its_index_on_both_engines() {
        migrations::on_each_engine(|kind, connection| {
            for (sql, index) in [
                (BY_PATH_WITHOUT_CASE, "idx_projects_path_without_case (path_without_case=?)"),
                (BY_REMOTE, "idx_projects_git_remote (git_remote=?)"),
                (BY_ROOT_COMMIT, "idx_projects_git_root_commit (git_root_commit=?)"),
                (BY_FORMER_PATH, "sqlite_autoindex_project_former_paths_1 (path_key=?)"),
            ] {
                let plan = engine::query_plan(connection, sql);
                let [step] = plan.as_slice() else { panic!("{kind:?}: {sql}: {plan:?}") };
                assert!(step.starts_with("SEARCH ") && step.contains(index), "{kind:?}: {step}");
            }
            // A folder's few projects are sorted.
            let plan = engine::query_plan(connection, BY_PATH);
            assert!(plan[0].contains("idx_projects_path_key (path_key=?)"), "{kind:?}: {plan:?}");
        });
    }
}
