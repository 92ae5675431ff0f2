//! The newest events, read from the database once for all who follow.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
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
/// How long publishing rests behind a panic: one that comes again and again must not fill the log.
const PAUSE_BEHIND_A_PANIC: Duration = Duration::from_secs(1);

/// An event as it is sent.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) seq: Seq,
    topic: Topic,
    session_id: Option<SessionId>,
    project_id: Option<ProjectId>,
    pub(super) json: String,
}

/// Returns an event's JSON.
pub(super) fn json(event: &Event) -> Result<String> {
    serde_json::to_string(event)
        .map_err(|error| Error::Internal(format!("an event is not JSON: {error}")))
}

impl Published {
    fn of(event: Event) -> Result<Self> {
        let json = json(&event)?;
        let Event { seq, topic, session_id, project_id, .. } = event;
        Ok(Self { seq, topic, session_id, project_id, json })
    }

    pub(super) fn matches(&self, filter: &EventFilter) -> bool {
        filter.matches(self.topic, self.session_id.as_ref(), self.project_id.as_ref())
    }
}

/// What the tail has behind a place, for a filter.
#[derive(Debug)]
pub(super) enum Next {
    /// The first event that matches.
    Event(Arc<Published>),
    /// None up to this change, and none behind it yet.
    Nothing(Seq),
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

    /// Returns the first event behind a place that matches.
    pub(super) fn next(&self, seq: Seq, filter: &EventFilter) -> Next {
        let events = self.events.lock().expect("no holder of the lock panics");
        if seq >= events.last {
            return Next::Nothing(seq);
        }
        let at = events.kept.front().map(|event| usize::try_from(seq + 1 - event.seq));
        let Some(Ok(at)) = at else { return Next::OutOfReach };
        match events.kept.iter().skip(at).find(|event| event.matches(filter)) {
            Some(event) => Next::Event(Arc::clone(event)),
            None => Next::Nothing(events.last),
        }
    }

    /// Starts anew behind a change, with no event.
    pub(super) fn restart(&self, last: Seq) {
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
        () = publish_by(server, read) => {}
    }
}

/// Publishes what is read, and begins anew behind a panic: those who follow read for themselves what
/// it did not come to.
async fn publish_by(server: &Server, read: impl AsyncFn(&Server, Seq) -> Result<Seq>) {
    while AssertUnwindSafe(publish_on(server, &read)).catch_unwind().await.is_err() {
        tracing::error!("publishing the change feed panicked; it begins anew");
        tokio::time::sleep(PAUSE_BEHIND_A_PANIC).await;
    }
}

/// Returns where nothing more is written.
async fn publish_on(server: &Server, read: &impl AsyncFn(&Server, Seq) -> Result<Seq>) {
    let tail = &server.tail;
    let mut committed = server.store.committed();
    let mut followers = tail.followers.subscribe();
    // This sender does not end before the server does; that of what is committed ends with the writer.
    while followers.wait_for(|count| *count > 0).await.is_ok() {
        let mut last = *committed.borrow_and_update();
        tail.restart(last);
        while *followers.borrow_and_update() > 0 {
            if *committed.borrow_and_update() == last {
                let is_over = tokio::select! {
                    committed = committed.changed() => committed.is_err(),
                    followers = followers.changed() => followers.is_err(),
                };
                if is_over {
                    return;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures_util::StreamExt;

    use super::super::super::allowance::Allowance;
    use super::super::super::testing::{change, server_in, server_with};
    use super::super::follow;
    use super::*;
    use crate::model::{FeedCursor, FeedId, Json};

    fn event(seq: Seq, topic: Topic, bytes: usize) -> Event {
        Event {
            cursor: FeedCursor { feed: FeedId::generate(), seq, at: 1 },
            seq,
            changed_at: 1,
            topic,
            entity_id: "e".to_owned(),
            session_id: None,
            project_id: None,
            data: Json::of(&"d".repeat(bytes)).ok(),
            unreadable: false,
        }
    }

    fn events(seqs: std::ops::RangeInclusive<Seq>, bytes: usize) -> Vec<Event> {
        seqs.map(|seq| event(seq, Topic::MessageAppended, bytes)).collect()
    }

    /// What is behind a place: `=5` is event 5, `-5` nothing up to 5, `?` out of reach.
    fn behind(tail: &Tail, seq: Seq, topics: &[&str]) -> String {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let filter = EventFilter { topics: Some(topics), ..EventFilter::default() };
        match tail.next(seq, &filter) {
            Next::Event(event) => format!("={}", event.seq),
            Next::Nothing(seq) => format!("-{seq}"),
            Next::OutOfReach => "?".to_owned(),
        }
    }

    #[test]
    fn the_tail_knows_what_it_has_and_what_it_has_not() {
        let tail = Tail::new();
        let all = |seq| behind(&tail, seq, &[""]);
        assert_eq!([all(0), all(7)], ["-0", "-7"]);
        tail.restart(5);
        assert_eq!([all(4), all(5), all(6)], ["?", "-5", "-6"]);
        tail.push(events(6..=7, 1)).expect("events");
        tail.push(vec![event(8, Topic::SettingChanged, 1)]).expect("events");
        assert_eq!([all(4), all(5), all(7), all(8)], ["?", "=6", "=8", "-8"]);
        for (seq, found) in [(4, "?"), (5, "=8"), (7, "=8"), (8, "-8")] {
            assert_eq!(behind(&tail, seq, &["settings"]), found);
        }
        assert_eq!(behind(&tail, 5, &["session", "project"]), "-8", "it need not look again");
        // What is gone is shown to nobody who comes late.
        tail.push(vec![event(9, Topic::SettingDeleted, 1)]).expect("events");
        assert_eq!([all(7), all(8), all(9)], ["?", "=9", "-9"]);
        assert_eq!(*tail.published().borrow(), 9);
    }

    #[test]
    fn the_tail_is_bounded_and_has_its_newest_event() {
        let tail = Tail::new();
        let last = MAX_EVENTS as Seq;
        tail.push(events(1..=last, 1)).expect("events");
        assert_eq!(behind(&tail, 0, &[""]), "=1");
        tail.push(events(last + 1..=last + 1, 1)).expect("one past it");
        assert_eq!([behind(&tail, 0, &[""]), behind(&tail, 1, &[""])], ["?", "=2"]);
        let around = json(&event(1, Topic::MessageAppended, 0)).expect("JSON").len();
        let half = MAX_BYTES / 2 - around;
        for (more, first) in [(0, "=1"), (1, "?")] {
            let tail = Tail::new();
            tail.push(events(1..=1, half)).expect("an event");
            tail.push(events(2..=2, half + more)).expect("an event");
            assert_eq!([&behind(&tail, 0, &[""]), &behind(&tail, 1, &[""])], [first, "=2"]);
        }
        let tail = Tail::new();
        tail.push(events(1..=2, MAX_BYTES)).expect("events");
        assert_eq!([behind(&tail, 0, &[""]), behind(&tail, 1, &[""])], ["?", "=2"]);
    }

    /// Takes an event of one who follows from the front, while this publishes.
    async fn first_event(server: &Arc<Server>, publishing: impl Future<Output = ()>) -> String {
        let allowance = Allowance::of_connection();
        let mut notifications = follow(server, &allowance, "1", EventFilter::default(), 0);
        tokio::select! {
            () = publishing => panic!("publishing ended"),
            notification = notifications.next() => notification.expect("one").json.json,
            () = tokio::time::sleep(20 * PAUSE_BEHIND_A_PANIC) => panic!("there is no event"),
        }
    }

    #[tokio::test]
    async fn publishing_begins_anew_behind_a_panic() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let server = server_in(home.path());
        let panics = AtomicBool::new(true);
        let publishing = publish_by(&server, async |server: &Server, seq| {
            assert!(!panics.swap(false, Ordering::Relaxed), "a panic that is meant");
            read(server, seq).await
        });
        let publishing = async {
            tokio::join!(publishing, async {
                // It follows by now, and has begun.
                tokio::task::yield_now().await;
                change(&server, 1).await;
            });
        };
        let event = first_event(&server, publishing).await;
        assert!(event.contains(r#""seq":1,"#), "{event}");
        assert!(!panics.load(Ordering::Relaxed), "it has panicked");
        server.store.close().await.expect("the store closes");
    }

    #[tokio::test]
    async fn publishing_ends_where_nothing_is_written() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let server = server_with(home.path(), false);
        let _following = Tail::follow(&server);
        publish_by(&server, read).await;
        server.store.close().await.expect("the store closes");
    }
}
