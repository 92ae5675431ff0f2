//! Keeps the change feed as its policy says, in small writes between those of the clients.
//!
//! What the search index lacks stays. Else an index whose building takes longer than the feed keeps what
//! is written meanwhile would begin again behind each building, for as long as the clients write so.

use std::convert::Infallible;
use std::time::Duration;

use crate::config::FeedPolicy;
use crate::error::Error;
use crate::model::time;
use crate::search::Search;
use crate::store::{Store, changes};

/// Changes that one write deletes at most.
const BATCH: usize = 500;
/// Changes behind which it looks again.
const EVERY: i64 = 500;
/// Time after which it looks again.
const INTERVAL: Duration = Duration::from_secs(60);

/// Deletes what is over the policy, for as long as it is polled. Dropping it stops it between two
/// writes.
pub(super) async fn keep(store: &Store, search: &Search, policy: Option<FeedPolicy>) -> Infallible {
    let Some(policy) = policy else { return std::future::pending().await };
    let mut committed = store.committed();
    loop {
        let looked_at = *committed.borrow_and_update();
        if let Err(error) = prune(store, search, policy).await {
            tracing::warn!(%error, "the change feed could not be shortened; it is tried again");
        }
        let changes = committed.wait_for(|seq| *seq >= looked_at + EVERY);
        if let Ok(Err(_)) = tokio::time::timeout(INTERVAL, changes).await {
            // The writer has ended, and so does the daemon.
            return std::future::pending().await;
        }
    }
}

async fn prune(store: &Store, search: &Search, policy: FeedPolicy) -> Result<(), Error> {
    let needed = search.needed_after();
    // A daemon at rest writes nothing.
    if !store.read(move |tx| changes::is_over(tx, policy, needed, time::now())).await? {
        return Ok(());
    }
    while store.write(move |tx| changes::prune(tx, policy, needed, time::now(), BATCH)).await? {}
    Ok(())
}
