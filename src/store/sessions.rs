//! Sessions: a small row each, rewritten by every append; the long texts lie apart.
//!
//! Which messages the history hides is in that row too: clearing or compacting a session rewrites no
//! message.

use super::engine::Row;
use super::hidden::Hidden;
use super::shelf::Shelf;
use super::{ReadTx, WriteTx, edits, first_sent, patch, projects};
use crate::api::session::{StartParams, UpdateParams};
use crate::error::{Error, Result};
use crate::model::{JsonObject, Millis, ProjectId, Session, SessionId, Topic, time};

const BY_ID: &str =
    "SELECT s.id, s.project_id, s.kind, s.title, s.description, s.model, s.parent_id,
        s.forked_at_index, s.next_index, s.hidden_count, s.compacted_count, s.first_message_at,
        s.last_message_at, s.created_at, s.updated_at, s.archived_at, s.pinned_at, s.shelf,
        t.system_prompt, t.metadata, t.first_sent
    FROM agent_sessions s LEFT JOIN agent_session_texts t ON t.session_id = s.id
    WHERE s.id = ?1";

const HEAD: &str = "SELECT project_id, next_index, hidden_ranges, cleared_index, compacted_ranges,
        compacted_index, summary_through, summary_at, first_message_at, last_message_at, created_at,
        activity_at, deleted_at
    FROM agent_sessions WHERE id = ?1";

const INSERT: &str = "INSERT INTO agent_sessions
        (id, project_id, kind, title, description, model, parent_id, created_at, updated_at, activity_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?8)";

const SET_TEXTS: &str =
    "INSERT INTO agent_session_texts (session_id, system_prompt, metadata, first_sent)
    VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (session_id) DO UPDATE SET system_prompt = excluded.system_prompt,
        metadata = excluded.metadata, first_sent = excluded.first_sent";

const UPDATE: &str = "UPDATE agent_sessions
    SET project_id = ?2, title = ?3, description = ?4, model = ?5, updated_at = ?6,
        archived_at = ?7, shelf = ?8, pinned_at = ?9 WHERE id = ?1";

const APPENDED: &str = "UPDATE agent_sessions
    SET next_index = ?2, first_message_at = ?3, last_message_at = ?4, activity_at = ?5 WHERE id = ?1";

/// The same where the session keeps its place in the lists: the indexes are not touched.
const APPENDED_IN_PLACE: &str = "UPDATE agent_sessions
    SET next_index = ?2, first_message_at = ?3, last_message_at = ?4 WHERE id = ?1";

/// What an append and a reader of history need to know of a session.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) project_id: Option<ProjectId>,
    pub(super) next_index: i64,
    /// What no history shows.
    pub(super) cleared: Hidden,
    /// The next index at the last clear.
    pub(super) cleared_index: Option<i64>,
    /// What the history shows only with all that is compacted; nothing of it is cleared too.
    pub(super) compacted: Hidden,
    /// The next index at the last compaction.
    pub(super) compacted_index: Option<i64>,
    /// Where there is a summary: the last index that it stands for, and its time.
    pub(super) summary: Option<(i64, Millis)>,
    pub(super) first_message_at: Option<Millis>,
    pub(super) last_message_at: Option<Millis>,
    pub(super) created_at: Millis,
    pub(super) activity_at: Millis,
}

impl Head {
    /// Returns what the history leaves out.
    pub(super) fn left_out(&self, include_compacted: bool) -> Hidden {
        let mut left_out = self.cleared.clone();
        if !include_compacted {
            left_out.hide_all(&self.compacted);
        }
        left_out
    }
}

/// Starts a session, or returns the one that the same call started before.
pub fn start(tx: &mut WriteTx<'_>, params: &StartParams) -> Result<Session> {
    if let Some(id) = &params.id
        && let Some(found) = find(tx, id)?
    {
        found.shelf.refuse_taken(id)?;
        return match difference(&found, params) {
            Some(problem) => Err(Error::conflict("session", id, problem)),
            None => Ok(found.session),
        };
    }
    if let Some(project_id) = &params.project_id {
        projects::require(tx, project_id)?;
    }
    if let Some(parent_id) = &params.parent_id {
        head(tx, parent_id)?;
    }
    let session = params.session(time::now());
    insert(tx, &session)?;
    if session.system_prompt.is_some() || session.metadata.is_some() {
        set_texts(tx, &session, None)?;
    }
    changed(tx, Topic::SessionStarted, &session)?;
    Ok(session)
}

/// Stores the row of a session without messages.
pub(super) fn insert(tx: &mut WriteTx<'_>, session: &Session) -> Result<()> {
    tx.execute_one(
        INSERT,
        &[
            session.id.as_str().into(),
            session.project_id.as_ref().map(ProjectId::as_str).into(),
            (&session.kind).into(),
            session.title.as_deref().into(),
            session.description.as_deref().into(),
            session.model.as_deref().into(),
            session.parent_id.as_ref().map(SessionId::as_str).into(),
            session.created_at.into(),
            session.updated_at.into(),
        ],
    )
}

/// Returns what is wrong with a retried start; `None` where it says what was first sent.
fn difference(found: &Found, params: &StartParams) -> Option<String> {
    let stored = &found.session;
    if stored.forked_at_index.is_some() {
        return Some("exists as a fork".to_owned());
    }
    if params.created_at.is_some_and(|created_at| stored.created_at != created_at) {
        return Some("exists with another created_at".to_owned());
    }
    let sent = [
        ("project_id", params.project_id.as_ref().map(ProjectId::as_str)),
        ("kind", Some(params.kind.as_str())),
        ("title", params.title.as_deref()),
        ("description", params.description.as_deref()),
        ("model", params.model.as_deref()),
        ("system_prompt", params.system_prompt.as_deref()),
        ("parent_id", params.parent_id.as_ref().map(SessionId::as_str)),
        ("metadata", params.metadata.as_ref().map(JsonObject::as_str)),
    ];
    first_sent::difference("session", &fields(stored), &sent, found.first_sent.as_deref())
}

/// Returns a session's fields as a start sends them.
fn fields(session: &Session) -> first_sent::Fields<'_, 8> {
    [
        ("project_id", session.project_id.as_ref().map(ProjectId::as_str)),
        ("kind", Some(session.kind.as_str())),
        ("title", session.title.as_deref()),
        ("description", session.description.as_deref()),
        ("model", session.model.as_deref()),
        ("system_prompt", session.system_prompt.as_deref()),
        ("parent_id", session.parent_id.as_ref().map(SessionId::as_str)),
        ("metadata", session.metadata.as_ref().map(JsonObject::as_str)),
    ]
}

/// Returns one session.
pub fn get(tx: &mut ReadTx<'_>, id: &SessionId) -> Result<Session> {
    live(tx, id).map(|found| found.session)
}

/// Changes a session's own fields.
pub fn update(tx: &mut WriteTx<'_>, params: &UpdateParams) -> Result<Session> {
    let Found { mut session, first_sent, .. } = live(tx, &params.id)?;
    let former_project = session.project_id.clone();
    if let Some(Some(project_id)) = &params.project_id {
        projects::require(tx, project_id)?;
    }
    let is_first_patch = first_sent.is_none();
    let first_sent =
        first_sent.unwrap_or_else(|| first_sent::fingerprint("session", &fields(&session)));
    let now = time::now();
    // One that is archived or pinned already stays so since then.
    let archived_at =
        params.archived.map(|archived| archived.then(|| session.archived_at.unwrap_or(now)));
    let pinned_at = params.pinned.map(|pinned| pinned.then(|| session.pinned_at.unwrap_or(now)));
    let of_row = [
        patch::set(&mut session.project_id, params.project_id.as_ref()),
        patch::set(&mut session.title, params.title.as_ref()),
        patch::set(&mut session.description, params.description.as_ref()),
        patch::set(&mut session.model, params.model.as_ref()),
        patch::set(&mut session.archived_at, archived_at.as_ref()),
        patch::set(&mut session.pinned_at, pinned_at.as_ref()),
    ];
    let of_texts = [
        patch::set(&mut session.system_prompt, params.system_prompt.as_ref()),
        patch::metadata(&mut session.metadata, params.metadata.as_ref())?,
    ];
    let texts_change = of_texts.contains(&true);
    if !texts_change && !of_row.contains(&true) {
        return Ok(session);
    }
    session.updated_at = now;
    tx.execute_one(
        UPDATE,
        &[
            session.id.as_str().into(),
            session.project_id.as_ref().map(ProjectId::as_str).into(),
            session.title.as_deref().into(),
            session.description.as_deref().into(),
            session.model.as_deref().into(),
            session.updated_at.into(),
            session.archived_at.into(),
            Shelf::outside_trash(session.archived_at).number().into(),
            session.pinned_at.into(),
        ],
    )?;
    if of_row[0] {
        if let Some(former) = &former_project {
            let id = session.id.as_str();
            tx.changed(Topic::SessionMoved, id, Some(id), Some(former.as_str()))?;
        }
        edits::follow(tx, &session.id, session.project_id.as_ref())?;
    }
    if is_first_patch || texts_change {
        set_texts(tx, &session, Some(&first_sent))?;
    }
    changed(tx, Topic::SessionUpdated, &session)?;
    Ok(session)
}

pub(super) fn changed(tx: &mut WriteTx<'_>, topic: Topic, session: &Session) -> Result<()> {
    let project_id = session.project_id.as_ref().map(ProjectId::as_str);
    tx.changed(topic, session.id.as_str(), Some(session.id.as_str()), project_id)
}

/// Returns what an append needs to know of a session outside the trash.
pub(super) fn head(tx: &mut ReadTx<'_>, id: &SessionId) -> Result<Head> {
    let found = tx.first(HEAD, &[id.as_str().into()], |row| {
        let head = Head {
            project_id: project_id(row)?,
            next_index: row.int()?,
            cleared: Hidden::parse(row.optional_text()?.as_deref())?,
            cleared_index: row.optional_int()?,
            compacted: Hidden::parse(row.optional_text()?.as_deref())?,
            compacted_index: row.optional_int()?,
            summary: row.optional_int()?.zip(row.optional_int()?),
            first_message_at: row.optional_int()?,
            last_message_at: row.optional_int()?,
            created_at: row.int()?,
            activity_at: row.int()?,
        };
        Ok((head, row.optional_int()?))
    })?;
    match found {
        Some((head, None)) => Ok(head),
        _ => Err(Error::not_found("session", id)),
    }
}

/// Records that messages were appended.
pub(super) fn record_appended(tx: &mut WriteTx<'_>, id: &SessionId, head: &Head) -> Result<()> {
    let activity_at =
        head.last_message_at.map_or(head.created_at, |last| last.max(head.created_at));
    let mut values = vec![
        id.as_str().into(),
        head.next_index.into(),
        head.first_message_at.into(),
        head.last_message_at.into(),
    ];
    if activity_at == head.activity_at {
        return tx.execute_one(APPENDED_IN_PLACE, &values);
    }
    values.push(activity_at.into());
    tx.execute_one(APPENDED, &values)
}

/// Stores a session's long texts but for its summary, which stays.
pub(super) fn set_texts(
    tx: &mut WriteTx<'_>,
    session: &Session,
    first_sent: Option<&String>,
) -> Result<()> {
    tx.execute(
        SET_TEXTS,
        &[
            session.id.as_str().into(),
            session.system_prompt.as_deref().into(),
            session.metadata.as_ref().map(JsonObject::as_str).into(),
            first_sent.into(),
        ],
    )
    .map(|_| ())
}

/// A stored session and what is kept beside it.
pub(super) struct Found {
    pub(super) session: Session,
    /// The fingerprint of what was first sent, where it was patched since; of a fork always.
    pub(super) first_sent: Option<String>,
    pub(super) shelf: Shelf,
}

fn live(tx: &mut ReadTx<'_>, id: &SessionId) -> Result<Found> {
    find(tx, id)?
        .filter(|found| found.shelf.is_outside_trash())
        .ok_or_else(|| Error::not_found("session", id))
}

pub(super) fn find(tx: &mut ReadTx<'_>, id: &SessionId) -> Result<Option<Found>> {
    tx.first(BY_ID, &[id.as_str().into()], |row| {
        let id = super::stored(SessionId::parse(row.text()?))?;
        let project_id = project_id(row)?;
        let (kind, title) = (row.text()?, row.optional_text()?);
        let (description, model) = (row.optional_text()?, row.optional_text()?);
        let parent_id = parent_id(row)?;
        let forked_at_index = row.optional_int()?;
        let (next_index, hidden_count, compacted_count) = (row.int()?, row.int()?, row.int()?);
        let session = Session {
            id,
            project_id,
            kind,
            title,
            description,
            model,
            parent_id,
            forked_at_index,
            message_count: next_index - hidden_count - compacted_count,
            compacted_count,
            next_index,
            first_message_at: row.optional_int()?,
            last_message_at: row.optional_int()?,
            created_at: row.int()?,
            updated_at: row.int()?,
            archived_at: row.optional_int()?,
            pinned_at: row.optional_int()?,
            system_prompt: None,
            metadata: None,
        };
        let shelf = Shelf::of(row.int()?)?;
        let (system_prompt, metadata) =
            (row.optional_text()?, super::stored_object(row.optional_text()?)?);
        let first_sent = row.optional_text()?;
        Ok(Found { session: Session { system_prompt, metadata, ..session }, first_sent, shelf })
    })
}

pub(super) fn project_id(row: &mut Row) -> Result<Option<ProjectId>> {
    row.optional_text()?.map(|text| super::stored(ProjectId::parse(text))).transpose()
}

pub(super) fn parent_id(row: &mut Row) -> Result<Option<SessionId>> {
    row.optional_text()?.map(|text| super::stored(SessionId::parse(text))).transpose()
}
