//! Reads what has changed, as it is now: which documents the index must have anew.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::model::{Millis, Seq, Topic};
use crate::store::searchable::{self, SearchableMessage, SearchableSession};
use crate::store::{ReadTx, changes};

/// Changes read at one time.
const MAX_CHANGES: usize = 1024;
/// Bytes of messages past which no more are read at one time.
const MAX_BYTES: usize = 2 << 20;

/// What some changes come to.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The last of the changes and its time; `None` where there was none.
    pub(super) upto: Option<(Seq, Millis)>,
    pub(super) sessions: HashMap<String, TouchedSession>,
    pub(super) messages: Vec<TouchedMessage>,
}

/// A session that changed.
#[derive(Debug)]
pub(super) struct TouchedSession {
    /// How it is now; `None` where it is in the trash or gone.
    pub(super) session: Option<SearchableSession>,
    /// What of it must be indexed anew.
    pub(super) extent: Extent,
}

/// What of a session must be indexed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Extent {
    /// Its title. It is new, by the change of this number, and nothing of it is in the index.
    New(Seq),
    /// Its title, and its messages where its project is another one.
    Title,
    /// All of it.
    Whole,
}

/// A message that was appended or patched, and that its session's history shows now.
#[derive(Debug)]
pub(super) struct TouchedMessage {
    pub(super) session: SearchableSession,
    pub(super) message: SearchableMessage,
    /// The change that appended it, where it is one of these.
    pub(super) appended: Option<Seq>,
}

/// Reads the changes behind one and what they touched, as much as is handled at one time.
pub(super) fn read(tx: &mut ReadTx<'_>, after: Seq) -> Result<Batch> {
    let mut batch = Batch::default();
    let mut read: HashSet<String> = HashSet::new();
    let mut bytes = 0;
    for change in changes::after(tx, after, MAX_CHANGES)? {
        if bytes > MAX_BYTES {
            break;
        }
        batch.upto = Some((change.seq, change.at));
        match change.topic {
            Topic::SessionStarted => {
                batch.touch(tx, change.entity_id, Extent::New(change.seq))?;
            }
            Topic::SessionUpdated => batch.touch(tx, change.entity_id, Extent::Title)?,
            Topic::MessageAppended | Topic::MessageUpdated => {
                if read.insert(change.entity_id.clone())
                    && let Some((session, message)) = searchable::message(tx, &change.entity_id)?
                {
                    bytes += message.bytes();
                    let appended = (change.topic == Topic::MessageAppended).then_some(change.seq);
                    batch.messages.push(TouchedMessage { session, message, appended });
                }
            }
            // Nothing of a document changes: a compacted message is found as ever, and behind a move
            // to another project there is an update.
            Topic::SessionCompacted | Topic::SessionMoved => {}
            // Whatever else happened to a session may change what its history shows.
            topic if topic.word().starts_with("session.") => {
                batch.touch(tx, change.entity_id, Extent::Whole)?;
            }
            _ => {}
        }
    }
    Ok(batch)
}

impl Batch {
    fn touch(&mut self, tx: &mut ReadTx<'_>, id: String, extent: Extent) -> Result<()> {
        match self.sessions.get_mut(&id) {
            // A new one stays new where its title alone changed.
            Some(TouchedSession { extent: Extent::New(_), .. }) if extent == Extent::Title => {}
            Some(touched) => touched.extent = touched.extent.max(extent),
            None => {
                let session = searchable::session(tx, &id)?;
                self.sessions.insert(id, TouchedSession { session, extent });
            }
        }
        Ok(())
    }
}
