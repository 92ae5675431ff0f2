//! Import of what the IDE keeps in files: its sessions, and the settings of the user and of projects.
//!
//! The importer is a client of a running daemon like any other. It reads the IDE's files and never
//! writes them, adds to the store what is not there, and changes nothing that is, but that a session
//! in no project is put into its own, and that images which it once left in the metadata of messages
//! become attachments: it can be run twice, and after an interruption it goes on. Nothing is dropped
//! silently: what the daemon has no field for is kept in `metadata` (the heads of `session.rs`,
//! `message.rs` and `images.rs` say how), and what cannot be stored is told with its reason
//! ([`FileOutcome`]).

mod batch;
mod calls;
mod diff;
mod fields;
mod images;
mod instant;
mod message;
mod outcome;
mod plan;
mod read;
mod recover;
mod send;
mod session;
mod settings;
mod settle;
mod source;
mod start;
mod tally;
mod target;
mod text;
mod torn;
mod verdict;
mod verify;
mod workspace;

use std::collections::HashMap;
use std::path::PathBuf;

pub use outcome::{Counts, Disposition, FileKind, FileOutcome, Totals};
pub use verdict::{Difference, FileVerdict, Verdict, VerifyTotals};
pub use verify::verify;

use crate::client::{Client, ClientError};
use crate::model::SessionId;
use plan::{Plan, PlannedFile, Projects};
use target::Target;

/// Why an import or its verification ended early. What was stored until then stays.
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
    /// The daemon did not tell what it knows; no file was read.
    #[error("the daemon does not tell what it has: {0}")]
    NotBegun(ClientError),
}

/// What is told while files are gone through.
#[derive(Debug)]
pub enum Progress<'a, T> {
    /// How many files there are; told once, first.
    Found(usize),
    /// What became of the next file.
    Done(&'a T),
}

/// What to import.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Homes, folders or files.
    pub paths: Vec<PathBuf>,
    /// Whether only to tell what would become of each, without writing.
    pub dry_run: bool,
}

/// Imports homes, folders or files, and tells of each file as soon as it is done.
///
/// Fails only where the daemon does; what is wrong with a file is in its outcome. Not cancel safe:
/// after a dropped call, connect anew and run it again.
pub async fn import(
    client: &mut Client,
    options: &ImportOptions,
    progress: &mut dyn FnMut(Progress<'_, FileOutcome>),
) -> Result<Totals, ImportError> {
    let projects = Projects::list(client).await.map_err(ImportError::NotBegun)?;
    let sources = plan::sources(&options.paths, &projects);
    progress(Progress::Found(sources.len()));
    let mut target = Target::open(client, options.dry_run).await.map_err(ImportError::NotBegun)?;
    let mut totals = Totals::default();
    let mut sessions: HashMap<SessionId, String> = HashMap::new();
    let mut files = plan::start(sources, projects);
    let mut next = None;
    while let Some(batch) = next_batch(&mut files, &mut next, options.dry_run).await {
        let path = batch[0].outcome.path.clone();
        let outcomes = import_batch(&mut target, batch, &mut sessions)
            .await
            .map_err(|source| ImportError::Stopped { path, source })?;
        for outcome in &outcomes {
            progress(Progress::Done(outcome));
            totals.add(outcome);
        }
    }
    Ok(totals)
}

/// Returns the files that are dealt with at once: those that are ready, of sessions that have nothing
/// in common, or a single one.
async fn next_batch(
    files: &mut plan::Files,
    next: &mut Option<PlannedFile>,
    is_dry: bool,
) -> Option<Vec<PlannedFile>> {
    let first = match next.take() {
        Some(file) => file,
        None => files.recv().await?,
    };
    let mut ids = batch::Ids::default();
    let is_session = ids.add(&first);
    let mut batch = vec![first];
    while is_session && !is_dry && batch.len() < batch::FILES {
        let Some(file) = files.try_recv() else { break };
        if !ids.add(&file) {
            *next = Some(file);
            break;
        }
        batch.push(file);
    }
    Some(batch)
}

async fn import_batch(
    target: &mut Target<'_>,
    files: Vec<PlannedFile>,
    sessions: &mut HashMap<SessionId, String>,
) -> Result<Vec<FileOutcome>, ClientError> {
    let is_batch = files.len() > 1;
    let mut batch = Vec::with_capacity(files.len());
    let mut settings = None;
    let mut held = Vec::with_capacity(files.len());
    for PlannedFile { mut outcome, plan, share } in files {
        held.push(share);
        let plan = match plan {
            Plan::Nothing => None,
            Plan::Settings { entries, project_id } => {
                settings = Some((entries, project_id));
                None
            }
            Plan::Session(plan) => {
                if let Some(other) = sessions.get(&plan.id) {
                    outcome.notes.push(format!("the session is also in {}", outcome::shown(other)));
                } else {
                    sessions.insert(plan.id.clone(), outcome.path.clone());
                }
                Some(*plan)
            }
        };
        batch.push((outcome, plan));
    }
    if is_batch {
        batch::store_new(target, &mut batch).await?;
    }
    let mut outcomes = Vec::with_capacity(batch.len());
    for (mut outcome, plan) in batch {
        if let Some((entries, project_id)) = settings.take() {
            settings::send(target, entries, project_id.as_ref(), &mut outcome).await?;
        }
        if let Some(plan) = plan {
            send::session(target, plan, &mut outcome).await?;
        }
        outcome.conclude();
        outcomes.push(outcome);
    }
    Ok(outcomes)
}
