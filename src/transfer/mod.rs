//! Import of what the IDE keeps in files: its sessions and the user's settings.
//!
//! The importer is a client of a running daemon like any other. It reads the IDE's files and never
//! writes them, adds to the store what is not there, and changes nothing that is, but that a session
//! in no project is put into its own, and that images which it once left in the metadata of messages
//! become attachments: it can be run twice, and after an interruption it goes on. Nothing is dropped
//! silently: what the daemon has no field for is kept in `metadata` (the heads of `session.rs`,
//! `message.rs` and `images.rs` say how), and what cannot be stored is told with its reason
//! ([`FileOutcome`]).

mod calls;
mod fields;
mod images;
mod instant;
mod message;
mod outcome;
mod send;
mod session;
mod settings;
mod settle;
mod source;
mod tally;
mod text;
mod workspace;

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

pub use outcome::{Counts, Disposition, FileKind, FileOutcome, Totals};

use crate::api::project;
use crate::client::{Client, ClientError};
use crate::model::limits::MAX_PAGE_ITEMS;
use crate::model::{Millis, ProjectId, time};
use session::Origin;
use source::{Found, Source};

/// Why an import ended early. What was stored until then stays.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The daemon could not be asked, or could not store anything any more.
    #[error("the import stopped at {path}: {source}; run it again to go on")]
    Stopped {
        /// The file.
        path: String,
        /// What the daemon said.
        source: ClientError,
    },
    /// The daemon did not tell which projects it knows; no file was read.
    #[error("the projects cannot be listed: {0}")]
    Projects(ClientError),
}

/// Imports homes, folders or files, and tells of each file as soon as it is done.
///
/// Fails only where the daemon does; what is wrong with a file is in its outcome. Not cancel safe:
/// after a dropped call, connect anew and run it again.
pub async fn import(
    client: &mut Client,
    paths: &[PathBuf],
    progress: &mut dyn FnMut(&FileOutcome),
) -> Result<Totals, ImportError> {
    let projects = Projects::list(client).await.map_err(ImportError::Projects)?;
    let mut totals = Totals::default();
    let mut seen = std::collections::HashSet::new();
    for source in paths.iter().flat_map(|path| source::find(path)) {
        if !seen.insert(source.path.clone()) {
            continue;
        }
        let outcome = import_file(client, &projects, &source).await.map_err(|error| {
            ImportError::Stopped { path: source.path.display().to_string(), source: error }
        })?;
        progress(&outcome);
        totals.add(&outcome);
    }
    Ok(totals)
}

async fn import_file(
    client: &mut Client,
    projects: &Projects,
    source: &Source,
) -> Result<FileOutcome, ClientError> {
    let kind = match source.found {
        Found::Session { .. } => FileKind::Session,
        Found::Settings => FileKind::Settings,
        Found::Foreign(_) | Found::Unreadable(_) => FileKind::Other,
    };
    let mut outcome = FileOutcome::new(&source.path, kind);
    match &source.found {
        Found::Foreign(reason) => outcome.refuse(Disposition::Skipped, reason),
        Found::Unreadable(reason) => outcome.refuse(Disposition::Unreadable, reason),
        Found::Settings => {
            if let Some(json) = read(&source.path, &mut outcome) {
                settings::import(client, &json, &mut outcome).await?;
            }
        }
        Found::Session { workspace } => {
            if let Some(json) = read(&source.path, &mut outcome) {
                let origin = projects.origin(&source.path, workspace.clone());
                match session::convert(&json, &origin) {
                    Ok(plan) => send::session(client, plan, &mut outcome).await?,
                    Err(reason) => outcome.refuse(Disposition::Unreadable, reason),
                }
            }
        }
    }
    outcome.conclude();
    Ok(outcome)
}

/// Reads a file's JSON text; where there is none the outcome says why.
fn read(path: &Path, outcome: &mut FileOutcome) -> Option<String> {
    let read = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"));
    match read.and_then(|bytes| text::read(&bytes)) {
        Err(reason) => {
            outcome.refuse(Disposition::Unreadable, reason);
            None
        }
        Ok(text) => {
            if text.had_mark {
                outcome
                    .notes
                    .push("begins with a byte-order mark, which was passed over".to_owned());
            }
            if text.replaced > 0 {
                let count = text.replaced;
                outcome.problems.push(format!(
                    "{count} halves of surrogate pairs stand alone, which is no Unicode; U+FFFD stands in their place"
                ));
            }
            Some(text.json)
        }
    }
}

/// The projects of the store, by the names the IDE may have given their folder of sessions.
#[derive(Default)]
struct Projects {
    /// By the folders they have.
    current: Vec<(String, ProjectId)>,
    /// By those they had before they moved.
    former: Vec<(String, ProjectId)>,
}

impl Projects {
    /// Asks the daemon for all projects, also those taken off the list.
    async fn list(client: &mut Client) -> Result<Self, ClientError> {
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
            }
            match page.next_cursor {
                None => return Ok(projects),
                cursor => params.cursor = cursor,
            }
        }
    }

    /// Returns what is known of a session file.
    fn origin(&self, path: &Path, workspace: Option<String>) -> Origin {
        let project_id = workspace.as_deref().and_then(|workspace| self.of(workspace));
        let stem =
            path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Origin { stem, workspace, project_id, modified_at: modified_at(path) }
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

/// Returns when a file was last written, as far as that is known.
fn modified_at(path: &Path) -> Millis {
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let millis = since.and_then(|since| Millis::try_from(since.as_millis()).ok());
    millis.filter(|millis| time::is_showable(*millis)).unwrap_or_default()
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
        };
        let found = |workspace: Option<&str>| {
            projects.origin("x/s.json".as_ref(), workspace.map(str::to_owned)).project_id
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
        assert_eq!(read(&path, &mut outcome).as_deref(), Some(r#"{"a":"\ufffd"}"#));
        assert_eq!((outcome.problems.len(), outcome.notes.len()), (1, 1));
    }
}
