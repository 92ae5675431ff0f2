//! Makes a backup each day in which something changed, and deletes those that are not kept.

use std::convert::Infallible;
use std::time::Duration;

use crate::config::BackupPolicy;
use crate::error::Result;
use crate::model::{Millis, time};
use crate::store::backup::{self, Reason, Target};
use crate::store::{Store, changes};

/// Time after the start behind which it first looks: who starts the IDE does not wait for a backup.
const FIRST_LOOK: Duration = Duration::from_secs(60);
/// Time after which it looks again.
const INTERVAL: Duration = Duration::from_secs(15 * 60);

/// Backs up as the policy says, for as long as it is polled.
pub(super) async fn keep(store: &Store, policy: Option<BackupPolicy>) -> Infallible {
    let Some(policy) = policy else { return std::future::pending().await };
    tokio::time::sleep(FIRST_LOOK).await;
    loop {
        if let Err(error) = back_up(store, policy, time::now()).await {
            tracing::warn!(%error, "the daily backup could not be made; it is tried again");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Makes a backup where one is due, and deletes those that are not kept. Returns whether it made one.
pub async fn back_up(store: &Store, policy: BackupPolicy, now: Millis) -> Result<bool> {
    let folder = store.options().backups.clone();
    let newest = backup::newest(&folder).map_or(0, |backup| backup.created_at);
    let changed_at = store.read(changes::newest_at).await?;
    let is_due = now - newest >= policy.every && changed_at > newest;
    if is_due {
        let made = store.back_up(Target::Folder(folder.clone()), Reason::Daily).await?;
        tracing::info!(backup = %made.path.display(), bytes = made.bytes, "made the daily backup");
    }
    // What was made for another reason is deleted here too.
    for old in backup::prune(&folder, policy.kept) {
        tracing::info!(backup = %old.path.display(), "deleted an old backup");
    }
    Ok(is_due)
}
