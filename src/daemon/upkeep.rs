//! Keeps the database as small as it was told to be: retention, and compaction behind it. Does what clients
//! ask for, and by itself what is due.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::retaining;
use crate::api::system::Compacted;
use crate::error::Result;
use crate::model::time;
use crate::server::Server;
use crate::server::upkeep::Job;
use crate::store::{Store, compaction, trash};

/// Time after the start at which it first looks whether something is due.
const FIRST_LOOK: Duration = Duration::from_secs(60);
/// Time after which it looks again.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Time after which it looks again whether what was purged is erased.
const ERASING_LOOK: Duration = Duration::from_secs(1);

/// Works for as long as it is polled. Dropping it stops a retention run between two writes; what was not
/// done is over the policy still, and goes with the next run.
pub(super) async fn keep(server: &Server) -> Infallible {
    let store = &server.store;
    let mut looks = interval_at(Instant::now() + FIRST_LOOK, INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut writes = store.writer_counts().writes;
    let mut is_erasing = false;
    loop {
        tokio::select! {
            job = server.upkeep.next() => is_erasing |= carry_out(store, job).await,
            _ = looks.tick() => {
                let is_idle = store.writer_counts().writes == writes;
                match retaining::run_if_due(store, time::now()).await {
                    Ok(has_run) => is_erasing |= has_run,
                    Err(error) => {
                        tracing::warn!(%error, "retention could not be carried out; it is tried again");
                    }
                }
                if !is_erasing {
                    compact(store, is_idle).await;
                }
                writes = store.writer_counts().writes;
            }
            () = sleep(ERASING_LOOK), if is_erasing => {
                // Where it cannot be read, the next look is by the clock.
                is_erasing = store.read(trash::is_purging).await.unwrap_or(false);
                if !is_erasing {
                    compact(store, false).await;
                }
            }
        }
    }
}

/// Carries a job out, and returns whether something may be left to erase. A client that vanished loses
/// its reply, never the job.
async fn carry_out(store: &Store, job: Job) -> bool {
    match job {
        Job::Retain { dry_run, reply } => {
            let run = retaining::run(store, time::now(), dry_run).await;
            let has_purged = run.as_ref().is_ok_and(|run| !run.dry_run && run.purged > 0);
            let _ = reply.send(run);
            has_purged
        }
        Job::Compact { reply } => {
            let _ = reply.send(store.compact().await.inspect(log));
            false
        }
    }
}

async fn compact(store: &Store, is_idle: bool) {
    if let Err(error) = compact_if_worth(store, is_idle).await {
        tracing::warn!(%error, "the database's file could not be compacted; it is tried again");
    }
}

/// Compacts the file where much of it is free, and once, where nothing is written, one whose pages have
/// no checksums: it gets them so. Returns what that did.
pub async fn compact_if_worth(store: &Store, is_idle: bool) -> Result<Option<Compacted>> {
    let (space, last) =
        store.read(|tx| Ok((compaction::space(tx)?, compaction::last(tx)?))).await?;
    let wants_checksums = is_idle
        && last.is_none()
        && compaction::gives_checksums(store.engine_name())
        && !store.has_page_checksums();
    if !space.is_worth_compacting() && !wants_checksums {
        return Ok(None);
    }
    store.compact().await.inspect(log).map(Some)
}

fn log(compacted: &Compacted) {
    tracing::info!(
        bytes_before = compacted.bytes_before,
        bytes_after = compacted.bytes_after,
        duration_ms = compacted.duration_ms,
        waited_ms = compacted.waited_ms,
        "the database's file was compacted"
    );
}
