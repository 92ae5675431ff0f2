//! The writes of a retention run: each looks again whether its sessions are still over the policy.

use std::collections::HashMap;

use super::look::{Candidate, is_kept, is_older};
use crate::api::retention::{Policy, Reason};
use crate::error::Result;
use crate::model::{Millis, ProjectId, Topic};
use crate::store::sessions::project_id;
use crate::store::shelf::Shelf;
use crate::store::{ReadTx, WriteTx, edits, trash};

const NOW: &str = "SELECT project_id, activity_at, pinned_at, deleted_at, shelf
    FROM agent_sessions WHERE id = ?1";

/// The sessions of a project on a shelf that were active later than one, those pinned not counted
/// where ?5 is 1.
macro_rules! later {
    ($project:literal) => {
        concat!(
            "SELECT COUNT(*) FROM agent_sessions WHERE shelf = ?1 AND ",
            $project,
            " AND (activity_at > ?3 OR (activity_at = ?3 AND id > ?4))
                AND (?5 = 0 OR pinned_at IS NULL)",
        )
    };
}

const LATER_OF_PROJECT: &str = later!("project_id = ?2");
/// With all the parameters of the other one, so that both are given the same.
const LATER_OF_NO_PROJECT: &str = later!("project_id IS NULL AND ?2 IS NULL");

/// What one write of a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Batch {
    /// Sessions that went.
    pub gone: i64,
    /// About their bytes.
    pub bytes: i64,
    /// Sessions that stay after all.
    pub skipped: i64,
    /// True where another policy is set meanwhile: the run is over.
    pub is_overtaken: bool,
}

/// A session as it is now.
struct State {
    project_id: Option<ProjectId>,
    activity_at: Millis,
    is_pinned: bool,
    deleted_at: Option<Millis>,
    shelf: Shelf,
}

/// Moves sessions to the trash that are still over the policy.
pub fn move_batch(
    tx: &mut WriteTx<'_>,
    policy: &Policy,
    now: Millis,
    candidates: &[Candidate],
) -> Result<Batch> {
    let over = over_count(tx, policy, candidates)?;
    each(tx, policy, candidates, |tx, candidate, state| {
        let goes = state.shelf.is_outside_trash()
            && is_unchanged(policy, now, candidate, state)
            && is_still_over(tx, policy, now, candidate, state, &over)?;
        if goes {
            trash::move_to(tx, &candidate.id, Some(now), Shelf::Trash)?;
            tell(tx, Topic::SessionDeleted, candidate)?;
        }
        Ok(goes)
    })
}

/// Takes sessions of the trash off every list that are still over the policy; the writer erases them
/// between other writes.
pub fn purge_batch(
    tx: &mut WriteTx<'_>,
    policy: &Policy,
    now: Millis,
    candidates: &[Candidate],
) -> Result<Batch> {
    each(tx, policy, candidates, |tx, candidate, state| {
        let goes = state.shelf == Shelf::Trash
            && state.deleted_at == candidate.deleted_at
            && is_unchanged(policy, now, candidate, state);
        if goes {
            trash::move_to(tx, &candidate.id, candidate.deleted_at, Shelf::Purging)?;
            edits::retire(tx, &candidate.id)?;
            tell(tx, Topic::SessionPurged, candidate)?;
            tx.leave_purging();
        }
        Ok(goes)
    })
}

/// Has each session go that still is to, unless another policy is set meanwhile.
fn each(
    tx: &mut WriteTx<'_>,
    policy: &Policy,
    candidates: &[Candidate],
    mut go: impl FnMut(&mut WriteTx<'_>, &Candidate, &State) -> Result<bool>,
) -> Result<Batch> {
    let mut batch = Batch::default();
    if super::policy(tx)?.as_ref() != Some(policy) {
        return Ok(Batch { is_overtaken: true, ..batch });
    }
    for candidate in candidates {
        let goes = match state(tx, candidate)? {
            Some(state) => go(tx, candidate, &state)?,
            None => false,
        };
        if goes {
            batch.gone += 1;
            batch.bytes += candidate.bytes;
        } else {
            batch.skipped += 1;
        }
    }
    Ok(batch)
}

fn state(tx: &mut ReadTx<'_>, candidate: &Candidate) -> Result<Option<State>> {
    tx.first(NOW, &[candidate.id.as_str().into()], |row| {
        Ok(State {
            project_id: project_id(row)?,
            activity_at: row.int()?,
            is_pinned: row.optional_int()?.is_some(),
            deleted_at: row.optional_int()?,
            shelf: Shelf::of(row.int()?)?,
        })
    })
}

/// True where nothing happened to a session since it was looked at that lets it stay.
fn is_unchanged(policy: &Policy, now: Millis, candidate: &Candidate, state: &State) -> bool {
    state.activity_at == candidate.activity_at
        && state.project_id == candidate.project_id
        && !is_kept(policy, now, state.activity_at, state.is_pinned)
}

/// True where the limit that a session was over still is one it is over.
///
/// How much the database holds is not counted again: what other writes added or erased meanwhile
/// is for the next run.
fn is_still_over(
    tx: &mut ReadTx<'_>,
    policy: &Policy,
    now: Millis,
    candidate: &Candidate,
    state: &State,
    over: &OverCount<'_>,
) -> Result<bool> {
    match candidate.why {
        Reason::TrashDays => Ok(false),
        Reason::MaxDatabaseBytes => Ok(true),
        Reason::MaxAgeDays => Ok(is_older(state.activity_at, policy.max_age_days, now)),
        Reason::MaxSessionsPerProject => {
            let known = over.get(&candidate.project_id.as_ref().map(ProjectId::as_str));
            let is_known = known.is_some_and(|known| position(candidate) <= position(known));
            Ok(is_known || is_over_count(tx, policy, candidate)?)
        }
    }
}

/// By project, a session for which it was counted that enough of the project were active later: that holds
/// for what was active before it too, whatever of that goes.
type OverCount<'a> = HashMap<Option<&'a str>, &'a Candidate>;

/// Counts once for each project, for the last of its sessions, since a count reads the others.
fn over_count<'a>(
    tx: &mut ReadTx<'_>,
    policy: &Policy,
    candidates: &'a [Candidate],
) -> Result<OverCount<'a>> {
    let mut last = OverCount::new();
    for candidate in candidates.iter().filter(|one| one.why == Reason::MaxSessionsPerProject) {
        let project = candidate.project_id.as_ref().map(ProjectId::as_str);
        let known = last.entry(project).or_insert(candidate);
        if position(candidate) > position(known) {
            *known = candidate;
        }
    }
    let mut over = OverCount::new();
    for (project, candidate) in last {
        if is_over_count(tx, policy, candidate)? {
            over.insert(project, candidate);
        }
    }
    Ok(over)
}

/// Where a session stands among those of its project.
fn position(candidate: &Candidate) -> (Millis, &str) {
    (candidate.activity_at, candidate.id.as_str())
}

/// True where as many sessions of a session's project were active later as a project may have.
fn is_over_count(tx: &mut ReadTx<'_>, policy: &Policy, candidate: &Candidate) -> Result<bool> {
    let max = policy.max_sessions_per_project.map_or(i64::MAX, i64::from);
    Ok(later(tx, policy, candidate)? >= max)
}

/// Returns how many sessions of a session's project were active later.
fn later(tx: &mut ReadTx<'_>, policy: &Policy, candidate: &Candidate) -> Result<i64> {
    let project = candidate.project_id.as_ref().map(ProjectId::as_str);
    let sql = if project.is_some() { LATER_OF_PROJECT } else { LATER_OF_NO_PROJECT };
    let mut later = 0;
    for shelf in [Shelf::Usual, Shelf::Archive] {
        let values = [
            shelf.number().into(),
            project.into(),
            candidate.activity_at.into(),
            candidate.id.as_str().into(),
            i64::from(policy.keep_pinned).into(),
        ];
        later += tx.first(sql, &values, |row| row.int())?.unwrap_or(0);
    }
    Ok(later)
}

fn tell(tx: &mut WriteTx<'_>, topic: Topic, candidate: &Candidate) -> Result<()> {
    let id = candidate.id.as_str();
    tx.changed(topic, id, Some(id), candidate.project_id.as_ref().map(ProjectId::as_str))
}
