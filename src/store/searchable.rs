//! What can be searched: titles and shown messages of sessions outside the trash, as the index reads them.

use super::ReadTx;
use super::engine::Row;
use super::hidden::Hidden;
use super::sessions::project_id;
use crate::error::Result;
use crate::model::{MessageId, Millis, ProjectId, Role, SessionId};

macro_rules! session_columns {
    () => {
        "s.id, s.project_id, s.kind, s.title, s.created_at, s.next_index, s.hidden_ranges"
    };
}

macro_rules! message_columns {
    () => {
        "m.id, m.index_in_session, m.role, m.content, m.code_excerpt, m.created_at"
    };
}

const SESSION: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM agent_sessions s WHERE s.id = ?1 AND s.deleted_at IS NULL"
);

const SESSIONS: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM agent_sessions s WHERE s.id > ?1 AND +s.deleted_at IS NULL ORDER BY s.id LIMIT ?2"
);

const MESSAGE: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", ",
    message_columns!(),
    " FROM agent_messages m JOIN agent_sessions s ON s.id = m.session_id
    WHERE m.id = ?1 AND s.deleted_at IS NULL"
);

const AT_INDEX: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM agent_messages m WHERE m.session_id = ?1 AND m.index_in_session = ?2"
);

const MESSAGES: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM agent_messages m
    WHERE m.session_id = ?1 AND m.index_in_session >= ?2 AND m.index_in_session < ?3
    ORDER BY m.index_in_session LIMIT ?4"
);

/// A session outside the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchableSession {
    /// Its id.
    pub id: SessionId,
    /// Its project.
    pub project_id: Option<ProjectId>,
    /// Its kind.
    pub kind: String,
    /// Its title.
    pub title: Option<String>,
    /// When it was started.
    pub created_at: Millis,
    /// The ranges of indexes that its history shows, each without its end.
    shown: Vec<(i64, i64)>,
}

impl SearchableSession {
    /// True where its history shows the message of an index.
    fn shows(&self, index: i64) -> bool {
        self.shown.iter().any(|(from, to)| (*from..*to).contains(&index))
    }
}

/// A message that its session's history shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchableMessage {
    /// Its id.
    pub id: MessageId,
    /// Its index in its session.
    pub index_in_session: i64,
    /// Who speaks.
    pub role: Role,
    /// Its text.
    pub content: String,
    /// Code it is about.
    pub code_excerpt: Option<String>,
    /// When it was made.
    pub created_at: Millis,
}

/// Returns a session; `None` where it is in the trash or gone.
pub fn session(tx: &mut ReadTx<'_>, id: &str) -> Result<Option<SearchableSession>> {
    tx.first(SESSION, &[id.into()], read_session)
}

/// Returns the sessions behind one, in the order of their ids.
pub fn sessions_after(
    tx: &mut ReadTx<'_>,
    id: &str,
    limit: usize,
) -> Result<Vec<SearchableSession>> {
    tx.all(SESSIONS, &[id.into(), (limit as i64).into()], read_session)
}

/// Returns a message and its session; `None` where no history shows it.
pub fn message(
    tx: &mut ReadTx<'_>,
    id: &str,
) -> Result<Option<(SearchableSession, SearchableMessage)>> {
    let found =
        tx.first(MESSAGE, &[id.into()], |row| Ok((read_session(row)?, read_message(row)?)))?;
    Ok(found.filter(|(session, message)| session.shows(message.index_in_session)))
}

/// Returns the message of an index of a session; `None` where its history shows none there.
pub fn message_at(
    tx: &mut ReadTx<'_>,
    session: &SearchableSession,
    index: i64,
) -> Result<Option<SearchableMessage>> {
    if !session.shows(index) {
        return Ok(None);
    }
    tx.first(AT_INDEX, &[session.id.as_str().into(), index.into()], read_message)
}

/// Returns messages that a session's history shows, from an index on, as many as asked for at most,
/// and the index to go on from; `None` behind the last one.
pub fn messages(
    tx: &mut ReadTx<'_>,
    session: &SearchableSession,
    from: i64,
    limit: usize,
) -> Result<(Vec<SearchableMessage>, Option<i64>)> {
    let mut found = Vec::new();
    for (start, end) in &session.shown {
        let start = from.max(*start);
        if start >= *end {
            continue;
        }
        if found.len() == limit {
            return Ok((found, Some(start)));
        }
        let room = (limit - found.len()) as i64;
        let params = [session.id.as_str().into(), start.into(), (*end).into(), room.into()];
        let read = tx.all(MESSAGES, &params, read_message)?;
        let next = read.last().map(|message| message.index_in_session + 1);
        found.extend(read);
        if found.len() == limit && next.is_some_and(|next| next < *end) {
            return Ok((found, next));
        }
    }
    Ok((found, None))
}

fn read_session(row: &mut Row) -> Result<SearchableSession> {
    let id = super::stored(SessionId::parse(row.text()?))?;
    let project_id = project_id(row)?;
    let (kind, title, created_at) = (row.text()?, row.optional_text()?, row.int()?);
    let next_index = row.int()?;
    let hidden = Hidden::parse(row.optional_text()?.as_deref())?;
    Ok(SearchableSession {
        id,
        project_id,
        kind,
        title,
        created_at,
        shown: hidden.shown(next_index),
    })
}

fn read_message(row: &mut Row) -> Result<SearchableMessage> {
    Ok(SearchableMessage {
        id: super::stored(MessageId::parse(row.text()?))?,
        index_in_session: row.int()?,
        role: super::stored(Role::parse(&row.text()?).ok_or("a role is unknown"))?,
        content: row.text()?,
        code_excerpt: row.optional_text()?,
        created_at: row.int()?,
    })
}
