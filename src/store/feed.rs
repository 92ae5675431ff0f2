//! The change feed as clients see it: changes with the records they happened to.

use std::ops::ControlFlow;

use serde::Serialize;

use super::changes;
use super::page::Page;
use super::{ReadTx, attachments, edits, files, messages, projects, retention, sessions, settings};
use crate::api::events::{Event, EventFilter};
use crate::error::{Error, Result};
use crate::model::{
    AttachmentHash, Change, EditId, FeedCursor, FeedId, Json, MessageId, ProjectId, Seq, SessionId,
    Topic,
};

/// Changes that one read looks through at most, where few of them match.
const MAX_SCANNED: usize = 10_000;

/// How much one read may give; it gives one event at least where there is one.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Events.
    pub events: u32,
    /// Bytes of their JSON.
    pub bytes: usize,
}

/// What one read gave.
#[derive(Debug)]
pub struct Batch {
    /// The events that match.
    pub events: Vec<Event>,
    /// The change behind which the next read starts.
    pub last_seq: Seq,
    /// True where more may be there.
    pub has_more: bool,
}

/// Where a reader starts.
#[derive(Debug, Clone)]
pub enum Start {
    /// Where its client says.
    Cursor(FeedCursor),
    /// Behind a change that this process has seen.
    Behind(Seq),
}

impl Start {
    /// Returns the change behind which it is.
    pub fn seq(&self) -> Seq {
        match self {
            Self::Cursor(cursor) => cursor.seq,
            Self::Behind(seq) => *seq,
        }
    }

    /// Returns its cursor, where the feed still has all that followed.
    pub fn check(self, tx: &mut ReadTx<'_>, feed: &FeedId) -> Result<FeedCursor> {
        let known = cursor(tx, feed, self.seq())?;
        match self {
            Self::Cursor(cursor) if cursor != known => Err(expired(tx, feed)?),
            _ => Ok(known),
        }
    }
}

/// Returns the cursor of a place, where the feed still has all that followed.
pub fn cursor(tx: &mut ReadTx<'_>, feed: &FeedId, seq: Seq) -> Result<FeedCursor> {
    match changes::time_of(tx, seq)? {
        Some(at) => Ok(FeedCursor { feed: feed.clone(), seq, at }),
        None => Err(expired(tx, feed)?),
    }
}

/// Returns the error that tells where to start again.
fn expired(tx: &mut ReadTx<'_>, feed: &FeedId) -> Result<Error> {
    let oldest = changes::bounds(tx)?.first - 1;
    expired_up_to(tx, feed, oldest)
}

/// Returns that of a reader whose next change is not there, and who can go on behind this one.
fn expired_up_to(tx: &mut ReadTx<'_>, feed: &FeedId, oldest: Seq) -> Result<Error> {
    let last = changes::bounds(tx)?.last;
    let mut at = |seq| {
        let at = changes::time_of(tx, seq)?.unwrap_or_default();
        Ok(FeedCursor { feed: feed.clone(), seq, at }.to_string())
    };
    Ok(Error::Expired { cursor: at(last)?, oldest: at(oldest)? })
}

/// Reads the changes behind one, with the records they happened to.
///
/// Nothing that cannot be read stops a feed: a record is told of without its data, and where the next
/// change itself is lost, the error has the place behind it.
pub fn read(
    tx: &mut ReadTx<'_>,
    feed: &FeedId,
    after: Seq,
    filter: &EventFilter,
    room: Room,
) -> Result<Batch> {
    cursor(tx, feed, after)?;
    let wanted = room.events as usize;
    let (mut matching, mut scanned, mut last_seq, mut has_more) = (Vec::new(), 0, after, false);
    let mut lost = None;
    changes::each_after(tx, after, MAX_SCANNED, |seq, change| {
        if matching.len() == wanted {
            has_more = true;
            return Ok(ControlFlow::Break(()));
        }
        let Ok(change) = change.inspect_err(|error| lost = Some((seq, error.clone()))) else {
            has_more = true;
            return Ok(ControlFlow::Break(()));
        };
        (scanned, last_seq) = (scanned + 1, change.seq);
        if filter.matches(change.topic, change.session_id.as_ref(), change.project_id.as_ref()) {
            matching.push(change);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if let Some((seq, error)) = lost.filter(|_| matching.is_empty()) {
        tracing::error!(%error, seq, "a change of the feed cannot be read");
        return Err(expired_up_to(tx, feed, seq)?);
    }
    has_more |= scanned == MAX_SCANNED;
    let mut page = Page::within(room.events, room.bytes);
    for change in matching {
        let event = event(tx, feed, change);
        let texts = event.data.as_ref().map_or(0, |data| data.as_str().len());
        if page.push(event, texts)?.is_break() {
            break;
        }
    }
    if let Some(last) = page.end() {
        (last_seq, has_more) = (last.seq, true);
    }
    Ok(Batch { events: page.items, last_seq, has_more })
}

/// How far a look for a change came.
#[derive(Debug, Clone, Copy)]
pub struct Looked {
    /// The change in front of the first that matches, or the last that was looked at.
    pub before: Seq,
    /// True where one matches.
    pub is_match: bool,
    /// True where the look ended before the feed did.
    pub has_more: bool,
}

/// Looks for the first change behind one that matches.
pub fn first_match(tx: &mut ReadTx<'_>, after: Seq, filter: &EventFilter) -> Result<Looked> {
    let mut looked = Looked { before: after, is_match: false, has_more: false };
    let mut scanned = 0;
    changes::each_after(tx, after, MAX_SCANNED, |seq, change| {
        scanned += 1;
        // One that cannot be read ends the look too: its reader is to be told.
        looked.is_match = change.map_or(true, |change| {
            filter.matches(change.topic, change.session_id.as_ref(), change.project_id.as_ref())
        });
        if looked.is_match {
            return Ok(ControlFlow::Break(()));
        }
        looked.before = seq;
        Ok(ControlFlow::Continue(()))
    })?;
    looked.has_more = !looked.is_match && scanned == MAX_SCANNED;
    Ok(looked)
}

fn event(tx: &mut ReadTx<'_>, feed: &FeedId, change: Change) -> Event {
    let (data, unreadable) = match record(tx, &change) {
        Ok(data) => (data, false),
        Err(error) => {
            tracing::error!(%error, seq = change.seq, "the record of a change cannot be read");
            (None, true)
        }
    };
    let Change { seq, at, topic, entity_id, session_id, project_id } = change;
    let cursor = FeedCursor { feed: feed.clone(), seq, at };
    let changed_at = at;
    Event { cursor, seq, changed_at, topic, entity_id, session_id, project_id, data, unreadable }
}

/// Returns the record that a change happened to, as it is now; `None` where no method shows it.
fn record(tx: &mut ReadTx<'_>, change: &Change) -> Result<Option<Json>> {
    let id = change.entity_id.as_str();
    match change.topic {
        Topic::ProjectCreated
        | Topic::ProjectOpened
        | Topic::ProjectUpdated
        | Topic::ProjectRelocated
        | Topic::ProjectRemoved => {
            let id = super::stored(ProjectId::parse(id))?;
            shown(projects::get(tx, &id))
        }
        Topic::SettingChanged | Topic::SettingDeleted => {
            let setting = settings::in_scope(tx, change.project_id.as_ref(), id)?;
            setting.as_ref().map(json).transpose()
        }
        Topic::SessionStarted
        | Topic::SessionUpdated
        | Topic::SessionMoved
        | Topic::SessionCleared
        | Topic::SessionCompacted
        | Topic::SessionForked
        | Topic::SessionDeleted
        | Topic::SessionRestored
        | Topic::SessionPurged => {
            let id = super::stored(SessionId::parse(id))?;
            shown(sessions::get(tx, &id))
        }
        Topic::RetentionChanged => retention::policy(tx)?.as_ref().map(json).transpose(),
        Topic::MessageAppended | Topic::MessageUpdated => {
            let id = super::stored(MessageId::parse(id))?;
            shown(messages::get(tx, &id))
        }
        Topic::FileTouched | Topic::FileRemoved => {
            let project_id =
                super::stored(change.project_id.as_ref().ok_or("a file has no project"))?;
            shown(files::at(tx, project_id, id))
        }
        Topic::EditRecorded => {
            let id = super::stored(EditId::parse(id))?;
            shown(edits::get(tx, &id))
        }
        Topic::AttachmentAdded | Topic::AttachmentCollected => {
            let hash = super::stored(AttachmentHash::parse(id))?;
            shown(attachments::without_bytes(tx, &hash))
        }
        // `system.status` tells of it.
        Topic::DatabaseRecovered | Topic::DatabaseRestored => Ok(None),
    }
}

fn shown<T: Serialize>(found: Result<T>) -> Result<Option<Json>> {
    match found {
        Ok(record) => json(&record).map(Some),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn json<T: Serialize>(record: &T) -> Result<Json> {
    Json::of(record).map_err(|error| Error::Internal(format!("a record is not JSON: {error}")))
}
