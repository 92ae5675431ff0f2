//! A session's messages in order: the newest ones for a prompt, or page by page.

use super::hidden::Hidden;
use super::messages::{columns, read_message};
use super::page::Page;
use super::{ReadTx, compact, sessions};
use crate::api::Paged;
use crate::api::history::{MessagePage, Order, PageParams, RecentMessages, RecentParams};
use crate::error::Result;
use crate::model::{Attachment, Cursor, JsonObject, Message, SessionId};

/// The messages of a range of indexes.
macro_rules! range {
    () => {
        " FROM agent_messages m
        WHERE m.session_id = ?1 AND m.index_in_session >= ?2 AND m.index_in_session < ?3
        ORDER BY m.index_in_session"
    };
}

pub(super) const FORWARD: &str = concat!("SELECT ", columns!(), range!(), " LIMIT ?4");

const BACKWARD: &str = concat!("SELECT ", columns!(), range!(), " DESC LIMIT ?4");

/// Returns the newest messages, oldest first.
pub fn recent(tx: &mut ReadTx<'_>, params: &RecentParams) -> Result<RecentMessages> {
    let head = sessions::head(tx, &params.session_id)?;
    let summary = compact::summary(tx, &params.session_id, &head)?;
    let budget =
        params.max_bytes.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let mut page = Page::beside(&summary, params.limit, budget)?;
    let shown = segments(&head.left_out(false), head.next_index, Order::Newest, None);
    fill(&mut page, tx, &params.session_id, Order::Newest, shown)?;
    page.items.reverse();
    Ok(RecentMessages { messages: page.items, has_more: page.has_more, summary })
}

/// Returns a page of messages.
pub fn page(tx: &mut ReadTx<'_>, params: &PageParams) -> Result<MessagePage> {
    let head = sessions::head(tx, &params.session_id)?;
    let after = params.cursor.as_ref().map(|cursor| cursor.position().0);
    let summary = compact::summary(tx, &params.session_id, &head)?;
    let mut page = Page::beside(&summary, params.limit, usize::MAX)?;
    let left_out = head.left_out(params.include_compacted);
    let shown = segments(&left_out, head.next_index, params.order, after);
    fill(&mut page, tx, &params.session_id, params.order, shown)?;
    let next_cursor =
        page.end().map(|last| Cursor::after(params.list(), last.index_in_session, ""));
    let mut messages = page.items;
    for message in &mut messages {
        message.compacted = head.compacted.contains(message.index_in_session);
    }
    Ok(MessagePage { messages, next_cursor, summary })
}

/// Returns the ranges of indexes that the history shows, in order, behind the one given.
fn segments(
    left_out: &Hidden,
    next_index: i64,
    order: Order,
    after: Option<i64>,
) -> Vec<(i64, i64)> {
    let mut shown = left_out.shown(next_index);
    for (from, to) in &mut shown {
        match (order, after) {
            (Order::Oldest, Some(after)) => *from = (*from).max(after.saturating_add(1)),
            (Order::Newest, Some(after)) => *to = (*to).min(after),
            (_, None) => {}
        }
    }
    shown.retain(|(from, to)| from < to);
    if order == Order::Newest {
        shown.reverse();
    }
    shown
}

/// Reads the messages of some ranges of indexes into a page.
fn fill(
    page: &mut Page<Message>,
    tx: &mut ReadTx<'_>,
    session_id: &SessionId,
    order: Order,
    segments: Vec<(i64, i64)>,
) -> Result<()> {
    let sql = if order == Order::Oldest { FORWARD } else { BACKWARD };
    for (from, to) in segments {
        let params = vec![session_id.as_str().into(), from.into(), to.into()];
        page.fill(tx, sql, params, read_message, size)?;
    }
    Ok(())
}

/// The bytes of a message that a prompt pays for.
pub(super) fn size(message: &Message) -> usize {
    message.content.len()
        + message.code_excerpt.as_ref().map_or(0, String::len)
        + message.metadata.as_ref().map_or(0, |metadata| JsonObject::as_str(metadata).len())
        + message.attachments.iter().map(list_size).sum::<usize>()
}

/// The bytes of an attachment in its message's list.
fn list_size(attachment: &Attachment) -> usize {
    let Attachment { hash, mime, name, size: _ } = attachment;
    hash.as_str().len() + mime.len() + name.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_leave_out_what_is_hidden_and_what_was_read() {
        let left_out = Hidden::parse(Some("1-6,7-8")).expect("ranges");
        let segments = |order, after| segments(&left_out, 10, order, after);
        assert_eq!(segments(Order::Oldest, None), [(0, 1), (6, 7), (8, 10)]);
        assert_eq!(segments(Order::Oldest, Some(0)), [(6, 7), (8, 10)]);
        assert_eq!(segments(Order::Newest, None), [(8, 10), (6, 7), (0, 1)]);
        assert_eq!(segments(Order::Newest, Some(9)), [(8, 9), (6, 7), (0, 1)]);
        assert_eq!(segments(Order::Newest, Some(7)), [(6, 7), (0, 1)]);
        assert_eq!(segments(Order::Oldest, Some(i64::MAX)), []);
    }
}
