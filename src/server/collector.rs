//! Deletes attachments that no message refers to any more, beside the work of clients.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::Server;
use crate::error::Result;
use crate::model::limits::{ATTACHMENT_GRACE, MAX_COLLECT_LOOK};
use crate::model::{Millis, time};
use crate::store::{Store, attachments};

/// How long after one collection the next one comes where nothing asks for it.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Asks for a collection before its time.
#[derive(Debug, Default)]
pub struct Collector {
    wanted: Notify,
}

impl Collector {
    /// Asks for a collection now: messages are gone, and what was attached to them may go too.
    pub fn wake(&self) {
        self.wanted.notify_one();
    }
}

/// Collects at once, then every hour and when asked, until the server stops.
///
/// A stop does not wait for a collection to end: what it has deleted stays so, the next goes on.
pub async fn run(server: Arc<Server>) {
    let collecting = async {
        loop {
            match collect(&server.store, time::now(), ATTACHMENT_GRACE).await {
                Ok(0) => {}
                Ok(deleted) => tracing::info!(deleted, "collected attachments"),
                Err(error) => tracing::warn!(%error, "collecting attachments failed"),
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = server.collector.wanted.notified() => {}
            }
        }
    };
    tokio::select! {
        () = server.stopping() => {}
        () = collecting => {}
    }
}

/// Goes through all attachments once, and returns how many it deleted.
///
/// Looks by reads, deletes by writes that queue behind those of clients, a few at a time.
pub async fn collect(store: &Store, now: Millis, grace: Millis) -> Result<usize> {
    let (mut deleted, mut after) = (0, None);
    loop {
        let look = store
            .read(move |tx| attachments::look(tx, after.as_ref(), now, grace, MAX_COLLECT_LOOK))
            .await?;
        let mut rest = look.unreferenced;
        while !rest.is_empty() {
            let asked = rest.clone();
            let collected =
                store.write(move |tx| attachments::collect(tx, &asked, now, grace)).await?;
            rest.drain(..collected.seen);
            deleted += collected.deleted;
        }
        if look.next.is_none() {
            return Ok(deleted);
        }
        after = look.next;
    }
}
