//! One subscription: a place in the feed that moves on as fast as its client reads.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::watch;

use super::super::Server;
use super::super::wire_error::from_error;
use super::subscriptions::Place;
use super::tail::{Behind, Following, Published, Tail};
use crate::api::events::{ENDED_NOTIFICATION, EVENT_NOTIFICATION, EventFilter};
use crate::error::{Error, Result};
use crate::model::Seq;
use crate::store::feed::{self, Room};

/// Events that are taken at once.
const TAKE: usize = 64;
/// What one who fell out of the tail reads at once.
const READ: Room = Room { events: 64, bytes: 256 * 1024 };

/// The notifications of a subscription. Dropping it ends that.
pub(in super::super) type Notifications = Pin<Box<dyn Stream<Item = String> + Send>>;

/// A subscription.
pub(in super::super) struct Follower {
    server: Arc<Server>,
    place: Place,
    filter: Arc<EventFilter>,
    /// How far it has taken.
    seq: Seq,
    taken: VecDeque<Arc<Published>>,
    published: watch::Receiver<Seq>,
    _following: Following,
}

impl Follower {
    /// Starts a subscription behind a change.
    pub(in super::super) fn new(
        server: &Arc<Server>,
        place: Place,
        filter: EventFilter,
        seq: Seq,
    ) -> Self {
        Self {
            server: Arc::clone(server),
            place,
            filter: Arc::new(filter),
            seq,
            taken: VecDeque::new(),
            published: server.tail.published(),
            _following: Tail::follow(server),
        }
    }

    /// Returns its notifications, which are made as they are taken.
    pub(in super::super) fn notifications(self) -> Notifications {
        Box::pin(unfold(Some(self), |follower| async {
            let mut follower = follower?;
            match follower.next().await? {
                Ok(event) => Some((follower.event(&event), Some(follower))),
                Err(error) => Some((follower.ended(&error), None)),
            }
        }))
    }

    /// Waits for the next event; `None` once the client ended the subscription.
    async fn next(&mut self) -> Option<Result<Arc<Published>>> {
        loop {
            // Ended, or all of its connection is gone.
            if !matches!(
                self.place.ended.try_recv(),
                Err(tokio::sync::oneshot::error::TryRecvError::Empty)
            ) {
                return None;
            }
            if let Some(event) = self.taken.pop_front() {
                return Some(Ok(event));
            }
            self.published.borrow_and_update();
            match self.server.tail.behind(self.seq, TAKE) {
                Behind::Events(events) => {
                    self.seq = events.last().map_or(self.seq, |event| event.seq);
                    self.taken
                        .extend(events.into_iter().filter(|event| event.matches(&self.filter)));
                }
                Behind::Nothing => {
                    tokio::select! {
                        biased;
                        _ = &mut self.place.ended => return None,
                        changed = self.published.changed() => changed.ok()?,
                    }
                }
                Behind::OutOfReach => {
                    if let Err(error) = self.read().await {
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    /// Takes from the database what the tail no longer has.
    async fn read(&mut self) -> Result<()> {
        let (feed_id, filter, after) =
            (self.server.store.feed_id().clone(), Arc::clone(&self.filter), self.seq);
        let batch = self
            .server
            .store
            .read(move |tx| feed::read(tx, &feed_id, after, &filter, READ))
            .await?;
        self.seq = batch.last_seq;
        for event in batch.events {
            self.taken.push_back(Arc::new(Published::of(event)?));
        }
        Ok(())
    }

    fn event(&self, event: &Published) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","method":"{EVENT_NOTIFICATION}","params":{{"subscription":"{}","event":{}}}}}"#,
            self.place.name, event.json
        )
    }

    fn ended(&self, error: &Error) -> String {
        let error = serde_json::to_string(&from_error(error)).expect("an error object is JSON");
        format!(
            r#"{{"jsonrpc":"2.0","method":"{ENDED_NOTIFICATION}","params":{{"subscription":"{}","error":{error}}}}}"#,
            self.place.name
        )
    }
}
