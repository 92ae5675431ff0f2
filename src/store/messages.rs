//! Messages: appended with the next index of their session, got and patched by id.

use super::attachments::{self, References};
use super::engine::Row;
use super::hidden::Hidden;
use super::sessions::{self, Head};
use super::{ReadTx, WriteTx, first_sent, patch};
use crate::api::message::{
    AppendManyParams, AppendParams, Appended, AppendedMessage, UpdateParams,
};
use crate::error::{Error, Result};
use crate::model::{JsonObject, Message, MessageId, ProjectId, Role, SessionId, Topic, time};

/// The columns that [`read_message`] reads.
macro_rules! columns {
    () => {
        "m.id, m.session_id, m.index_in_session, m.role, m.content, m.code_excerpt, m.metadata,
        m.created_at, m.updated_at, m.origin_id, m.attachments"
    };
}
pub(super) use columns;

/// What [`insert`] writes.
const INSERT: &str = "INSERT INTO agent_messages
        (id, session_id, index_in_session, role, content, code_excerpt, metadata, created_at,
        updated_at, origin_id, attachments)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

const BY_ID: &str = concat!(
    "SELECT ",
    columns!(),
    ", m.first_sent, s.deleted_at, s.project_id, s.compacted_ranges
    FROM agent_messages m JOIN agent_sessions s ON s.id = m.session_id
    WHERE m.id = ?1"
);

const UPDATE: &str = "UPDATE agent_messages
    SET content = ?2, code_excerpt = ?3, metadata = ?4, updated_at = ?5, first_sent = ?6 WHERE id = ?1";

const SET_ATTACHMENTS: &str = "UPDATE agent_messages SET attachments = ?2 WHERE id = ?1";

/// Appends one message, or returns the one that the same call appended before.
pub fn append(tx: &mut WriteTx<'_>, params: &AppendParams) -> Result<Message> {
    let mut head = sessions::head(tx, &params.session_id)?;
    let (message, created) = append_at(tx, &mut head, "", params)?;
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
    for (at, new) in params.messages.iter().enumerate() {
        let single = AppendParams {
            id: new.id.clone(),
            session_id: params.session_id.clone(),
            role: new.role,
            content: new.content.clone(),
            code_excerpt: new.code_excerpt.clone(),
            metadata: new.metadata.clone(),
            attachments: new.attachments.clone(),
            expected_index,
            created_at: new.created_at,
        };
        let prefix = format!("messages[{at}].");
        let (message, created) = append_at(tx, &mut head, &prefix, &single)?;
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

/// Returns the message and whether it is new; the head is moved on where it is. The prefix is of the
/// fields' names in errors.
fn append_at(
    tx: &mut WriteTx<'_>,
    head: &mut Head,
    prefix: &str,
    params: &AppendParams,
) -> Result<(Message, bool)> {
    if let Some(id) = &params.id
        && let Some(found) = find(tx, id)?
    {
        return match difference(&found, params)? {
            None => Ok((found.message, false)),
            Some(problem) => Err(Error::conflict("message", id, problem)),
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
    let references = References::resolve(tx, prefix, &params.attachments)?;
    let message = Message {
        id: params.id.clone().unwrap_or_else(MessageId::generate),
        session_id: params.session_id.clone(),
        index_in_session: index,
        role: params.role,
        content: params.content.clone(),
        code_excerpt: params.code_excerpt.clone(),
        metadata: params.metadata.clone(),
        attachments: references.attachments(),
        created_at: params.created_at.unwrap_or_else(time::now),
        updated_at: None,
        origin_id: None,
        compacted: false,
    };
    insert(tx, &message, &references)?;
    changed(tx, Topic::MessageAppended, &message, head.project_id.as_ref())?;
    head.next_index += 1;
    let at = message.created_at;
    head.first_message_at = Some(head.first_message_at.map_or(at, |first| first.min(at)));
    head.last_message_at = Some(head.last_message_at.map_or(at, |last| last.max(at)));
    Ok((message, true))
}

/// Writes a new row, of an appended message or a fork's copy: all columns but the fingerprint, which
/// only a patch writes.
pub(super) fn insert(
    tx: &mut WriteTx<'_>,
    message: &Message,
    references: &References,
) -> Result<()> {
    tx.execute_one(
        INSERT,
        &[
            message.id.as_str().into(),
            message.session_id.as_str().into(),
            message.index_in_session.into(),
            message.role.as_str().into(),
            (&message.content).into(),
            message.code_excerpt.as_deref().into(),
            message.metadata.as_ref().map(JsonObject::as_str).into(),
            message.created_at.into(),
            message.updated_at.into(),
            message.origin_id.as_ref().map(MessageId::as_str).into(),
            references.to_text()?.as_ref().into(),
        ],
    )?;
    references.insert(tx, &message.id)
}

/// Returns what is wrong with a retried append; `None` where it says what was first sent.
fn difference(found: &Found, params: &AppendParams) -> Result<Option<String>> {
    let stored = &found.message;
    if params.created_at.is_some_and(|created_at| stored.created_at != created_at) {
        return Ok(Some("exists with another created_at".to_owned()));
    }
    let (stored_list, sent_list) =
        (found.references.sent_text()?, attachments::sent_text(&params.attachments)?);
    let sent = [
        ("session_id", Some(params.session_id.as_str())),
        ("role", Some(params.role.as_str())),
        ("content", Some(params.content.as_str())),
        ("code_excerpt", params.code_excerpt.as_deref()),
        ("metadata", params.metadata.as_ref().map(JsonObject::as_str)),
        ("attachments", sent_list.as_deref()),
    ];
    let stored = fields(stored, stored_list.as_deref());
    Ok(first_sent::difference("message", &stored, &sent, found.first_sent.as_deref()))
}

/// Returns a message's fields as an append sends them.
fn fields<'a>(
    message: &'a Message,
    sent_attachments: Option<&'a str>,
) -> first_sent::Fields<'a, 6> {
    [
        ("session_id", Some(message.session_id.as_str())),
        ("role", Some(message.role.as_str())),
        ("content", Some(message.content.as_str())),
        ("code_excerpt", message.code_excerpt.as_deref()),
        ("metadata", message.metadata.as_ref().map(JsonObject::as_str)),
        ("attachments", sent_attachments),
    ]
}

/// Returns one message of a session outside the trash.
pub fn get(tx: &mut ReadTx<'_>, id: &MessageId) -> Result<Message> {
    live(tx, id).map(|found| found.message)
}

/// Patches one message.
pub fn update(tx: &mut WriteTx<'_>, params: &UpdateParams) -> Result<Message> {
    let Found { mut message, references, first_sent, project_id, .. } = live(tx, &params.id)?;
    let sent_list = references.sent_text()?;
    let first_sent = first_sent.unwrap_or_else(|| {
        first_sent::fingerprint("message", &fields(&message, sent_list.as_deref()))
    });
    let references = params
        .attachments
        .as_ref()
        .map(|sent| References::resolve(tx, "", sent))
        .transpose()?
        .filter(|references| references.attachments() != message.attachments);
    let changes = [
        patch::set(&mut message.content, params.content.as_ref()),
        patch::set(&mut message.code_excerpt, params.code_excerpt.as_ref()),
        patch::metadata(&mut message.metadata, params.metadata.as_ref())?,
    ];
    if !changes.contains(&true) && references.is_none() {
        return Ok(message);
    }
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
            (&first_sent).into(),
        ],
    )?;
    if let Some(references) = references {
        let text = references.to_text()?;
        tx.execute_one(SET_ATTACHMENTS, &[message.id.as_str().into(), text.as_ref().into()])?;
        references.replace(tx, &message.id)?;
        message.attachments = references.attachments();
    }
    changed(tx, Topic::MessageUpdated, &message, project_id.as_ref())?;
    Ok(message)
}

fn changed(
    tx: &mut WriteTx<'_>,
    topic: Topic,
    message: &Message,
    project_id: Option<&ProjectId>,
) -> Result<()> {
    let project_id = project_id.map(ProjectId::as_str);
    tx.changed(topic, message.id.as_str(), Some(message.session_id.as_str()), project_id)
}

/// A stored message and what is kept beside it.
struct Found {
    message: Message,
    references: References,
    /// The fingerprint of what was first sent, where it was patched since.
    first_sent: Option<String>,
    is_in_trash: bool,
    /// The project of its session.
    project_id: Option<ProjectId>,
}

fn live(tx: &mut ReadTx<'_>, id: &MessageId) -> Result<Found> {
    find(tx, id)?.filter(|found| !found.is_in_trash).ok_or_else(|| Error::not_found("message", id))
}

fn find(tx: &mut ReadTx<'_>, id: &MessageId) -> Result<Option<Found>> {
    tx.first(BY_ID, &[id.as_str().into()], |row| {
        let (message, references) = read_whole(row)?;
        let mut found = Found {
            message,
            references,
            first_sent: row.optional_text()?,
            is_in_trash: row.optional_int()?.is_some(),
            project_id: sessions::project_id(row)?,
        };
        let compacted = Hidden::parse(row.optional_text()?.as_deref())?;
        found.message.compacted = compacted.contains(found.message.index_in_session);
        Ok(found)
    })
}

/// Reads a message from its columns, which do not tell whether it is compacted.
pub(super) fn read_message(row: &mut Row) -> Result<Message> {
    read_whole(row).map(|(message, _)| message)
}

/// Reads a message from its columns, and how its row keeps what is attached.
pub(super) fn read_whole(row: &mut Row) -> Result<(Message, References)> {
    let message = Message {
        id: super::stored(MessageId::parse(row.text()?))?,
        session_id: super::stored(SessionId::parse(row.text()?))?,
        index_in_session: row.int()?,
        role: super::stored(Role::parse(&row.text()?).ok_or("a role is unknown"))?,
        content: row.text()?,
        code_excerpt: row.optional_text()?,
        metadata: super::stored_object(row.optional_text()?)?,
        created_at: row.int()?,
        updated_at: row.optional_int()?,
        origin_id: row
            .optional_text()?
            .map(|text| super::stored(MessageId::parse(text)))
            .transpose()?,
        compacted: false,
        attachments: Vec::new(),
    };
    let references = References::read(row.optional_text()?)?;
    Ok((Message { attachments: references.attachments(), ..message }, references))
}
