//! The newest events, read from the database once for all who follow.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::super::Server;
use crate::api::events::{Event, EventFilter};
use crate::error::{Error, Result};
use crate::model::{ProjectId, Seq, SessionId, Topic};
use crate::store::feed::{self, Room};

/// Events that the tail keeps at most.
const MAX_EVENTS: usize = 1024;
/// Bytes of JSON that the tail keeps at most, but always its newest event.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// What is read at once.
const READ: Room = Room { events: 256, bytes: 1024 * 1024 };

/// An event as it is sent.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) seq: Seq,
    topic: Topic,
    session_id: Option<SessionId>,
    project_id: Option<ProjectId>,
    pub(super) json: String,
}

impl Published {
    pub(super) fn of(event: Event) -> Result<Self> {
        let json = serde_json::to_string(&event)
            .map_err(|error| Error::Internal(format!("an event is not JSON: {error}")))?;
        let Event { seq, topic, session_id, project_id, .. } = event;
        Ok(Self { seq, topic, session_id, project_id, json })
    }

    pub(super) fn matches(&self, filter: &EventFilter) -> bool {
        filter.matches(self.topic, self.session_id.as_ref(), self.project_id.as_ref())
    }
}

/// What the tail has behind a place.
pub(super) enum Behind {
    /// These, in order, and no gap in front of them.
    Events(Vec<Arc<Published>>),
    /// Nothing yet.
    Nothing,
    /// What follows there is in the database alone.
    OutOfReach,
}

/// The tail.
pub(in super::super) struct Tail {
    events: Mutex<Events>,
    /// The newest event's number; for waiting, the truth is in `events`.
    published: watch::Sender<Seq>,
    followers: watch::Sender<usize>,
}

/// Events without a gap, up to the last one published.
#[derive(Default)]
struct Events {
    kept: VecDeque<Arc<Published>>,
    bytes: usize,
    last: Seq,
}

impl Tail {
    pub(in super::super) fn new() -> Self {
        Self {
            events: Mutex::default(),
            published: watch::Sender::new(0),
            followers: watch::Sender::new(0),
        }
    }

    /// Counts one who follows, until what this returns is dropped.
    pub(super) fn follow(server: &Arc<Server>) -> Following {
        server.tail.followers.send_modify(|count| *count += 1);
        Following(Arc::clone(server))
    }

    /// Returns news of the newest event.
    pub(super) fn published(&self) -> watch::Receiver<Seq> {
        self.published.subscribe()
    }

    /// Returns what follows a place, as many as asked for at most.
    pub(super) fn behind(&self, seq: Seq, limit: usize) -> Behind {
        let events = self.events.lock().expect("no holder of the lock panics");
        if seq >= events.last {
            return Behind::Nothing;
        }
        match events.kept.front().map(|event| seq + 1 - event.seq) {
            Some(at) if at >= 0 => {
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                Behind::Events(events.kept.iter().skip(at).take(limit).cloned().collect())
            }
            _ => Behind::OutOfReach,
        }
    }

    /// Starts anew behind a change, with no event.
    fn restart(&self, last: Seq) {
        *self.events.lock().expect("no holder of the lock panics") =
            Events { last, ..Events::default() };
        self.published.send_replace(last);
    }

    /// Adds events that follow what was there.
    fn push(&self, added: Vec<Event>) -> Result<()> {
        let added: Result<Vec<Published>> = added.into_iter().map(Published::of).collect();
        let added = added?;
        let mut events = self.events.lock().expect("no holder of the lock panics");
        // What was kept shows records as they were: who comes late reads what is there now.
        if added.iter().any(|event| is_taken_away_or_back(event.topic)) {
            (events.kept, events.bytes) = (VecDeque::new(), 0);
        }
        for event in added {
            events.last = event.seq;
            events.bytes += event.json.len();
            events.kept.push_back(Arc::new(event));
        }
        while events.kept.len() > 1
            && (events.kept.len() > MAX_EVENTS || events.bytes > MAX_BYTES)
            && let Some(oldest) = events.kept.pop_front()
        {
            events.bytes -= oldest.json.len();
        }
        self.published.send_replace(events.last);
        Ok(())
    }
}

/// True where records that earlier events show are gone now, or are back.
fn is_taken_away_or_back(topic: Topic) -> bool {
    matches!(
        topic,
        Topic::SessionDeleted
            | Topic::SessionPurged
            | Topic::SessionRestored
            | Topic::SettingDeleted
            | Topic::ProjectRemoved
            | Topic::ProjectOpened
            | Topic::FileRemoved
            | Topic::AttachmentCollected
    )
}

/// One who follows.
pub(super) struct Following(Arc<Server>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.tail.followers.send_modify(|count| *count -= 1);
    }
}

/// Fills the tail while somebody follows, until the server stops.
pub(in super::super) async fn publish(server: &Server) {
    tokio::select! {
        () = server.stopping() => {}
        () = publish_for_ever(server) => {}
    }
}

async fn publish_for_ever(server: &Server) {
    let tail = &server.tail;
    let mut committed = server.store.committed();
    let mut followers = tail.followers.subscribe();
    // Neither sender ends before the server does.
    while followers.wait_for(|count| *count > 0).await.is_ok() {
        let mut last = *committed.borrow_and_update();
        tail.restart(last);
        while *followers.borrow_and_update() > 0 {
            if *committed.borrow_and_update() == last {
                tokio::select! {
                    _ = committed.changed() => {}
                    _ = followers.changed() => {}
                }
                continue;
            }
            match read(server, last).await {
                Ok(read) => last = read,
                Err(error) => {
                    // Those who follow read for themselves, and are told what fails.
                    tracing::warn!(%error, "the change feed could not be read");
                    last = *committed.borrow_and_update();
                    tail.restart(last);
                }
            }
        }
        tail.restart(last);
    }
}

/// Reads what follows a change into the tail, and returns how far that is.
async fn read(server: &Server, after: Seq) -> Result<Seq> {
    let feed_id = server.store.feed_id().clone();
    let batch = server
        .store
        .read(move |tx| feed::read(tx, &feed_id, after, &EventFilter::default(), READ))
        .await?;
    server.tail.push(batch.events)?;
    Ok(batch.last_seq)
}
