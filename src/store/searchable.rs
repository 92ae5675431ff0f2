//! What can be searched: titles and shown messages of sessions outside the trash, as the index reads them.

use std::ops::ControlFlow;

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

/// Bytes of texts past which no more messages are read at one time: each may have 16 MiB.
pub const MAX_PAGE_BYTES: usize = 2 << 20;

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

impl SearchableMessage {
    /// The bytes of its texts.
    pub fn bytes(&self) -> usize {
        self.content.len() + self.code_excerpt.as_ref().map_or(0, String::len)
    }
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

/// Returns messages that a session's history shows, from an index on, and the index to go on from;
/// `None` behind the last one.
///
/// There are as many as asked for at most, and no more once their texts have passed some megabytes.
pub fn messages(
    tx: &mut ReadTx<'_>,
    session: &SearchableSession,
    from: i64,
    limit: usize,
) -> Result<(Vec<SearchableMessage>, Option<i64>)> {
    let mut found: Vec<SearchableMessage> = Vec::new();
    let mut bytes = 0;
    for (start, end) in &session.shown {
        let start = from.max(*start);
        if start >= *end {
            continue;
        }
        if found.len() == limit || bytes > MAX_PAGE_BYTES {
            return Ok((found, Some(start)));
        }
        let room = (limit - found.len()) as i64;
        let params = [session.id.as_str().into(), start.into(), (*end).into(), room.into()];
        let mut next = start;
        tx.each(MESSAGES, &params, |row| {
            let message = read_message(row)?;
            next = message.index_in_session + 1;
            bytes += message.bytes();
            found.push(message);
            let is_full = bytes > MAX_PAGE_BYTES;
            Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        let is_full = found.len() == limit || bytes > MAX_PAGE_BYTES;
        if is_full && next < *end {
            return Ok((found, Some(next)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{engine, migrations};

    const ADD_SESSION: &str =
        "INSERT INTO agent_sessions (id, kind, created_at, updated_at, activity_at, next_index, hidden_ranges)
        VALUES ('s', 'chat', 0, 0, 0, 7, '1-3')";

    const ADD_MESSAGE: &str =
        "INSERT INTO agent_messages (id, session_id, role, index_in_session, content, created_at)
        VALUES (?1, 's', 'user', ?2, ?3, 0)";

    /// Each of them is read again and again while an index is built.
    #[test]
    fn every_statement_searches_its_index_on_both_engines() {
        migrations::on_each_engine(|kind, connection| {
            for sql in [SESSION, SESSIONS, MESSAGE, AT_INDEX, MESSAGES] {
                let plan = engine::query_plan(connection, sql);
                let is_sound = plan.iter().all(|step| step.starts_with("SEARCH "));
                assert!(is_sound, "{kind:?}: {sql}: {plan:?}");
            }
        });
    }

    /// Pages as (from, limit) give these indexes, and the one to go on from.
    #[test]
    fn a_page_ends_by_its_messages_and_by_their_bytes() {
        migrations::on_each_engine(|kind, connection| {
            connection.execute(ADD_SESSION, &[]).expect("a session");
            for index in 0..7_i64 {
                let id = format!("m{index}");
                let content =
                    if index == 4 { "x".repeat(MAX_PAGE_BYTES + 1) } else { String::new() };
                let values = [id.as_str().into(), index.into(), content.as_str().into()];
                connection.execute(ADD_MESSAGE, &values).expect("a message");
            }
            let mut tx = ReadTx::new(connection);
            let session = session(&mut tx, "s").expect("is read").expect("a session");
            for (from, limit, indexes, next) in [
                (0, 100, &[0, 3, 4][..], Some(5)),
                (5, 100, &[5, 6], None),
                (0, 1, &[0], Some(3)),
                (0, 2, &[0, 3], Some(4)),
                (4, 1, &[4], Some(5)),
                (5, 2, &[5, 6], None),
                (6, 1, &[6], None),
                (7, 1, &[], None),
            ] {
                let (page, goes_on) = messages(&mut tx, &session, from, limit).expect("a page");
                let found: Vec<i64> = page.iter().map(|message| message.index_in_session).collect();
                assert_eq!(
                    (found.as_slice(), goes_on),
                    (indexes, next),
                    "{kind:?}: {from} {limit}"
                );
            }
        });
    }
}
