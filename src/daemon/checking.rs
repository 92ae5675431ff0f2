//! Checks the whole database in the background: where it was not closed before, once a week, and when
//! something fails as it does where it is damaged.

use std::path::Path;
use std::time::Duration;

use crate::error::Result;
use crate::model::{Millis, time};
use crate::store::Store;
use crate::store::recovery::{Suspicion, checked_note_of, suspect};

/// Time after which a database that was found sound is checked again.
const INTERVAL: Millis = 7 * 24 * 60 * 60 * 1000;
/// How often it is looked whether that has passed.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
/// Time that lies between a check and the next one, whatever fails meanwhile.
const PATIENCE: Millis = 60 * 1000;

/// Returns once a check has found the database damaged, and has left a note for the next start.
///
/// The first check waits for a while, unless something fails meanwhile: who starts the IDE has the disk for
/// itself, and a check keeps the log from starting over, and a stop from folding it into the file.
pub(super) async fn keep(store: &Store, after: Duration) {
    let mut doubts = store.doubts();
    let is_doubted = tokio::time::timeout(after, doubts.changed()).await.is_ok();
    let mut is_due = is_doubted || !store.was_closed();
    loop {
        is_due |= time::now() - last_check(store.database()) >= INTERVAL;
        if is_due && is_damaged(store).await {
            return;
        }
        is_due = tokio::time::timeout(LOOK_EVERY, doubts.changed()).await.is_ok();
        if is_due {
            // What failed is most often not the file: one check is enough for all that fails so.
            let since = time::now() - last_check(store.database());
            if since < PATIENCE {
                let rest = u64::try_from(PATIENCE - since.max(0)).unwrap_or(0);
                tokio::time::sleep(Duration::from_millis(rest)).await;
            }
            doubts.mark_unchanged();
        }
    }
}

async fn is_damaged(store: &Store) -> bool {
    match check(store).await {
        Ok(problems) if problems.is_empty() => {
            note_check(store.database());
            false
        }
        Ok(problems) => {
            tracing::error!(
                problems = problems.len(),
                first = problems.first(),
                "the database is damaged; the daemon begins anew, and recovers it"
            );
            let suspicion = Suspicion { reasons: problems, is_confirmed: true };
            suspect(store.database(), &suspicion);
            true
        }
        Err(error) => {
            tracing::warn!(%error, "the database could not be checked");
            false
        }
    }
}

async fn check(store: &Store) -> Result<Vec<String>> {
    store.queue_long_read(|tx| tx.integrity_problems()).await?.await
}

/// Returns when the database was last found sound.
fn last_check(database: &Path) -> Millis {
    let text = std::fs::read_to_string(checked_note_of(database)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

fn note_check(database: &Path) {
    if let Err(error) = std::fs::write(checked_note_of(database), format!("{}\n", time::now())) {
        tracing::warn!(%error, "the time of the last check could not be noted");
    }
}
