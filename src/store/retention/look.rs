//! Which sessions are over a policy, why, and what they hold.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::api::retention::{Going, Policy, Preview, PreviewParams, ProjectSum, Reason, Step, Sum};
use crate::config::FeedPolicy;
use crate::error::{Error, Result};
use crate::model::limits::RETENTION_GRACE;
use crate::model::{Millis, ProjectId, SessionId};
use crate::store::ReadTx;
use crate::store::engine::Row;
use crate::store::sessions::project_id;
use crate::store::shelf::Shelf;

const ON_SHELF: &str = "SELECT id, project_id, activity_at, pinned_at, deleted_at
    FROM agent_sessions WHERE shelf = ?1";

const TITLE: &str = "SELECT title FROM agent_sessions WHERE id = ?1";

const MESSAGES: &str = "SELECT COUNT(*), COALESCE(SUM(OCTET_LENGTH(content)
        + COALESCE(OCTET_LENGTH(code_excerpt), 0) + COALESCE(OCTET_LENGTH(metadata), 0)), 0)
    FROM agent_messages WHERE session_id = ?1";

const EDITS: &str = "SELECT COUNT(*), COALESCE(SUM(OCTET_LENGTH(diff)), 0)
    FROM agent_edits WHERE session_id = ?1";

const TEXTS: &str = "SELECT COUNT(*), COALESCE(SUM(COALESCE(OCTET_LENGTH(system_prompt), 0)
        + COALESCE(OCTET_LENGTH(metadata), 0) + COALESCE(OCTET_LENGTH(summary), 0)), 0)
    FROM agent_session_texts WHERE session_id = ?1";

/// A cross join has the engines go through the messages, and look up the attachments of each.
const ATTACHMENTS: &str = "SELECT a.hash, a.size
    FROM agent_messages m CROSS JOIN message_attachments r CROSS JOIN attachments a
    WHERE m.session_id = ?1 AND m.attachments IS NOT NULL
        AND r.message_id = m.id AND a.hash = r.hash";

const PAGES: &str = "PRAGMA page_count";
const FREE_PAGES: &str = "PRAGMA freelist_count";
const PAGE_BYTES: &str = "PRAGMA page_size";

/// What a row takes beside its texts, about: its ids, and its entries of indexes.
const BYTES_OF_A_ROW: i64 = 256;

const DAY: Millis = FeedPolicy::DAY;

/// A session that is over the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The session.
    pub id: SessionId,
    /// Its project when it was looked at.
    pub project_id: Option<ProjectId>,
    /// Its last activity then.
    pub activity_at: Millis,
    /// When it was moved to the trash, if it was.
    pub deleted_at: Option<Millis>,
    /// About its bytes.
    pub bytes: i64,
    /// The limit it is over.
    pub why: Reason,
}

/// What a run is to do, in this order.
#[derive(Debug, Default)]
pub struct Plan {
    /// Sessions of the trash that are gone for good then, those longest there first.
    pub purge: Vec<Candidate>,
    /// Sessions that go to the trash, those longest without activity first.
    pub trash: Vec<Candidate>,
    /// Bytes in use, without what is in the trash where the policy limits them.
    pub used_bytes: i64,
}

/// A session as far as a policy asks.
struct Looked {
    id: SessionId,
    project_id: Option<ProjectId>,
    activity_at: Millis,
    is_pinned: bool,
    deleted_at: Option<Millis>,
}

impl Looked {
    fn is_kept(&self, policy: &Policy, now: Millis) -> bool {
        is_kept(policy, now, self.activity_at, self.is_pinned)
    }

    fn candidate(self, bytes: i64, why: Reason) -> Candidate {
        let Self { id, project_id, activity_at, deleted_at, .. } = self;
        Candidate { id, project_id, activity_at, deleted_at, bytes, why }
    }
}

/// True for a session that no limit touches.
pub(super) fn is_kept(policy: &Policy, now: Millis, activity_at: Millis, is_pinned: bool) -> bool {
    activity_at > now.saturating_sub(RETENTION_GRACE) || (policy.keep_pinned && is_pinned)
}

/// True for a time that lies further back than so many days.
pub(super) fn is_older(at: Millis, days: Option<u32>, now: Millis) -> bool {
    days.is_some_and(|days| at < now.saturating_sub(Millis::from(days) * DAY))
}

/// Returns what a policy has to go now.
pub fn plan(tx: &mut ReadTx<'_>, policy: &Policy, now: Millis) -> Result<Plan> {
    let mut used_bytes = used_bytes(tx)?;
    let mut purge = Vec::new();
    let mut in_trash = on_shelf(tx, Shelf::Trash)?;
    in_trash.sort_by(|a, b| (a.deleted_at, &a.id).cmp(&(b.deleted_at, &b.id)));
    for session in in_trash {
        let deleted_at = session.deleted_at.unwrap_or_default();
        let goes = is_older(deleted_at, policy.trash_days, now) && !session.is_kept(policy, now);
        if goes || policy.max_database_bytes.is_some() {
            let bytes = bytes_of(tx, &session.id)?;
            if policy.max_database_bytes.is_some() {
                used_bytes -= bytes;
            }
            if goes {
                purge.push(session.candidate(bytes, Reason::TrashDays));
            }
        }
    }
    if policy.max_database_bytes.is_some() {
        for session in on_shelf(tx, Shelf::Purging)? {
            used_bytes -= bytes_of(tx, &session.id)?;
        }
    }
    let trash = to_trash(tx, policy, now, used_bytes)?;
    Ok(Plan { purge, trash, used_bytes: used_bytes.max(0) })
}

/// Returns what goes to the trash, where so many bytes are in use without that.
fn to_trash(
    tx: &mut ReadTx<'_>,
    policy: &Policy,
    now: Millis,
    mut used_bytes: i64,
) -> Result<Vec<Candidate>> {
    let mut outside = on_shelf(tx, Shelf::Usual)?;
    outside.extend(on_shelf(tx, Shelf::Archive)?);
    outside.sort_by(|a, b| (a.activity_at, &a.id).cmp(&(b.activity_at, &b.id)));
    let over_count = over_count(policy, &outside);
    let mut going = Vec::new();
    let mut staying = Vec::new();
    for session in outside {
        if session.is_kept(policy, now) {
            continue;
        }
        let why = if is_older(session.activity_at, policy.max_age_days, now) {
            Reason::MaxAgeDays
        } else if over_count.contains(&session.id) {
            Reason::MaxSessionsPerProject
        } else {
            staying.push(session);
            continue;
        };
        let bytes = bytes_of(tx, &session.id)?;
        used_bytes -= bytes;
        going.push(session.candidate(bytes, why));
    }
    let Some(max_bytes) = policy.max_database_bytes else { return Ok(going) };
    for session in staying {
        if used_bytes <= max_bytes {
            break;
        }
        let bytes = bytes_of(tx, &session.id)?;
        used_bytes -= bytes;
        going.push(session.candidate(bytes, Reason::MaxDatabaseBytes));
    }
    going.sort_by(|a, b| (a.activity_at, &a.id).cmp(&(b.activity_at, &b.id)));
    Ok(going)
}

/// Returns the sessions whose project has so many that were active later, of those given from the one
/// longest without activity on.
fn over_count(policy: &Policy, outside: &[Looked]) -> BTreeSet<SessionId> {
    let Some(max) = policy.max_sessions_per_project else { return BTreeSet::new() };
    let mut later: BTreeMap<Option<&ProjectId>, u32> = BTreeMap::new();
    let mut over = BTreeSet::new();
    for session in outside.iter().rev() {
        if policy.keep_pinned && session.is_pinned {
            continue;
        }
        let later = later.entry(session.project_id.as_ref()).or_default();
        if *later >= max {
            over.insert(session.id.clone());
        }
        *later += 1;
    }
    over
}

fn on_shelf(tx: &mut ReadTx<'_>, shelf: Shelf) -> Result<Vec<Looked>> {
    tx.all(ON_SHELF, &[shelf.number().into()], |row| {
        Ok(Looked {
            id: crate::store::stored(SessionId::parse(row.text()?))?,
            project_id: project_id(row)?,
            activity_at: row.int()?,
            is_pinned: row.optional_int()?.is_some(),
            deleted_at: row.optional_int()?,
        })
    })
}

/// Returns about how many bytes a session takes, with what is attached to it.
///
/// What several sessions have attached counts for each of them.
pub fn bytes_of(tx: &mut ReadTx<'_>, id: &SessionId) -> Result<i64> {
    let mut bytes = BYTES_OF_A_ROW;
    for sql in [MESSAGES, EDITS, TEXTS] {
        let (rows, texts) = tx
            .first(sql, &[id.as_str().into()], |row| Ok((row.int()?, row.int()?)))?
            .ok_or_else(|| Error::Internal("a count gave no row".to_owned()))?;
        bytes += rows * BYTES_OF_A_ROW + texts;
    }
    let mut seen = BTreeSet::new();
    let attached =
        tx.all(ATTACHMENTS, &[id.as_str().into()], |row| Ok((row.text()?, row.int()?)))?;
    for (hash, size) in attached {
        if seen.insert(hash) {
            bytes += size;
        }
    }
    Ok(bytes)
}

/// Returns how many bytes of the file are in use.
pub fn used_bytes(tx: &mut ReadTx<'_>) -> Result<i64> {
    let [pages, free, size] = page_counts(tx)?;
    Ok((pages - free) * size)
}

/// Returns how many pages the file has, how many of them are free, and the bytes of one.
pub(in crate::store) fn page_counts(tx: &mut ReadTx<'_>) -> Result<[i64; 3]> {
    Ok([tx.pragma(PAGES)?, tx.pragma(FREE_PAGES)?, tx.pragma(PAGE_BYTES)?])
}

/// Tells what a run would do.
pub fn preview(
    tx: &mut ReadTx<'_>,
    params: &PreviewParams,
    policy: Option<Policy>,
    now: Millis,
) -> Result<Preview> {
    let plan = match &policy {
        Some(policy) => plan(tx, policy, now)?,
        None => Plan { used_bytes: used_bytes(tx)?, ..Plan::default() },
    };
    let mut total = Sum::default();
    let mut by_project: BTreeMap<Option<ProjectId>, Sum> = BTreeMap::new();
    let purge = plan.purge.iter().map(|candidate| (Step::Purge, candidate));
    let trash = plan.trash.iter().map(|candidate| (Step::Trash, candidate));
    let all: Vec<(Step, &Candidate)> = purge.chain(trash).collect();
    for (step, candidate) in &all {
        let of_project = by_project.entry(candidate.project_id.clone()).or_default();
        for sum in [&mut total, of_project] {
            let (count, bytes) = match step {
                Step::Purge => (&mut sum.purged, &mut sum.purged_bytes),
                Step::Trash => (&mut sum.moved, &mut sum.moved_bytes),
            };
            *count += 1;
            *bytes += candidate.bytes;
        }
    }
    let mut projects: Vec<ProjectSum> = by_project
        .into_iter()
        .map(|(project_id, total)| ProjectSum { project_id, total })
        .collect();
    projects.sort_by_key(|project| {
        Reverse(project.total.moved_bytes.saturating_add(project.total.purged_bytes))
    });
    let limit = params.limit as usize;
    let has_more = all.len() > limit || projects.len() > limit;
    projects.truncate(limit);
    let mut sessions = Vec::new();
    for (step, candidate) in all.into_iter().take(limit) {
        sessions.push(Going {
            id: candidate.id.clone(),
            title: tx.first(TITLE, &[candidate.id.as_str().into()], Row::optional_text)?.flatten(),
            project_id: candidate.project_id.clone(),
            activity_at: candidate.activity_at,
            bytes: candidate.bytes,
            step,
            why: candidate.why,
        });
    }
    Ok(Preview { policy, used_bytes: plan.used_bytes, total, projects, sessions, has_more })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{engine, migrations};

    #[test]
    fn every_statement_searches_its_index_on_both_engines() {
        migrations::on_each_engine(|kind, connection| {
            for sql in [ON_SHELF, TITLE, MESSAGES, EDITS, TEXTS, ATTACHMENTS] {
                let plan = engine::query_plan(connection, sql);
                let searches = plan.iter().all(|step| step.starts_with("SEARCH "));
                assert!(searches && !plan.is_empty(), "{kind:?}: {sql}: {plan:?}");
            }
        });
    }

    #[test]
    fn a_day_is_over_one_millisecond_later() {
        for (at, is_over) in [(-1, true), (0, false), (1, false)] {
            assert_eq!(is_older(at, Some(2), 2 * DAY), is_over, "{at}");
        }
        assert!(!is_older(i64::MIN, None, i64::MAX));
        assert!(is_older(0, Some(36_500), i64::MAX));
        assert!(!is_older(i64::MIN, Some(36_500), i64::MIN), "the clock is far behind");
    }
}
