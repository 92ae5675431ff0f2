//! Carries retention out: a look by a read, then small writes between those of clients.

use crate::api::retention::{Policy, Run};
use crate::error::Result;
use crate::model::limits::MAX_RETENTION_WRITE;
use crate::model::{Millis, time};
use crate::store::backup::{Reason, Target};
use crate::store::retention::{self, Batch, Candidate, Plan};
use crate::store::{Store, WriteTx};

/// Time after the last run at which the next one is due.
const RUN_EVERY: Millis = 24 * 60 * 60 * 1000;

/// Runs where retention is set and the last run was a day ago. Returns whether it did.
pub async fn run_if_due(store: &Store, now: Millis) -> Result<bool> {
    let set = store.read(retention::get).await?;
    let is_set = set.policy.is_some_and(|policy| !policy.is_off());
    // A run of the future was made by a clock that was wrong.
    let is_due = set
        .last_run
        .is_none_or(|run| !(now.saturating_sub(RUN_EVERY)..=now).contains(&run.started_at));
    if is_set && is_due {
        run(store, now, false).await?;
    }
    Ok(is_set && is_due)
}

/// Carries retention out once, as of a time, and returns what it did.
///
/// It looks by a read, and writes in batches, between which the writes of clients get their turn. It
/// purges first: what it moves to the trash stays there for this time, whatever the policy says.
pub async fn run(store: &Store, now: Millis, dry_run: bool) -> Result<Run> {
    let looked = store.queue_long_read(move |tx| {
        let policy = retention::policy(tx)?.filter(|policy| !policy.is_off());
        let plan = policy.as_ref().map(|policy| retention::plan(tx, policy, now)).transpose()?;
        Ok(policy.zip(plan))
    });
    let looked = looked.await?.await?;
    let mut run = Run {
        started_at: now,
        finished_at: now,
        dry_run,
        moved: 0,
        moved_bytes: 0,
        purged: 0,
        purged_bytes: 0,
        skipped: 0,
    };
    let Some((policy, Plan { purge, trash, .. })) = looked else { return Ok(run) };
    let (purged, moved) = if dry_run {
        (sum(&purge), sum(&trash))
    } else {
        if !purge.is_empty() {
            before_erasing(store).await?;
        }
        let purged = write(store, &policy, now, &purge, retention::purge_batch).await?;
        (purged, write(store, &policy, now, &trash, retention::move_batch).await?)
    };
    (run.purged, run.purged_bytes) = (purged.gone, purged.bytes);
    (run.moved, run.moved_bytes) = (moved.gone, moved.bytes);
    run.skipped = purged.skipped + moved.skipped;
    run.finished_at = time::now().max(now);
    if !dry_run {
        let done = run.clone();
        store.write(move |tx| retention::record_run(tx, &done)).await?;
        tracing::info!(
            moved = run.moved,
            purged = run.purged,
            purged_bytes = run.purged_bytes,
            skipped = run.skipped,
            "retention was carried out"
        );
    }
    Ok(run)
}

/// Makes a backup before a run erases anything. Where it fails, the run erases nothing and moves nothing.
async fn before_erasing(store: &Store) -> Result<()> {
    let folder = Target::Folder(store.options().backups.clone());
    let made = store.back_up(folder, Reason::Retention).await?;
    tracing::info!(backup = %made.path.display(), "made a backup before retention erases anything");
    Ok(())
}

/// What goes where nothing happens meanwhile.
fn sum(candidates: &[Candidate]) -> Batch {
    let bytes = candidates.iter().map(|candidate| candidate.bytes).sum();
    Batch { gone: candidates.len() as i64, bytes, ..Batch::default() }
}

/// Writes in batches, each behind what clients have queued meanwhile.
async fn write(
    store: &Store,
    policy: &Policy,
    now: Millis,
    candidates: &[Candidate],
    batch: fn(&mut WriteTx<'_>, &Policy, Millis, &[Candidate]) -> Result<Batch>,
) -> Result<Batch> {
    let mut done = Batch::default();
    for candidates in candidates.chunks(MAX_RETENTION_WRITE) {
        let (policy, candidates) = (policy.clone(), candidates.to_vec());
        let part = store.write(move |tx| batch(tx, &policy, now, &candidates)).await?;
        done.gone += part.gone;
        done.bytes += part.bytes;
        done.skipped += part.skipped;
        if part.is_overtaken {
            break;
        }
    }
    Ok(done)
}
