//! A session's messages in order: the newest ones for a prompt, or page by page.

use std::ops::ControlFlow;

use super::ReadTx;
use super::messages::read_message;
use super::sessions::{self, Head};
use crate::api::history::{MessagePage, Order, PageParams, RecentMessages, RecentParams};
use crate::error::Result;
use crate::model::limits::MAX_PAGE_BYTES;
use crate::model::{Cursor, JsonObject, Message, SessionId};

const FORWARD: &str =
    "SELECT id, session_id, index_in_session, role, content, code_excerpt, metadata,
        created_at, updated_at
    FROM agent_messages WHERE session_id = ?1 AND index_in_session >= ?2 AND index_in_session < ?3
    ORDER BY index_in_session LIMIT ?4";

const BACKWARD: &str =
    "SELECT id, session_id, index_in_session, role, content, code_excerpt, metadata,
        created_at, updated_at
    FROM agent_messages WHERE session_id = ?1 AND index_in_session >= ?2 AND index_in_session < ?3
    ORDER BY index_in_session DESC LIMIT ?4";

/// Returns the newest messages, oldest first.
pub fn recent(tx: &mut ReadTx<'_>, params: &RecentParams) -> Result<RecentMessages> {
    let head = sessions::head(tx, &params.session_id)?;
    let budget = params
        .max_bytes
        .map_or(MAX_PAGE_BYTES, |bytes| usize::try_from(bytes).unwrap_or(MAX_PAGE_BYTES));
    let mut page = Filling::new(params.limit, budget);
    for (from, to) in segments(&head, Order::Newest, None) {
        page.fill(tx, &params.session_id, Order::Newest, from, to)?;
    }
    page.messages.reverse();
    Ok(RecentMessages { messages: page.messages, has_more: page.full })
}

/// Returns a page of messages.
pub fn page(tx: &mut ReadTx<'_>, params: &PageParams) -> Result<MessagePage> {
    let head = sessions::head(tx, &params.session_id)?;
    let after = params.cursor.as_ref().map(|cursor| cursor.position().0);
    let mut page = Filling::new(params.limit, MAX_PAGE_BYTES);
    for (from, to) in segments(&head, params.order, after) {
        page.fill(tx, &params.session_id, params.order, from, to)?;
    }
    let last = page.messages.last().filter(|_| page.full);
    let next_cursor = last.map(|last| Cursor::after(last.index_in_session, ""));
    Ok(MessagePage { messages: page.messages, next_cursor })
}

/// Returns the ranges of indexes that the history shows, in order, behind the one given.
fn segments(head: &Head, order: Order, after: Option<i64>) -> Vec<(i64, i64)> {
    let mut shown = vec![(0, head.hidden_from), (head.hidden_to, head.next_index)];
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

/// A page as it is filled: up to so many messages and so many bytes, but always one.
struct Filling {
    messages: Vec<Message>,
    wanted: usize,
    budget: usize,
    bytes: usize,
    full: bool,
}

impl Filling {
    fn new(limit: u32, budget: usize) -> Self {
        Self { messages: Vec::new(), wanted: limit as usize, budget, bytes: 0, full: false }
    }

    fn fill(
        &mut self,
        tx: &mut ReadTx<'_>,
        session_id: &SessionId,
        order: Order,
        from: i64,
        to: i64,
    ) -> Result<()> {
        if self.full {
            return Ok(());
        }
        let sql = if order == Order::Oldest { FORWARD } else { BACKWARD };
        // One more than wanted tells whether the page is the last.
        let limit = (self.wanted - self.messages.len()) as i64 + 1;
        tx.each(sql, &[session_id.as_str().into(), from.into(), to.into(), limit.into()], |row| {
            let message = read_message(row)?;
            self.bytes += size(&message);
            let over = self.messages.len() == self.wanted || self.bytes > self.budget;
            if over && !self.messages.is_empty() {
                self.full = true;
                return Ok(ControlFlow::Break(()));
            }
            self.messages.push(message);
            Ok(ControlFlow::Continue(()))
        })
    }
}

/// The bytes of a message that a prompt pays for.
fn size(message: &Message) -> usize {
    message.content.len()
        + message.code_excerpt.as_ref().map_or(0, String::len)
        + message.metadata.as_ref().map_or(0, |metadata| JsonObject::as_str(metadata).len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_leave_out_what_is_hidden_and_what_was_read() {
        let head = Head {
            next_index: 10,
            hidden_from: 1,
            hidden_to: 6,
            first_message_at: None,
            last_message_at: None,
            created_at: 0,
        };
        assert_eq!(segments(&head, Order::Oldest, None), [(0, 1), (6, 10)]);
        assert_eq!(segments(&head, Order::Oldest, Some(0)), [(6, 10)]);
        assert_eq!(segments(&head, Order::Newest, None), [(6, 10), (0, 1)]);
        assert_eq!(segments(&head, Order::Newest, Some(8)), [(6, 8), (0, 1)]);
        assert_eq!(segments(&head, Order::Oldest, Some(i64::MAX)), []);
    }
}
