//! One subscription: a place in the feed that moves on as fast as its client reads.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::watch;

use super::super::Server;
use super::super::allowance::Allowance;
use super::super::dispatch::Charged;
use super::super::wire_error::from_error;
use super::tail::{Following, Next, Tail, json};
use crate::api::events::{ENDED_NOTIFICATION, EVENT_NOTIFICATION, EventFilter};
use crate::error::{Error, Result};
use crate::model::Seq;
use crate::store::feed::{self, Room};

/// What one who fell out of the tail reads at once.
const READ: Room = Room { events: 64, bytes: 256 * 1024 };

/// The notifications of a subscription, made as they are taken.
pub(in super::super) type Notifications = Pin<Box<dyn Stream<Item = Notification> + Send>>;

/// One of them.
pub(in super::super) struct Notification {
    pub(super) json: Charged,
    /// True for the one that ends the subscription.
    pub(super) is_last: bool,
}

/// A subscription.
struct Follower {
    server: Arc<Server>,
    allowance: Arc<Allowance>,
    name: String,
    filter: Arc<EventFilter>,
    /// How far it has taken.
    seq: Seq,
    /// What was read at once and is not sent yet.
    taken: VecDeque<Charged>,
    published: watch::Receiver<Seq>,
    _following: Following,
}

/// Follows the feed behind a change, for a client whose connection is charged for what it holds.
pub(in super::super) fn follow(
    server: &Arc<Server>,
    allowance: &Arc<Allowance>,
    name: &str,
    filter: EventFilter,
    seq: Seq,
) -> Notifications {
    let follower = Follower {
        server: Arc::clone(server),
        allowance: Arc::clone(allowance),
        name: name.to_owned(),
        filter: Arc::new(filter),
        seq,
        taken: VecDeque::new(),
        published: server.tail.published(),
        _following: Tail::follow(server),
    };
    Box::pin(unfold(follower, |mut follower| async {
        let notification = match follower.next().await {
            Ok(json) => Notification { json, is_last: false },
            Err(error) => Notification { json: follower.ended(&error), is_last: true },
        };
        Some((notification, follower))
    }))
}

impl Follower {
    /// Waits for the next event.
    async fn next(&mut self) -> Result<Charged> {
        loop {
            if let Some(event) = self.taken.pop_front() {
                return Ok(self.event(&event.json));
            }
            self.published.borrow_and_update();
            match self.server.tail.next(self.seq, &self.filter) {
                Next::Event(event) => {
                    self.seq = event.seq;
                    return Ok(self.event(&event.json));
                }
                Next::Nothing(seq) => {
                    self.seq = seq;
                    // The tail lives as long as the server.
                    let _ = self.published.changed().await;
                }
                Next::OutOfReach => self.read().await?,
            }
        }
    }

    /// Takes from the database what the tail no longer has, once the connection has room for it.
    async fn read(&mut self) -> Result<()> {
        let (feed_id, after) = (self.server.store.feed_id().clone(), self.seq);
        loop {
            self.allowance.room().await;
            let (feed_id, filter) = (feed_id.clone(), Arc::clone(&self.filter));
            let allowance = Arc::clone(&self.allowance);
            let read = self.server.store.read(move |tx| {
                // Others of its connection may have taken the room meanwhile.
                if allowance.must_wait() {
                    return Ok(None);
                }
                let batch = feed::read(tx, &feed_id, after, &filter, READ)?;
                let events = batch.events.iter().map(json);
                let charged = events.map(|json| Ok(Charged::new(json?, &allowance)));
                Ok(Some((charged.collect::<Result<_>>()?, batch.last_seq)))
            });
            if let Some((taken, last_seq)) = read.await? {
                (self.taken, self.seq) = (taken, last_seq);
                return Ok(());
            }
        }
    }

    fn event(&self, event: &str) -> Charged {
        let Self { name, .. } = self;
        self.charged(format!(
            r#"{{"jsonrpc":"2.0","method":"{EVENT_NOTIFICATION}","params":{{"subscription":"{name}","event":{event}}}}}"#
        ))
    }

    fn ended(&self, error: &Error) -> Charged {
        let Self { name, .. } = self;
        let error = serde_json::to_string(&from_error(error)).expect("an error object is JSON");
        self.charged(format!(
            r#"{{"jsonrpc":"2.0","method":"{ENDED_NOTIFICATION}","params":{{"subscription":"{name}","error":{error}}}}}"#
        ))
    }

    fn charged(&self, json: String) -> Charged {
        Charged::new(json, &self.allowance)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::super::super::testing::{change, server_in};
    use super::*;
    use crate::model::limits::MAX_OUTBOUND_BYTES;

    #[tokio::test]
    async fn what_is_taken_at_once_counts_for_the_connection_and_waits_for_its_room() {
        const BYTES: usize = 50 * 1024;
        let home = tempfile::tempdir().expect("a temporary folder");
        let server = server_in(home.path());
        for bytes in [BYTES; 12].into_iter().chain([READ.bytes * 4]) {
            change(&server, bytes).await;
        }
        server.tail.restart(*server.store.committed().borrow());
        let allowance = Allowance::of_connection();
        let mut notifications = follow(&server, &allowance, "1", EventFilter::default(), 0);
        let full = allowance.charge(MAX_OUTBOUND_BYTES);
        assert!(notifications.next().now_or_never().is_none(), "there is no room");
        drop(full);
        let mut seqs = Vec::new();
        for seq in 1..=13 {
            let notification = notifications.next().await.expect("an event");
            assert!(notification.json.json.contains(&format!(r#""seq":{seq},"#)));
            let taken = allowance.held() - notification.json.json.len();
            // The record is the newest: each event has it whole, and is larger than what is read.
            assert_eq!(taken, 0, "an event that is larger is taken alone");
            seqs.push(seq);
        }
        assert_eq!((seqs.len(), allowance.held()), (13, 0));
        change(&server, BYTES).await;
        server.tail.restart(14);
        let mut notifications = follow(&server, &allowance, "1", EventFilter::default(), 0);
        let first = notifications.next().await.expect("an event");
        let taken = allowance.held() - first.json.json.len();
        assert!((BYTES..=READ.bytes).contains(&taken), "{taken} bytes wait for their turn");
        drop((first, notifications));
        assert_eq!(allowance.held(), 0);
        server.store.close().await.expect("the store closes");
    }
}
