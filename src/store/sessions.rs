//! Sessions: a small row each, rewritten by every append; the long texts lie apart.
//!
//! Which messages the history hides is in that row too: clearing a session rewrites no message.

use super::engine::Row;
use super::hidden::Hidden;
pub use super::session_list::list;
use super::{ReadTx, WriteTx, edits, first_sent, patch, projects};
use crate::api::session::{ClearParams, StartParams, UpdateParams};
use crate::error::{Error, Result};
use crate::model::{JsonObject, Millis, ProjectId, Session, SessionId, Topic, time};

const BY_ID: &str =
    "SELECT s.id, s.project_id, s.kind, s.title, s.description, s.model, s.parent_id,
        s.next_index, s.hidden_count, s.first_message_at, s.last_message_at,
        s.created_at, s.updated_at, s.deleted_at, t.system_prompt, t.metadata, t.first_sent
    FROM agent_sessions s LEFT JOIN agent_session_texts t ON t.session_id = s.id
    WHERE s.id = ?1";

const HEAD: &str = "SELECT project_id, next_index, hidden_ranges, cleared_index, first_message_at,
        last_message_at, created_at, activity_at, deleted_at
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
    SET project_id = ?2, title = ?3, description = ?4, model = ?5, updated_at = ?6 WHERE id = ?1";

const APPENDED: &str = "UPDATE agent_sessions
    SET next_index = ?2, first_message_at = ?3, last_message_at = ?4, activity_at = ?5 WHERE id = ?1";

/// The same where the session keeps its place in the lists: the indexes are not touched.
const APPENDED_IN_PLACE: &str = "UPDATE agent_sessions
    SET next_index = ?2, first_message_at = ?3, last_message_at = ?4 WHERE id = ?1";

const CLEAR: &str = "UPDATE agent_sessions
    SET hidden_count = ?2, hidden_ranges = ?3, cleared_index = ?4, updated_at = ?5 WHERE id = ?1";

const DELETE: &str = "UPDATE agent_sessions SET deleted_at = ?2 WHERE id = ?1";

/// What an append and a reader of history need to know of a session.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) project_id: Option<ProjectId>,
    pub(super) next_index: i64,
    pub(super) hidden: Hidden,
    /// The next index at the last clear.
    pub(super) cleared_index: Option<i64>,
    pub(super) first_message_at: Option<Millis>,
    pub(super) last_message_at: Option<Millis>,
    pub(super) created_at: Millis,
    pub(super) activity_at: Millis,
}

/// Starts a session, or returns the one that the same call started before.
pub fn start(tx: &mut WriteTx<'_>, params: &StartParams) -> Result<Session> {
    if let Some(id) = &params.id
        && let Some(found) = find(tx, id)?
    {
        return match difference(&found, params) {
            _ if found.is_in_trash => Err(Error::conflict("session", id, "exists in the trash")),
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
    let now = time::now();
    let session = Session {
        id: params.id.clone().unwrap_or_else(SessionId::generate),
        project_id: params.project_id.clone(),
        kind: params.kind.clone(),
        title: params.title.clone(),
        description: params.description.clone(),
        model: params.model.clone(),
        system_prompt: params.system_prompt.clone(),
        parent_id: params.parent_id.clone(),
        metadata: params.metadata.clone(),
        message_count: 0,
        next_index: 0,
        first_message_at: None,
        last_message_at: None,
        created_at: params.created_at.unwrap_or(now),
        updated_at: now,
    };
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
    )?;
    if session.system_prompt.is_some() || session.metadata.is_some() {
        set_texts(tx, &session, None)?;
    }
    changed(tx, Topic::SessionStarted, &session)?;
    Ok(session)
}

/// Returns what is wrong with a retried start; `None` where it says what was first sent.
fn difference(found: &Found, params: &StartParams) -> Option<String> {
    let stored = &found.session;
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
    let of_row = [
        patch::set(&mut session.project_id, params.project_id.as_ref()),
        patch::set(&mut session.title, params.title.as_ref()),
        patch::set(&mut session.description, params.description.as_ref()),
        patch::set(&mut session.model, params.model.as_ref()),
    ];
    let of_texts = [
        patch::set(&mut session.system_prompt, params.system_prompt.as_ref()),
        patch::metadata(&mut session.metadata, params.metadata.as_ref())?,
    ];
    let texts_change = of_texts.contains(&true);
    if !texts_change && !of_row.contains(&true) {
        return Ok(session);
    }
    session.updated_at = time::now();
    tx.execute_one(
        UPDATE,
        &[
            session.id.as_str().into(),
            session.project_id.as_ref().map(ProjectId::as_str).into(),
            session.title.as_deref().into(),
            session.description.as_deref().into(),
            session.model.as_deref().into(),
            session.updated_at.into(),
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

/// Hides all messages that the history shows but the first ones.
pub fn clear(tx: &mut WriteTx<'_>, params: &ClearParams) -> Result<Session> {
    let head = head(tx, &params.id)?;
    if let Some(expected) = params.expected_next_index
        && expected != head.next_index
    {
        // A retry: the last clear was at that index, and this one there would hide nothing more.
        if head.cleared_index == Some(expected)
            && hidden_by_clear(&head.hidden, params.keep_first, expected) == head.hidden
        {
            return get(tx, &params.id);
        }
        return Err(Error::PreconditionFailed {
            what: "the next index of the session",
            expected,
            actual: head.next_index,
        });
    }
    let hidden = hidden_by_clear(&head.hidden, params.keep_first, head.next_index);
    tx.execute_one(
        CLEAR,
        &[
            params.id.as_str().into(),
            hidden.count().into(),
            hidden.to_text().as_ref().into(),
            head.next_index.into(),
            time::now().into(),
        ],
    )?;
    let session = get(tx, &params.id)?;
    changed(tx, Topic::SessionCleared, &session)?;
    Ok(session)
}

/// Returns what is hidden once a session with this next index was cleared.
fn hidden_by_clear(hidden: &Hidden, keep_first: u32, next_index: i64) -> Hidden {
    let mut hidden = hidden.clone();
    hidden.hide(hidden.behind_first(keep_first.into(), next_index), next_index);
    hidden
}

/// Moves a session to the trash, and returns whether it was outside until now.
pub fn delete(tx: &mut WriteTx<'_>, id: &SessionId) -> Result<bool> {
    match find(tx, id)? {
        None => Err(Error::not_found("session", id)),
        Some(found) if found.is_in_trash => Ok(false),
        Some(found) => {
            tx.execute_one(DELETE, &[id.as_str().into(), time::now().into()])?;
            changed(tx, Topic::SessionDeleted, &found.session)?;
            Ok(true)
        }
    }
}

fn changed(tx: &mut WriteTx<'_>, topic: Topic, session: &Session) -> Result<()> {
    let project_id = session.project_id.as_ref().map(ProjectId::as_str);
    tx.changed(topic, session.id.as_str(), Some(session.id.as_str()), project_id)
}

/// Returns what an append needs to know of a session outside the trash.
pub(super) fn head(tx: &mut ReadTx<'_>, id: &SessionId) -> Result<Head> {
    let found = tx.first(HEAD, &[id.as_str().into()], |row| {
        let head = Head {
            project_id: project_id(row)?,
            next_index: row.int()?,
            hidden: Hidden::parse(row.optional_text()?.as_deref())?,
            cleared_index: row.optional_int()?,
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

fn set_texts(tx: &mut WriteTx<'_>, session: &Session, first_sent: Option<&String>) -> Result<()> {
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
struct Found {
    session: Session,
    /// The fingerprint of what was first sent, where it was patched since.
    first_sent: Option<String>,
    is_in_trash: bool,
}

fn live(tx: &mut ReadTx<'_>, id: &SessionId) -> Result<Found> {
    find(tx, id)?.filter(|found| !found.is_in_trash).ok_or_else(|| Error::not_found("session", id))
}

fn find(tx: &mut ReadTx<'_>, id: &SessionId) -> Result<Option<Found>> {
    tx.first(BY_ID, &[id.as_str().into()], |row| {
        let id = super::stored(SessionId::parse(row.text()?))?;
        let project_id = project_id(row)?;
        let (kind, title) = (row.text()?, row.optional_text()?);
        let (description, model) = (row.optional_text()?, row.optional_text()?);
        let parent_id = parent_id(row)?;
        let next_index = row.int()?;
        let hidden_count = row.int()?;
        let session = Session {
            id,
            project_id,
            kind,
            title,
            description,
            model,
            parent_id,
            message_count: next_index - hidden_count,
            next_index,
            first_message_at: row.optional_int()?,
            last_message_at: row.optional_int()?,
            created_at: row.int()?,
            updated_at: row.int()?,
            system_prompt: None,
            metadata: None,
        };
        let is_in_trash = row.optional_int()?.is_some();
        let (system_prompt, metadata) =
            (row.optional_text()?, super::stored_object(row.optional_text()?)?);
        let first_sent = row.optional_text()?;
        Ok(Found {
            session: Session { system_prompt, metadata, ..session },
            first_sent,
            is_in_trash,
        })
    })
}

pub(super) fn project_id(row: &mut Row) -> Result<Option<ProjectId>> {
    row.optional_text()?.map(|text| super::stored(ProjectId::parse(text))).transpose()
}

pub(super) fn parent_id(row: &mut Row) -> Result<Option<SessionId>> {
    row.optional_text()?.map(|text| super::stored(SessionId::parse(text))).transpose()
}
