//! The indexer: a thread that opens or builds the index, has it follow the database, and begins anew
//! behind trouble.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::mpsc;

use super::build;
use super::follower::Follower;
use super::index::{IndexedTo, OpenIndex, remove};
use super::shared::{Phase, Shared};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::feed::Start;

/// Bytes of texts past which a commit does not wait: they wait in memory for the indexing thread.
pub(super) const MAX_UNCOMMITTED_BYTES: usize = 16 << 20;
/// How long the indexer waits before it tries again what has failed.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Messages of a session read at one time.
pub(super) const MAX_PAGE_MESSAGES: usize = 256;

/// Why the indexer stopped following.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The index, which is then built anew.
    Index(Error),
    /// A search met what may be damage: the index is opened anew, which reads all of it.
    Suspected,
    /// The database, or the disk: tried again later.
    Later(Error),
}

impl Trouble {
    /// Returns what an error of the index comes to.
    pub(super) fn of_index(error: Error) -> Self {
        match error {
            Error::DiskFull(_) | Error::Storage(_) => Self::Later(error),
            error => Self::Index(error),
        }
    }
}

/// Where the indexer works, and for whom.
pub(super) struct Indexer {
    pub(super) folder: PathBuf,
    pub(super) store: Arc<Store>,
    pub(super) shared: Arc<Shared>,
}

impl Indexer {
    /// The index that is searched.
    fn index_folder(&self) -> PathBuf {
        self.folder.join("index")
    }

    /// Keeps the index until it is told to stop.
    pub(super) async fn run(self) {
        let mut failures = 0;
        while !self.shared.is_stopping() {
            self.shared.enter(Phase::Opening);
            let followed = AssertUnwindSafe(self.follow(&mut failures)).catch_unwind().await;
            let trouble = match followed {
                Ok(Ok(())) => break,
                Ok(Err(trouble)) => trouble,
                Err(_) => Trouble::Index(Error::Damaged("the search index panicked".to_owned())),
            };
            if self.shared.is_stopping() {
                break;
            }
            let error = match trouble {
                Trouble::Suspected => {
                    tracing::warn!("the search index is checked");
                    continue;
                }
                Trouble::Index(error) => {
                    tracing::warn!(%error, "the search index is built anew");
                    failures += 1;
                    match remove(&self.index_folder()) {
                        // Once is damage; again and again is something else.
                        Ok(()) if failures <= 2 => continue,
                        Ok(()) => error,
                        Err(error) => error,
                    }
                }
                Trouble::Later(error) => error,
            };
            tracing::error!(%error, "the search index cannot go on; it tries again");
            self.shared.enter(Phase::Failed(error));
            self.pause(RETRY_AFTER).await;
        }
        self.shared.enter(Phase::Ended);
    }

    /// Waits, but not for longer than until it is told to stop.
    async fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.shared.is_stopping() && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            let _ = tokio::time::timeout(left, self.shared.wake.notified()).await;
        }
    }

    async fn follow(&self, failures: &mut u32) -> Result<(), Trouble> {
        let (open, indexed_to) = self.open().await?;
        let reader = OpenIndex::reader(&open.index).map_err(Trouble::of_index)?;
        self.shared.need_after(indexed_to.cursor.seq);
        self.shared.publish(&open, &reader, indexed_to.cursor.seq);
        *failures = 0;
        Follower::new(self, open, reader, indexed_to).run().await
    }

    /// Returns the index that is there, where it is whole and of this database; else a new one.
    async fn open(&self) -> Result<(OpenIndex, IndexedTo), Trouble> {
        let folder = self.index_folder();
        let why = if folder.exists() {
            match OpenIndex::open(&folder) {
                Ok((open, indexed_to)) => {
                    if self.is_behind_in_this_feed(&indexed_to).await? {
                        return Ok((open, indexed_to));
                    }
                    "it does not go on with this database's changes".to_owned()
                }
                Err(error) => error.to_string(),
            }
        } else {
            "there is none".to_owned()
        };
        tracing::info!(why, "building the search index");
        build::build(self, &folder).await
    }

    /// True where an index has followed this database's feed up to a change it can go on from.
    async fn is_behind_in_this_feed(&self, indexed_to: &IndexedTo) -> Result<bool, Trouble> {
        let (feed_id, start) =
            (self.store.feed_id().clone(), Start::Cursor(indexed_to.cursor.clone()));
        match self.store.read(move |tx| start.check(tx, &feed_id)).await {
            Ok(_) => Ok(true),
            Err(Error::Expired { .. }) => Ok(false),
            Err(error) => Err(Trouble::Later(error)),
        }
    }
}

/// Starts the indexer's thread, which drops `alive` when it ends.
pub(super) fn start(indexer: Indexer, alive: mpsc::Sender<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| Error::Startup(format!("cannot start the indexer's runtime: {error}")))?;
    std::thread::Builder::new()
        .name("aetherd-index".to_owned())
        .spawn(move || {
            runtime.block_on(indexer.run());
            drop(alive);
        })
        .map(|_| ())
        .map_err(|error| Error::Startup(format!("cannot start the indexer's thread: {error}")))
}

/// Where an index is built before it takes its place.
pub(super) fn building_folder(indexer: &Indexer) -> PathBuf {
    indexer.folder.join("building")
}

/// Puts a built index in its place.
pub(super) fn put_in_place(built: &Path, folder: &Path) -> Result<()> {
    remove(folder)?;
    std::fs::rename(built, folder)
        .map_err(|error| Error::io("putting the search index in its place", folder, &error))
}
