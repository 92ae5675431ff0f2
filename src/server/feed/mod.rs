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
async fn wait(server: &Server, params: &SinceParams, mut start: Start) -> Result<Start> {
    if params.wait_ms == 0 {
        return Ok(start);
    }
    let until = Instant::now() + Duration::from_millis(params.wait_ms.into());
    let filter = Arc::new(params.filter());
    let mut committed = server.store.committed();
    loop {
        committed.borrow_and_update();
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
        if found.has_more {
            continue;
        }
        tokio::select! {
            changed = committed.changed() => {
                if changed.is_err() {
                    return Ok(start);
                }
            }
            () = tokio::time::sleep_until(until) => return Ok(start),
            () = server.stopping() => return Ok(start),
        }
    }
}

/// Returns where a reader starts: without a cursor behind the newest change.
fn start(server: &Server, cursor: Option<FeedCursor>) -> Start {
    cursor.map_or_else(|| Start::Behind(*server.store.committed().borrow()), Start::Cursor)
}
