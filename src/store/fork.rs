//! Forks: sessions that begin as a copy of what another one's history shows, and where they come from.

use serde::Serialize;

use super::attachments::References;
use super::engine::Row;
use super::hidden::Hidden;
use super::page::Page;
use super::sessions::{self, Found, Head};
use super::shelf::Shelf;
use super::{ReadTx, WriteTx, compact, first_sent, history, messages};
use crate::api::session::{AncestorsPage, ForkParams, IdParams};
use crate::error::{Error, Result};
use crate::model::limits::MAX_ANCESTORS;
use crate::model::{
    Ancestor, JsonObject, Message, MessageId, Millis, Session, SessionId, Topic, time,
};

const FORKED: &str = "UPDATE agent_sessions
    SET forked_at_index = ?2, next_index = ?3, compacted_count = ?4, compacted_ranges = ?5,
        summary_through = ?6, summary_at = ?7, first_message_at = ?8, last_message_at = ?9,
        activity_at = ?10
    WHERE id = ?1";

const ANCESTOR: &str = "SELECT kind, title, parent_id, forked_at_index, created_at, deleted_at
    FROM agent_sessions WHERE id = ?1 AND shelf <> ?2";

/// Messages that are copied at a time, at most.
const COPIED_MESSAGES: u32 = 256;
/// Bytes of texts that are copied at a time, but always one message.
const COPIED_BYTES: usize = 1024 * 1024;

/// Forks a session, or returns the fork that the same call made before.
pub fn fork(tx: &mut WriteTx<'_>, params: &ForkParams) -> Result<Session> {
    if let Some(id) = &params.id
        && let Some(found) = sessions::find(tx, id)?
    {
        found.shelf.refuse_taken(id)?;
        return match difference(&found, params) {
            Some(problem) => Err(Error::conflict("session", id, problem)),
            None => Ok(found.session),
        };
    }
    let source = sessions::get(tx, &params.session_id)?;
    let head = sessions::head(tx, &params.session_id)?;
    let end = match params.up_to_index {
        None => head.next_index,
        Some(index) if (0..head.next_index).contains(&index) => index + 1,
        Some(index) => {
            return Err(Error::invalid(
                "up_to_index",
                format!("the session has {} messages, none of index {index}", head.next_index),
            ));
        }
    };
    let now = time::now();
    let mut fork = Session {
        id: params.id.clone().unwrap_or_else(SessionId::generate),
        parent_id: Some(source.id),
        forked_at_index: Some(end),
        title: params.title.clone().unwrap_or(source.title),
        description: params.description.clone().unwrap_or(source.description),
        model: params.model.clone().unwrap_or(source.model),
        metadata: params.metadata.clone().unwrap_or(source.metadata),
        message_count: 0,
        compacted_count: 0,
        next_index: 0,
        first_message_at: None,
        last_message_at: None,
        created_at: params.created_at.unwrap_or(now),
        updated_at: now,
        archived_at: None,
        pinned_at: None,
        ..source
    };
    sessions::insert(tx, &fork)?;
    sessions::set_texts(tx, &fork, Some(&fingerprint(params)))?;
    // A summary that tells of later messages is none of the fork's.
    let summary = match compact::summary(tx, &params.session_id, &head)? {
        Some(summary) if summary.through_index < end => Some(summary),
        _ => None,
    };
    let compacted = copy(tx, &head, &params.session_id, end, summary.is_some(), &mut fork)?;
    if let Some(summary) = &summary {
        compact::set_summary(tx, &fork.id, Some(&summary.content))?;
    }
    tx.execute_one(
        FORKED,
        &[
            fork.id.as_str().into(),
            end.into(),
            fork.next_index.into(),
            compacted.count().into(),
            compacted.to_text().as_ref().into(),
            compacted.last().into(),
            summary.map(|summary| summary.created_at).into(),
            fork.first_message_at.into(),
            fork.last_message_at.into(),
            fork.last_message_at.map_or(fork.created_at, |at| at.max(fork.created_at)).into(),
        ],
    )?;
    fork.compacted_count = compacted.count();
    fork.message_count = fork.next_index - fork.compacted_count;
    sessions::changed(tx, Topic::SessionForked, &fork)?;
    Ok(fork)
}

/// Copies what the source shows up to an index, a part at a time, and returns what of the copies is
/// compacted, where that is taken over.
fn copy(
    tx: &mut WriteTx<'_>,
    head: &Head,
    source: &SessionId,
    end: i64,
    takes_compacted: bool,
    fork: &mut Session,
) -> Result<Hidden> {
    let mut compacted = Hidden::default();
    for (mut from, to) in head.left_out(true).shown(end) {
        while from < to {
            // Read to its end before the copies are written: a statement over the same table.
            let mut part = Page::<Original>::with_text_budget(COPIED_MESSAGES, COPIED_BYTES);
            let values = vec![source.as_str().into(), from.into(), to.into()];
            part.fill(tx, history::FORWARD, values, read_original, |original| {
                history::size(&original.message)
            })?;
            let Some(last) = part.items.last() else { break };
            from = last.message.index_in_session + 1;
            for Original { message, references } in part.items {
                let index = fork.next_index;
                if takes_compacted && head.compacted.contains(message.index_in_session) {
                    compacted.hide(index, index + 1);
                }
                count(fork, message.created_at);
                messages::insert(tx, &copy_of(message, &fork.id, index), &references)?;
            }
        }
    }
    Ok(compacted)
}

/// A message that is copied, and how its row keeps what is attached.
#[derive(Serialize)]
#[serde(transparent)]
struct Original {
    message: Message,
    #[serde(skip)]
    references: References,
}

fn read_original(row: &mut Row) -> Result<Original> {
    messages::read_whole(row).map(|(message, references)| Original { message, references })
}

fn copy_of(message: Message, session_id: &SessionId, index_in_session: i64) -> Message {
    Message {
        id: MessageId::generate(),
        session_id: session_id.clone(),
        index_in_session,
        origin_id: message.origin_id.or(Some(message.id)),
        ..message
    }
}

/// Counts a message that a session gets.
fn count(session: &mut Session, at: Millis) {
    session.next_index += 1;
    session.first_message_at = Some(session.first_message_at.map_or(at, |first| first.min(at)));
    session.last_message_at = Some(session.last_message_at.map_or(at, |last| last.max(at)));
}

/// Returns what is wrong with a retried fork; `None` where it says what was first sent.
fn difference(found: &Found, params: &ForkParams) -> Option<String> {
    if found.session.forked_at_index.is_none() {
        return Some("exists and is no fork".to_owned());
    }
    if params.created_at.is_some_and(|created_at| found.session.created_at != created_at) {
        return Some("exists with another created_at".to_owned());
    }
    (found.first_sent != Some(fingerprint(params)))
        .then(|| "was forked with other params".to_owned())
}

/// Returns the fingerprint of what a fork was made by: the source's fields may change.
fn fingerprint(params: &ForkParams) -> String {
    let up_to_index = params.up_to_index.map(|index| index.to_string());
    let metadata = params.metadata.as_ref();
    let [title, description, model] =
        [&params.title, &params.description, &params.model].map(|text| sent(text.as_ref()));
    let metadata = sent(metadata.map(|text| text.as_ref().map(JsonObject::as_str)).as_ref());
    first_sent::fingerprint(
        "fork",
        &[
            ("session_id", Some(params.session_id.as_str())),
            ("up_to_index", up_to_index.as_deref()),
            ("title", title.as_deref()),
            ("description", description.as_deref()),
            ("model", model.as_deref()),
            ("metadata", metadata.as_deref()),
        ],
    )
}

/// Tells a field that is absent, one that is null and one that has a text apart.
fn sent<T: AsRef<str>>(field: Option<&Option<T>>) -> Option<String> {
    field.map(|text| text.as_ref().map_or("-".to_owned(), |text| format!("+{}", text.as_ref())))
}

/// Returns the sessions that a session came from, the nearest first.
pub fn ancestors(tx: &mut ReadTx<'_>, params: &IdParams) -> Result<AncestorsPage> {
    let mut next = sessions::get(tx, &params.id)?.parent_id;
    let mut ancestors: Vec<Ancestor> = Vec::new();
    while let Some(id) = next {
        // The id of one that was purged may have been used for a session that came from this one.
        if id == params.id || ancestors.iter().any(|ancestor| ancestor.id == id) {
            break;
        }
        let Some(ancestor) = ancestor(tx, &id)? else { break };
        if ancestors.len() == MAX_ANCESTORS {
            return Ok(AncestorsPage { ancestors, has_more: true });
        }
        next = ancestor.parent_id.clone();
        ancestors.push(ancestor);
    }
    Ok(AncestorsPage { ancestors, has_more: false })
}

fn ancestor(tx: &mut ReadTx<'_>, id: &SessionId) -> Result<Option<Ancestor>> {
    tx.first(ANCESTOR, &[id.as_str().into(), Shelf::Purging.number().into()], |row| {
        Ok(Ancestor {
            id: id.clone(),
            kind: row.text()?,
            title: row.optional_text()?,
            parent_id: sessions::parent_id(row)?,
            forked_at_index: row.optional_int()?,
            created_at: row.int()?,
            deleted_at: row.optional_int()?,
        })
    })
}
