//! What is to be done with each file, in order: found, read and taken apart ahead of the calls, on a thread of its own.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::outcome::{Disposition, FileKind, FileOutcome};
use super::session::{Origin, SessionPlan};
use super::source::{Found, Source};
use super::{read, session, settings, source, text, workspace};
use crate::api::project;
use crate::api::settings::Entry;
use crate::client::{Client, ClientError};
use crate::model::limits::MAX_PAGE_ITEMS;
use crate::model::path::path_key;
use crate::model::{Millis, ProjectId};

/// Files that are ready before they are asked for.
const READY: usize = 16;
/// Bytes of files that are held at one time, read or being dealt with; a larger one is held alone.
const HELD_BYTES: u64 = 8 * 1024 * 1024;

/// A file that was read, and what is known of it until now.
#[derive(Debug)]
pub(super) struct PlannedFile {
    pub(super) outcome: FileOutcome,
    pub(super) plan: Plan,
    /// Its share of the bytes that are held, given back when it is dropped.
    pub(super) share: OwnedSemaphorePermit,
}

/// What is to be stored of a file.
#[derive(Debug)]
pub(super) enum Plan {
    /// Nothing: the outcome says why.
    Nothing,
    /// A session.
    Session(Box<SessionPlan>),
    /// Settings.
    Settings {
        /// Those that can be stored.
        entries: Vec<Entry>,
        /// Whose they are; the user's where it is no project.
        project_id: Option<ProjectId>,
    },
}

/// Returns the files of some paths, each once.
pub(super) fn sources(paths: &[PathBuf], projects: &Projects) -> Vec<Source> {
    let mut seen = HashSet::new();
    let found = paths.iter().flat_map(|path| source::find(path, projects.folders()));
    found.filter(|source| seen.insert(source.path.clone())).collect()
}

/// The files as they become ready, in order.
pub(super) struct Files(mpsc::Receiver<PlannedFile>);

impl Files {
    /// Returns the next file; none where there are no more.
    pub(super) async fn recv(&mut self) -> Option<PlannedFile> {
        self.0.recv().await
    }

    /// Returns the next file if it is ready.
    pub(super) fn try_recv(&mut self) -> Option<PlannedFile> {
        self.0.try_recv().ok()
    }
}

/// Begins to read files.
pub(super) fn start(sources: Vec<Source>, projects: Projects) -> Files {
    let (sender, receiver) = mpsc::channel(READY);
    std::thread::spawn(move || {
        let held = Arc::new(Semaphore::new(HELD_BYTES as usize));
        for source in sources {
            let size = std::fs::metadata(&source.path).map_or(0, |metadata| metadata.len());
            let share = u32::try_from(size.clamp(1, HELD_BYTES)).expect("it is clamped");
            let share = pollster::block_on(Arc::clone(&held).acquire_many_owned(share))
                .expect("it is never closed");
            let (outcome, plan) = plan(&source, &projects);
            if sender.blocking_send(PlannedFile { outcome, plan, share }).is_err() {
                // The import ended early.
                return;
            }
        }
    });
    Files(receiver)
}

fn plan(source: &Source, projects: &Projects) -> (FileOutcome, Plan) {
    let kind = match source.found {
        Found::Session { .. } => FileKind::Session,
        Found::Settings => FileKind::Settings,
        Found::ProjectSettings { .. } => FileKind::ProjectSettings,
        Found::Foreign(_) | Found::Unreadable(_) => FileKind::Other,
    };
    let mut outcome = FileOutcome::new(&source.path, kind);
    if source.path.is_symlink() {
        outcome.notes.push("is a symbolic link, which was followed".to_owned());
    }
    let plan = match &source.found {
        Found::Foreign(reason) => refused(&mut outcome, Disposition::Skipped, reason),
        Found::Unreadable(reason) => refused(&mut outcome, Disposition::Unreadable, reason),
        Found::Settings => plan_settings(&source.path, None, &mut outcome),
        Found::ProjectSettings { folder } => match projects.of_folder(folder) {
            Some(project_id) => plan_settings(&source.path, Some(project_id), &mut outcome),
            None => refused(
                &mut outcome,
                Disposition::Skipped,
                "holds the settings of a folder that is no known project; tell project.open of it first",
            ),
        },
        Found::Session { workspace } => {
            plan_session(&source.path, workspace.as_ref(), projects, &mut outcome)
        }
    };
    (outcome, plan)
}

fn refused(outcome: &mut FileOutcome, disposition: Disposition, reason: &str) -> Plan {
    outcome.refuse(disposition, reason);
    Plan::Nothing
}

fn plan_settings(path: &Path, project_id: Option<ProjectId>, outcome: &mut FileOutcome) -> Plan {
    outcome.project_id.clone_from(&project_id);
    let Some((json, _)) = read(path, outcome) else { return Plan::Nothing };
    match settings::entries(&json, outcome) {
        Ok(entries) => Plan::Settings { entries, project_id },
        Err(reason) => refused(outcome, Disposition::Unreadable, &reason),
    }
}

fn plan_session(
    path: &Path,
    workspace: Option<&String>,
    projects: &Projects,
    outcome: &mut FileOutcome,
) -> Plan {
    let Some((json, modified_at)) = read(path, outcome) else { return Plan::Nothing };
    let origin = projects.origin(path, workspace.cloned(), modified_at);
    match session::convert(&json, &origin) {
        Ok(plan) => Plan::Session(Box::new(plan)),
        Err(reason) => refused(outcome, Disposition::Unreadable, &reason),
    }
}

/// Reads a file's JSON text, and when it was written; where there is none the outcome says why.
fn read(path: &Path, outcome: &mut FileOutcome) -> Option<(String, Millis)> {
    let read = read::whole(path)
        .and_then(|content| Ok((text::read(&content.bytes)?, content.modified_at)));
    let (text, modified_at) = match read {
        Err(reason) => {
            outcome.refuse(Disposition::Unreadable, reason);
            return None;
        }
        Ok(read) => read,
    };
    if text.had_mark {
        outcome.notes.push("begins with a byte-order mark, which was passed over".to_owned());
    }
    if text.padding > 0 {
        outcome.notes.push(format!("ends with {} NUL bytes, which were passed over", text.padding));
    }
    if text.replaced > 0 {
        let count = text.replaced;
        outcome.problems.push(format!(
            "{count} halves of surrogate pairs stand alone, which is no Unicode; U+FFFD stands in their place"
        ));
    }
    if let Some(cut) = text.cut {
        outcome.left_out += 1;
        outcome
            .problems
            .push(format!("is cut off after {cut} bytes; what is whole of it is taken"));
    }
    Some((text.json, modified_at))
}

/// The projects of the store, by the names the IDE may have given their folder of sessions.
#[derive(Debug, Default)]
pub(super) struct Projects {
    /// By the folders they have.
    current: Vec<(String, ProjectId)>,
    /// By those they had before they moved.
    former: Vec<(String, ProjectId)>,
    /// The folders of those on the list.
    folders: Vec<(PathBuf, ProjectId)>,
}

impl Projects {
    /// Asks the daemon for all projects, also those taken off the list.
    pub(super) async fn list(client: &mut Client) -> Result<Self, ClientError> {
        let mut projects = Self::default();
        let mut params =
            project::ListParams { limit: MAX_PAGE_ITEMS, cursor: None, include_removed: true };
        loop {
            let page = client.call::<project::List>(&params).await?;
            for project in page.projects {
                let named = |path: &String| {
                    let names = workspace::folder_names(path).into_iter();
                    names.map(|name| (name, project.id.clone())).collect::<Vec<_>>()
                };
                projects.current.extend(named(&project.path));
                projects.former.extend(project.former_paths.iter().flat_map(named));
                if project.removed_at.is_none() {
                    projects.folders.push((PathBuf::from(&project.path), project.id.clone()));
                }
            }
            match page.next_cursor {
                None => {
                    projects.folders.sort();
                    return Ok(projects);
                }
                cursor => params.cursor = cursor,
            }
        }
    }

    /// The folders of the projects on the list.
    fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().map(|(folder, _)| folder.as_path())
    }

    /// Returns the project that has a folder, by the path or by what a link leads to.
    fn of_folder(&self, folder: &Path) -> Option<ProjectId> {
        let keys: Vec<String> = [Some(folder.to_owned()), folder.canonicalize().ok()]
            .into_iter()
            .flatten()
            .filter_map(|folder| folder.to_str().map(path_key))
            .collect();
        let is_it = |folder: &Path| folder.to_str().is_some_and(|it| keys.contains(&path_key(it)));
        self.folders.iter().find(|(folder, _)| is_it(folder)).map(|(_, id)| id.clone())
    }

    /// Returns what is known of a session file.
    fn origin(&self, path: &Path, workspace: Option<String>, modified_at: Millis) -> Origin {
        let project_id = workspace.as_deref().and_then(|workspace| self.of(workspace));
        let stem =
            path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Origin { stem, workspace, project_id, modified_at }
    }

    /// Returns the project of a workspace: one that has the folder now before one that had it. The
    /// hash is short: two projects of one name give none.
    fn of(&self, workspace: &str) -> Option<ProjectId> {
        [&self.current, &self.former].into_iter().find_map(|projects| {
            let mut found = projects.iter().filter(|(name, _)| name == workspace).map(|(_, id)| id);
            let first = found.next()?;
            Some(found.all(|id| id == first).then(|| first.clone()))
        })?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_finds_its_project_unless_two_share_its_name() {
        let id = |text: &str| ProjectId::parse(text).expect("an id");
        let named = |projects: &[(&str, &str)]| {
            projects.iter().map(|(name, project)| ((*name).to_owned(), id(project))).collect()
        };
        let projects = Projects {
            current: named(&[("shop_1", "a"), ("app_2", "b"), ("app_2", "c"), ("new_3", "d")]),
            former: named(&[
                ("shop_1", "d"),
                ("old_4", "d"),
                ("old_4", "d"),
                ("was_5", "a"),
                ("was_5", "b"),
            ]),
            folders: Vec::new(),
        };
        let found = |workspace: Option<&str>| {
            projects.origin("x/s.json".as_ref(), workspace.map(str::to_owned), 0).project_id
        };
        assert_eq!(found(Some("shop_1")), Some(id("a")));
        assert_eq!(found(Some("app_2")), None);
        assert_eq!(found(Some("old_4")), Some(id("d")));
        assert_eq!(found(Some("was_5")), None);
        assert_eq!(found(Some("_global")), None);
        assert_eq!(found(None), None);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_why() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("s.json");
        let mut outcome = FileOutcome::new(&path, FileKind::Session);
        assert_eq!(read(&path, &mut outcome), None);
        assert_eq!(outcome.disposition, Disposition::Unreadable);
        std::fs::write(&path, "\u{FEFF}{\"a\": \"\\ud83e\"}").expect("writes");
        let mut outcome = FileOutcome::new(&path, FileKind::Session);
        let (json, modified_at) = read(&path, &mut outcome).expect("is read");
        assert_eq!(json, r#"{"a":"\ufffd"}"#);
        assert!(modified_at > 1_700_000_000_000, "{modified_at}");
        assert_eq!((outcome.problems.len(), outcome.notes.len()), (1, 1));
    }
}
