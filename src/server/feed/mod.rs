//! The change feed on its way out: read once for all who follow, and followed by each at its pace.
//!
//! Whoever keeps up takes its events from a short tail in memory. Whoever does not reads the
//! database for itself, so that nobody waits for anybody and nothing is kept for the slow.

mod follower;
mod subscriptions;
mod tail;

pub(super) use follower::Follower;
pub(super) use subscriptions::Subscriptions;
pub(super) use tail::{Tail, publish};

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Server;
use super::methods::{Awaited, Follow, ReadJob, Work, encode};
use crate::api::events::{EventPage, SinceParams, SubscribeParams, Subscribed};
use crate::error::Result;
use crate::model::FeedCursor;
use crate::model::limits::MAX_PAGE_BYTES;
use crate::store::feed::{self, Room};

/// What `events.subscribe` comes to.
pub(super) fn subscribe(server: &Arc<Server>, params: SubscribeParams) -> Work {
    let filter = params.filter();
    Work::Follow(Follow { filter, cursor: params.since.unwrap_or_else(|| now(server)) })
}

/// Returns what checks the place where a subscription starts, and answers with its name.
pub(super) fn subscribed(
    server: &Arc<Server>,
    subscription: String,
    cursor: FeedCursor,
) -> ReadJob {
    let server = Arc::clone(server);
    Box::new(move |tx| {
        feed::check(tx, server.store.feed_id(), &cursor)?;
        encode(&Subscribed { subscription, cursor })
    })
}

/// What `events.since` comes to: a wait for the first event, then a page.
pub(super) fn since(server: &Arc<Server>, params: SinceParams) -> Work {
    // The place is that of the call, not that of the moment when the wait begins.
    let cursor = params.cursor.clone().unwrap_or_else(|| now(server));
    let server = Arc::clone(server);
    Work::Awaited(Box::pin(async move {
        let cursor = wait(&server, &params, cursor).await?;
        let page: ReadJob = Box::new(move |tx| {
            let feed_id = server.store.feed_id();
            feed::check(tx, feed_id, &cursor)?;
            let room = Room { events: params.limit, bytes: MAX_PAGE_BYTES };
            let batch = feed::read(tx, feed_id, cursor.seq, &params.filter(), room)?;
            let cursor = FeedCursor { feed: feed_id.clone(), seq: batch.last_seq };
            encode(&EventPage { events: batch.events, cursor, has_more: batch.has_more })
        });
        Ok(page)
    }) as Awaited)
}

/// Waits until something matches behind a cursor or the time is over, and returns the cursor
/// behind what was looked through.
async fn wait(server: &Server, params: &SinceParams, mut cursor: FeedCursor) -> Result<FeedCursor> {
    if params.wait_ms == 0 {
        return Ok(cursor);
    }
    let until = Instant::now() + Duration::from_millis(params.wait_ms.into());
    let filter = Arc::new(params.filter());
    let mut committed = server.store.committed();
    loop {
        committed.borrow_and_update();
        let (feed_id, filter, from) =
            (server.store.feed_id().clone(), Arc::clone(&filter), cursor.clone());
        let found = server.store.read(move |tx| {
            feed::check(tx, &feed_id, &from)?;
            feed::first_match(tx, from.seq, &filter)
        });
        let found = found.await?;
        cursor.seq = found.before;
        if found.is_match || Instant::now() >= until {
            return Ok(cursor);
        }
        if found.has_more {
            continue;
        }
        tokio::select! {
            changed = committed.changed() => {
                if changed.is_err() {
                    return Ok(cursor);
                }
            }
            () = tokio::time::sleep_until(until) => return Ok(cursor),
            () = server.stopping() => return Ok(cursor),
        }
    }
}

/// The place behind the newest change.
fn now(server: &Server) -> FeedCursor {
    let seq = *server.store.committed().borrow();
    FeedCursor { feed: server.store.feed_id().clone(), seq }
}
