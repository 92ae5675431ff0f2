//! Which sessions an export is of.

use std::collections::BTreeSet;

use crate::api::dump::Selected;
use crate::error::{Error, Result};
use crate::model::{ProjectId, SessionId};
use crate::store::engine::Row;
use crate::store::{ReadTx, projects};

/// A session that is not being purged.
const SESSION: &str = "SELECT project_id FROM agent_sessions WHERE id = ?1 AND shelf <> 3";

const OF_PROJECT: &str = "SELECT id FROM agent_sessions WHERE project_id = ?1 AND shelf <> 3
    ORDER BY created_at, id";

const OUTSIDE_TRASH_OF_PROJECT: &str =
    "SELECT id FROM agent_sessions WHERE project_id = ?1 AND shelf < 2 ORDER BY created_at, id";

const OUTSIDE_TRASH: &str = "SELECT id FROM agent_sessions WHERE shelf < 2 ORDER BY created_at, id";

/// The sessions that were asked for, those that were named first, and the projects they are of.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) sessions: Vec<String>,
    pub(super) projects: BTreeSet<String>,
}

impl Selection {
    /// Returns what was asked for; one that does not exist is an error. The trash is of a project where
    /// all is to be kept, not where a person is to read it.
    pub(super) fn resolve(
        tx: &mut ReadTx<'_>,
        selected: &Selected,
        with_trash: bool,
    ) -> Result<Self> {
        let mut selection = Self::default();
        let mut seen = BTreeSet::new();
        for id in &selected.session_ids {
            let project = tx.first(SESSION, &[id.as_str().into()], Row::optional_text)?;
            let project = project.ok_or_else(|| Error::not_found("session", id))?;
            selection.projects.extend(project);
            if seen.insert(id.as_str().to_owned()) {
                selection.sessions.push(id.as_str().to_owned());
            }
        }
        if let Some(id) = &selected.project_id {
            projects::require(tx, id)?;
            selection.projects.insert(id.as_str().to_owned());
            let sql = if with_trash { OF_PROJECT } else { OUTSIDE_TRASH_OF_PROJECT };
            let found = tx.all(sql, &[id.as_str().into()], Row::text)?;
            selection.sessions.extend(found.into_iter().filter(|id| seen.insert(id.clone())));
        }
        Ok(selection)
    }

    /// Returns all sessions outside the trash, the oldest first.
    pub(super) fn outside_trash(tx: &mut ReadTx<'_>) -> Result<Self> {
        Ok(Self { sessions: tx.all(OUTSIDE_TRASH, &[], Row::text)?, projects: BTreeSet::new() })
    }
}

/// Returns the id of a stored session.
pub(super) fn session_id(text: &str) -> Result<SessionId> {
    crate::store::stored(SessionId::parse(text))
}

/// Returns the id of a stored project.
pub(super) fn project_id(text: &str) -> Result<ProjectId> {
    crate::store::stored(ProjectId::parse(text))
}
