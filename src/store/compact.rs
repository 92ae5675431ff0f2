//! What leaves a session's history: cleared, or compacted into a summary. No message is rewritten.

use super::hidden::Hidden;
use super::sessions::{self, Head};
use super::{ReadTx, WriteTx};
use crate::api::session::{ClearParams, CompactParams};
use crate::error::{Error, Result};
use crate::model::{Session, SessionId, Summary, Topic, time};

const CLEAR: &str = "UPDATE agent_sessions
    SET hidden_count = ?2, hidden_ranges = ?3, cleared_index = ?4, updated_at = ?5,
        compacted_count = 0, compacted_ranges = NULL, compacted_index = NULL,
        summary_through = NULL, summary_at = NULL
    WHERE id = ?1";

const COMPACT: &str = "UPDATE agent_sessions
    SET compacted_count = ?2, compacted_ranges = ?3, compacted_index = ?4,
        summary_through = ?5, summary_at = ?6, updated_at = ?6
    WHERE id = ?1";

const SUMMARY: &str = "SELECT summary FROM agent_session_texts WHERE session_id = ?1";

const SET_SUMMARY: &str = "INSERT INTO agent_session_texts (session_id, summary) VALUES (?1, ?2)
    ON CONFLICT (session_id) DO UPDATE SET summary = excluded.summary";

/// Hides all messages that the history shows but the first ones, and all that is compacted.
pub fn clear(tx: &mut WriteTx<'_>, params: &ClearParams) -> Result<Session> {
    let head = sessions::head(tx, &params.id)?;
    if let Some(expected) = params.expected_next_index {
        // A retry: the last clear was at that index, and this one there would hide nothing more.
        // What is compacted was not so then: a clear leaves nothing compacted. So it is seen also
        // where the session was compacted since, whose summary would go for good.
        if head.cleared_index == Some(expected)
            && cleared_by(&head.cleared, params.keep_first, expected) == head.cleared
        {
            return sessions::get(tx, &params.id);
        }
        if expected != head.next_index {
            return Err(another_next_index(expected, &head));
        }
    }
    let cleared = cleared_by(&head.left_out(false), params.keep_first, head.next_index);
    tx.execute_one(
        CLEAR,
        &[
            params.id.as_str().into(),
            cleared.count().into(),
            cleared.to_text().as_ref().into(),
            head.next_index.into(),
            time::now().into(),
        ],
    )?;
    if head.summary.is_some() {
        set_summary(tx, &params.id, None)?;
    }
    let session = sessions::get(tx, &params.id)?;
    sessions::changed(tx, Topic::SessionCleared, &session)?;
    Ok(session)
}

/// Returns what is cleared once a session that left this out, with this next index, was cleared.
fn cleared_by(left_out: &Hidden, keep_first: u32, next_index: i64) -> Hidden {
    let mut cleared = left_out.clone();
    cleared.hide(left_out.behind_first(keep_first.into(), next_index), next_index);
    cleared
}

/// Puts a summary in the place of all messages that the history shows but the first and last ones.
pub fn compact(tx: &mut WriteTx<'_>, params: &CompactParams) -> Result<Session> {
    let head = sessions::head(tx, &params.session_id)?;
    let says_the_same =
        summary_text(tx, &params.session_id, &head)?.as_ref() == Some(&params.summary);
    let is_done = |at| {
        let is_of_then = says_the_same && head.compacted_index == Some(at);
        is_of_then && compacted_by(&head, params, at) == head.compacted
    };
    // Also a retry: the last compaction was at that index, and this one there would change nothing.
    if is_done(params.expected_next_index.unwrap_or(head.next_index)) {
        return sessions::get(tx, &params.session_id);
    }
    if let Some(expected) = params.expected_next_index.filter(|index| *index != head.next_index) {
        return Err(another_next_index(expected, &head));
    }
    let compacted = compacted_by(&head, params, head.next_index);
    let Some(through) = compacted.last() else {
        let shown = head.next_index - head.cleared.count();
        return Err(Error::invalid(
            "keep_last",
            format!("leaves nothing to compact: the history shows {shown} messages"),
        ));
    };
    set_summary(tx, &params.session_id, Some(&params.summary))?;
    tx.execute_one(
        COMPACT,
        &[
            params.session_id.as_str().into(),
            compacted.count().into(),
            compacted.to_text().as_ref().into(),
            head.next_index.into(),
            through.into(),
            time::now().into(),
        ],
    )?;
    let session = sessions::get(tx, &params.session_id)?;
    sessions::changed(tx, Topic::SessionCompacted, &session)?;
    Ok(session)
}

/// Returns what is compacted once a session was compacted at this next index.
fn compacted_by(head: &Head, params: &CompactParams, next_index: i64) -> Hidden {
    let left_out = head.left_out(false);
    let from = left_out.behind_first(params.keep_first.into(), next_index);
    let to = left_out.before_last(params.keep_last.into(), next_index);
    let mut compacted = head.compacted.clone();
    for (shown_from, shown_to) in left_out.shown(next_index) {
        compacted.hide(shown_from.max(from), shown_to.min(to));
    }
    compacted
}

fn another_next_index(expected: i64, head: &Head) -> Error {
    Error::PreconditionFailed {
        what: "the next index of the session",
        expected,
        actual: head.next_index,
    }
}

/// Returns a session's summary.
pub(super) fn summary(
    tx: &mut ReadTx<'_>,
    session_id: &SessionId,
    head: &Head,
) -> Result<Option<Summary>> {
    let content = summary_text(tx, session_id, head)?;
    Ok(content.zip(head.summary).map(|(content, (through_index, created_at))| Summary {
        content,
        compacted_count: head.compacted.count(),
        through_index,
        created_at,
    }))
}

/// Returns the text of a session's summary, which is not looked for where there is none.
fn summary_text(
    tx: &mut ReadTx<'_>,
    session_id: &SessionId,
    head: &Head,
) -> Result<Option<String>> {
    if head.summary.is_none() {
        return Ok(None);
    }
    tx.first(SUMMARY, &[session_id.as_str().into()], |row| row.text())
}

pub(super) fn set_summary(
    tx: &mut WriteTx<'_>,
    session_id: &SessionId,
    summary: Option<&str>,
) -> Result<()> {
    tx.execute(SET_SUMMARY, &[session_id.as_str().into(), summary.into()]).map(|_| ())
}
