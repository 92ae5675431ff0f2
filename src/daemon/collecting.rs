//! Deletes attachments that no message refers to any more, in small writes between those of clients.

use std::convert::Infallible;
use std::time::Duration;

use crate::error::Result;
use crate::model::limits::{ATTACHMENT_GRACE, MAX_COLLECT_LOOK};
use crate::model::{Millis, time};
use crate::store::Store;
use crate::store::attachments::{self, Collected};

/// Time after which it looks again.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Collects at once, then every hour, for as long as it is polled. Dropping it stops
/// it between two writes; the next start goes on.
pub(super) async fn keep(store: &Store) -> Infallible {
    loop {
        match collect(store, time::now(), ATTACHMENT_GRACE).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "deleted attachments that nothing refers to"),
            Err(error) => {
                tracing::warn!(%error, "attachments could not be collected; it is tried again");
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Goes through all attachments once, and returns how many it deleted.
///
/// A daemon at rest writes nothing: this looks by reads, and writes only what may be deleted.
pub async fn collect(store: &Store, now: Millis, grace: Millis) -> Result<usize> {
    let (mut deleted, mut after) = (0, None);
    loop {
        let look = store
            .read(move |tx| attachments::look(tx, after.as_ref(), now, grace, MAX_COLLECT_LOOK))
            .await?;
        let mut rest = look.unreferenced;
        while !rest.is_empty() {
            let (asked, held) = (rest.clone(), store.held_attachments());
            // Asked in the write itself, between which and an import's writes nothing comes.
            let collected = store
                .write(move |tx| match held.is_any() {
                    true => Ok(Collected { seen: asked.len(), deleted: 0 }),
                    false => attachments::collect(tx, &asked, now, grace),
                })
                .await?;
            rest.drain(..collected.seen);
            deleted += collected.deleted;
        }
        if look.next.is_none() {
            return Ok(deleted);
        }
        after = look.next;
    }
}
