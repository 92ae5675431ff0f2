//! The change feed on its way out: read once for all who follow, and followed by each at its pace.
//!
//! Whoever keeps up takes its events from a short tail in memory. Whoever does not reads the
//! database for itself, so that nobody waits for anybody. What one read gave counts for what its
//! connection holds, and nothing else is kept for the slow.

mod follower;
mod subscriptions;
mod tail;

pub(super) use follower::follow;
pub(super) use subscriptions::{Place, Subscriptions};
pub(super) use tail::{Tail, publish};

use tail::Next;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Server;
use super::methods::{Awaited, Follow, ReadJob, Work, encode};
use crate::api::events::{EventPage, SinceParams, SubscribeParams, Subscribed};
use crate::error::Result;
use crate::model::FeedCursor;
use crate::model::limits::MAX_PAGE_BYTES;
use crate::store::feed::{self, Room, Start};

/// What `events.subscribe` comes to.
pub(super) fn subscribe(server: &Arc<Server>, params: SubscribeParams) -> Work {
    let filter = params.filter();
    Work::Follow(Follow { filter, start: start(server, params.since) })
}

/// Returns what checks the place where a subscription starts, and answers with its name.
pub(super) fn subscribed(server: &Arc<Server>, subscription: String, start: Start) -> ReadJob {
    let server = Arc::clone(server);
    Box::new(move |tx| {
        let cursor = start.check(tx, server.store.feed_id())?;
        encode(&Subscribed { subscription, cursor })
    })
}

/// What `events.since` comes to: a wait for the first event, then a page.
pub(super) fn since(server: &Arc<Server>, params: SinceParams) -> Work {
    // The place is that of the call, not that of the moment when the wait begins.
    let start = start(server, params.cursor.clone());
    let server = Arc::clone(server);
    Work::Awaited(Box::pin(async move {
        let start = wait(&server, &params, start).await?;
        let page: ReadJob = Box::new(move |tx| {
            let feed_id = server.store.feed_id();
            let after = start.check(tx, feed_id)?.seq;
            let room = Room { events: params.limit, bytes: MAX_PAGE_BYTES };
            let batch = feed::read(tx, feed_id, after, &params.filter(), room)?;
            let cursor = feed::cursor(tx, feed_id, batch.last_seq)?;
            encode(&EventPage { events: batch.events, cursor, has_more: batch.has_more })
        });
        Ok(page)
    }) as Awaited)
}

/// Waits until something matches behind a place or the time is over, and returns the place behind
/// what was looked through.
///
/// The database is read for a client's own place, which is checked so, and where the tail does not
/// reach; else what is written costs those who wait a look at the tail.
async fn wait(server: &Arc<Server>, params: &SinceParams, mut start: Start) -> Result<Start> {
    if params.wait_ms == 0 {
        return Ok(start);
    }
    let until = Instant::now() + Duration::from_millis(params.wait_ms.into());
    let filter = Arc::new(params.filter());
    let _following = Tail::follow(server);
    let mut published = server.tail.published();
    loop {
        published.borrow_and_update();
        let next = match start {
            Start::Cursor(_) => Next::OutOfReach,
            Start::Behind(seq) => server.tail.next(seq, &filter),
        };
        match next {
            Next::Event(_) => return Ok(start),
            Next::Nothing(seq) => start = Start::Behind(seq),
            Next::OutOfReach => {
                let (feed_id, filter) = (server.store.feed_id().clone(), Arc::clone(&filter));
                let found = server.store.read(move |tx| {
                    let after = start.check(tx, &feed_id)?.seq;
                    feed::first_match(tx, after, &filter)
                });
                let found = found.await?;
                start = Start::Behind(found.before);
                if found.is_match || Instant::now() >= until {
                    return Ok(start);
                }
                // Behind what the database has just shown, the tail tells.
                continue;
            }
        }
        tokio::select! {
            // The tail lives as long as the server.
            _ = published.changed() => {}
            () = tokio::time::sleep_until(until) => return Ok(start),
            () = server.stopping() => return Ok(start),
        }
    }
}

/// Returns where a reader starts: without a cursor behind the newest change.
fn start(server: &Server, cursor: Option<FeedCursor>) -> Start {
    cursor.map_or_else(|| Start::Behind(*server.store.committed().borrow()), Start::Cursor)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::testing::{change, server_in};
    use super::*;

    /// The one reader is busy, so that whoever read the database would wait for it.
    #[tokio::test]
    async fn who_waits_looks_at_the_tail_and_reads_nothing_for_what_does_not_match() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let server = server_in(home.path());
        let params = |topic: &str| {
            let json = serde_json::json!({"topics": [topic], "wait_ms": 60_000});
            serde_json::from_value::<SinceParams>(json).expect("params")
        };
        let (other, wanted) = (params("message"), params("settings"));
        let mut waits = Box::pin(wait(&server, &other, Start::Behind(0)));
        let mut finds = Box::pin(wait(&server, &wanted, Start::Behind(0)));
        assert!(waits.as_mut().now_or_never().is_none() && finds.as_mut().now_or_never().is_none());
        let publishing = publish(&server);
        let mut publishing = std::pin::pin!(publishing);
        assert!(publishing.as_mut().now_or_never().is_none(), "it has begun");
        change(&server, 1).await;
        let mut published = server.tail.published();
        tokio::select! {
            () = &mut publishing => panic!("publishing ended"),
            _ = published.wait_for(|seq| *seq == 1) => {}
        }
        let (end, busy) = std::sync::mpsc::channel::<()>();
        let reader = server.store.queue_read(move |_| Ok(busy.recv().is_err()));
        let reader = reader.await.expect("a place");
        assert!(waits.as_mut().now_or_never().is_none());
        let found = finds.as_mut().now_or_never().expect("the tail has it").expect("found");
        assert_eq!(found.seq(), 0, "in front of what matches");
        drop(end);
        assert!(reader.await.expect("it was busy until now"));
        assert!(waits.as_mut().now_or_never().is_none(), "it has read nothing");
        server.store.close().await.expect("the store closes");
    }
}
