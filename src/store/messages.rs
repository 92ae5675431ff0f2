//! Messages: appended with the next index of their session, got and patched by id.

use super::engine::Row;
use super::sessions::{self, Head};
use super::{ReadTx, WriteTx};
use crate::api::message::{
    AppendManyParams, AppendParams, Appended, AppendedMessage, UpdateParams,
};
use crate::error::{Error, Result};
use crate::model::limits::MAX_CONTENT_BYTES;
use crate::model::{JsonObject, Message, MessageId, Role, SessionId, time};

const INSERT: &str = "INSERT INTO agent_messages
        (id, session_id, role, index_in_session, content, code_excerpt, metadata, created_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

const BY_ID: &str =
    "SELECT m.id, m.session_id, m.index_in_session, m.role, m.content, m.code_excerpt,
        m.metadata, m.created_at, m.updated_at, s.deleted_at
    FROM agent_messages m JOIN agent_sessions s ON s.id = m.session_id
    WHERE m.id = ?1";

const UPDATE: &str = "UPDATE agent_messages
    SET content = ?2, code_excerpt = ?3, metadata = ?4, updated_at = ?5 WHERE id = ?1";

/// Appends one message, or returns the one that the same call appended before.
pub fn append(tx: &mut WriteTx<'_>, params: &AppendParams) -> Result<Message> {
    let mut head = sessions::head(tx, &params.session_id)?;
    let (message, created) = append_at(tx, &mut head, params)?;
    if created {
        sessions::record_appended(tx, &params.session_id, &head)?;
    }
    Ok(message)
}

/// Appends several messages to one session, in order.
///
/// Those of the same id and content that are stored already are passed over.
pub fn append_many(tx: &mut WriteTx<'_>, params: &AppendManyParams) -> Result<Appended> {
    let mut head = sessions::head(tx, &params.session_id)?;
    let mut expected_index = params.expected_index;
    let mut messages = Vec::with_capacity(params.messages.len());
    for new in &params.messages {
        let single = AppendParams {
            id: new.id.clone(),
            session_id: params.session_id.clone(),
            role: new.role,
            content: new.content.clone(),
            code_excerpt: new.code_excerpt.clone(),
            metadata: new.metadata.clone(),
            expected_index,
            created_at: new.created_at,
        };
        let (message, created) = append_at(tx, &mut head, &single)?;
        if created {
            expected_index = None;
        }
        messages.push(AppendedMessage {
            id: message.id,
            index_in_session: message.index_in_session,
            created_at: message.created_at,
            created,
        });
    }
    if messages.iter().any(|message| message.created) {
        sessions::record_appended(tx, &params.session_id, &head)?;
    }
    Ok(Appended { messages })
}

/// Returns the message and whether it is new; the head is moved on where it is.
fn append_at(
    tx: &mut WriteTx<'_>,
    head: &mut Head,
    params: &AppendParams,
) -> Result<(Message, bool)> {
    if let Some(id) = &params.id
        && let Some((message, _)) = find(tx, id)?
    {
        return match difference(&message, params) {
            None => Ok((message, false)),
            Some(field) => {
                Err(Error::conflict("message", id, format!("exists with another {field}")))
            }
        };
    }
    let index = head.next_index;
    if let Some(expected) = params.expected_index.filter(|expected| *expected != index) {
        return Err(Error::PreconditionFailed {
            what: "the next index of the session",
            expected,
            actual: index,
        });
    }
    let message = Message {
        id: params.id.clone().unwrap_or_else(MessageId::generate),
        session_id: params.session_id.clone(),
        index_in_session: index,
        role: params.role,
        content: params.content.clone(),
        code_excerpt: params.code_excerpt.clone(),
        metadata: params.metadata.clone(),
        created_at: params.created_at.unwrap_or_else(time::now),
        updated_at: None,
    };
    tx.execute_one(
        INSERT,
        &[
            message.id.as_str().into(),
            message.session_id.as_str().into(),
            message.role.as_str().into(),
            index.into(),
            (&message.content).into(),
            message.code_excerpt.as_deref().into(),
            message.metadata.as_ref().map(JsonObject::as_str).into(),
            message.created_at.into(),
        ],
    )?;
    head.next_index += 1;
    let at = message.created_at;
    head.first_message_at = Some(head.first_message_at.map_or(at, |first| first.min(at)));
    head.last_message_at = Some(head.last_message_at.map_or(at, |last| last.max(at)));
    Ok((message, true))
}

/// Returns the first field in which a stored message differs from what a retried append says.
fn difference(stored: &Message, params: &AppendParams) -> Option<&'static str> {
    [
        ("session_id", stored.session_id == params.session_id),
        ("role", stored.role == params.role),
        ("content", stored.content == params.content),
        ("code_excerpt", stored.code_excerpt == params.code_excerpt),
        ("metadata", stored.metadata == params.metadata),
        ("created_at", params.created_at.is_none_or(|created_at| stored.created_at == created_at)),
    ]
    .into_iter()
    .find_map(|(field, same)| (!same).then_some(field))
}

/// Returns one message of a session outside the trash.
pub fn get(tx: &mut ReadTx<'_>, id: &MessageId) -> Result<Message> {
    match find(tx, id)? {
        Some((message, false)) => Ok(message),
        _ => Err(Error::not_found("message", id)),
    }
}

/// Patches one message.
pub fn update(tx: &mut WriteTx<'_>, params: &UpdateParams) -> Result<Message> {
    let mut message = get(tx, &params.id)?;
    if let Some(content) = &params.content {
        message.content.clone_from(content);
    }
    if let Some(code_excerpt) = &params.code_excerpt {
        message.code_excerpt.clone_from(code_excerpt);
    }
    message.metadata = patched(message.metadata, params.metadata.as_ref())?;
    let now = time::now();
    message.updated_at = Some(now);
    tx.execute_one(
        UPDATE,
        &[
            message.id.as_str().into(),
            (&message.content).into(),
            message.code_excerpt.as_deref().into(),
            message.metadata.as_ref().map(JsonObject::as_str).into(),
            now.into(),
        ],
    )?;
    Ok(message)
}

/// Returns the free data of a record after a merge patch, where there is one.
pub(super) fn patched(
    current: Option<JsonObject>,
    patch: Option<&JsonObject>,
) -> Result<Option<JsonObject>> {
    let Some(patch) = patch else { return Ok(current) };
    let merged = JsonObject::merged(current.as_ref(), patch)
        .map_err(|problem| Error::invalid("metadata", problem))?;
    let bytes = merged.as_str().len();
    if bytes > MAX_CONTENT_BYTES {
        return Err(Error::TooLarge {
            field: "metadata".to_owned(),
            limit: MAX_CONTENT_BYTES as u64,
            actual: bytes as u64,
        });
    }
    Ok(Some(merged))
}

/// Returns a message and whether its session is in the trash.
fn find(tx: &mut ReadTx<'_>, id: &MessageId) -> Result<Option<(Message, bool)>> {
    tx.first(BY_ID, &[id.as_str().into()], |row| {
        let message = read_message(row)?;
        Ok((message, row.optional_int()?.is_some()))
    })
}

/// Reads a message from the columns `id, session_id, index_in_session, role, content,
/// code_excerpt, metadata, created_at, updated_at`.
pub(super) fn read_message(row: &mut Row) -> Result<Message> {
    Ok(Message {
        id: super::stored(MessageId::parse(row.text()?))?,
        session_id: super::stored(SessionId::parse(row.text()?))?,
        index_in_session: row.int()?,
        role: super::stored(Role::parse(&row.text()?).ok_or("a role is unknown"))?,
        content: row.text()?,
        code_excerpt: row.optional_text()?,
        metadata: super::stored_object(row.optional_text()?)?,
        created_at: row.int()?,
        updated_at: row.optional_int()?,
    })
}
