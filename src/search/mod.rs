//! The full-text index over messages and titles: derived from the database, rebuilt where it is
//! missing, damaged or of another version. Knows nothing of the wire.

mod build;
mod changes;
mod compile;
mod directory;
mod follower;
mod hits;
mod index;
mod indexer;
mod page;
mod query;
mod schema;
mod shared;
mod snippet;
mod tokenizer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::api::search::{HitPage, SearchParams};
use crate::api::system::{SearchState, SearchStatus};
use crate::error::{Error, Result};
use crate::model::Seq;
use crate::model::limits::MAX_QUEUED_SEARCHES;
use crate::store::Store;
use index::damage;
use indexer::Indexer;
use shared::{Phase, Shared};

/// How long a search waits for the index to have what was written before it.
const WAITS_FOR: Duration = Duration::from_secs(5);

/// How long a stop waits for the index.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// A search of the thread that carries them out.
type Job = Box<dyn FnOnce(&Searcher) + Send>;

/// The index and who works on it; or nothing, where search is turned off.
pub struct Search {
    running: Option<Running>,
}

struct Running {
    store: Arc<Store>,
    shared: Arc<Shared>,
    queue: Mutex<Option<mpsc::Sender<(Job, OwnedSemaphorePermit)>>>,
    places: Arc<Semaphore>,
    /// Both threads hold a sender; they are gone when both have ended.
    ended: tokio::sync::Mutex<tokio::sync::mpsc::Receiver<()>>,
}

/// What a search is carried out with.
pub struct Searcher {
    store: Arc<Store>,
    shared: Arc<Shared>,
}

/// A queued search's result.
pub struct PendingSearch<T> {
    reply: oneshot::Receiver<Result<T>>,
}

impl<T> PendingSearch<T> {
    /// Waits for the result.
    pub async fn result(self) -> Result<T> {
        self.reply.await.unwrap_or_else(|_| {
            Err(Error::Internal("the search panicked; the log says where".to_owned()))
        })
    }
}

impl Search {
    /// Starts keeping an index of a store in a folder. Returns at once: what there is to read or build
    /// is read or built by a thread.
    pub fn start(folder: PathBuf, store: Arc<Store>) -> Result<Self> {
        let shared = Arc::new(Shared::new());
        let (queue, jobs) = mpsc::channel::<(Job, OwnedSemaphorePermit)>();
        let indexer = Indexer { folder, store: Arc::clone(&store), shared: Arc::clone(&shared) };
        let searcher = Searcher { store: Arc::clone(&store), shared: Arc::clone(&shared) };
        let (alive, ended) = tokio::sync::mpsc::channel(1);
        indexer::start(indexer, alive.clone())?;
        std::thread::Builder::new()
            .name("aetherd-search".to_owned())
            .spawn(move || {
                for (job, place) in jobs {
                    job(&searcher);
                    drop(place);
                }
                drop(alive);
            })
            .map_err(|error| {
                Error::Startup(format!("cannot start the searching thread: {error}"))
            })?;
        let running = Running {
            store,
            shared,
            queue: Mutex::new(Some(queue)),
            places: Arc::new(Semaphore::new(MAX_QUEUED_SEARCHES)),
            ended: tokio::sync::Mutex::new(ended),
        };
        Ok(Self { running: Some(running) })
    }

    /// Returns a search that is turned off.
    pub fn turned_off() -> Self {
        Self { running: None }
    }

    /// Queues a search and returns what to await for its result.
    pub fn queue<T, F>(&self, work: F) -> Result<PendingSearch<T>>
    where
        T: Send + 'static,
        F: FnOnce(&Searcher) -> Result<T> + Send + 'static,
    {
        let running = self.running.as_ref().ok_or(Error::TurnedOff(
            "search is turned off: the daemon was started without it (--no-search)",
        ))?;
        let place =
            Arc::clone(&running.places).try_acquire_owned().map_err(|error| match error {
                tokio::sync::TryAcquireError::Closed => Error::ShuttingDown,
                tokio::sync::TryAcquireError::NoPermits => Error::Overloaded {
                    what: "searches that wait",
                    limit: MAX_QUEUED_SEARCHES as u64,
                },
            })?;
        let (reply, receiver) = oneshot::channel();
        let job: Job = Box::new(move |searcher| {
            // Nobody waits any more.
            if reply.is_closed() {
                return;
            }
            // Dropping the sender tells that it panicked.
            if let Ok(result) = catch_unwind(AssertUnwindSafe(|| work(searcher))) {
                let _ = reply.send(result);
            }
        });
        let queue = running.queue.lock().expect("no holder of the lock panics");
        let queue = queue.as_ref().ok_or(Error::ShuttingDown)?;
        queue
            .send((job, place))
            .map_err(|_| Error::Internal("the searching thread has ended".to_owned()))?;
        Ok(PendingSearch { reply: receiver })
    }

    /// Tells how the index is.
    pub fn status(&self) -> SearchStatus {
        let Some(running) = &self.running else {
            return SearchStatus {
                state: SearchState::Off,
                indexed_seq: 0,
                lag: 0,
                documents: 0,
                done: 0,
                total: 0,
            };
        };
        let progress = running.shared.progress();
        let (state, done, total) = match progress.phase {
            Phase::Opening => (SearchState::Opening, 0, 0),
            Phase::Building(done, total) => (SearchState::Building, done, total),
            Phase::Following => (SearchState::Ready, progress.documents, progress.documents),
            Phase::Failed(_) | Phase::Ended => (SearchState::Failed, 0, 0),
        };
        let last = *running.store.committed().borrow();
        SearchStatus {
            state,
            indexed_seq: progress.indexed,
            lag: (last - progress.indexed).max(0),
            documents: progress.documents,
            done,
            total,
        }
    }

    /// Returns the change behind which the index needs the feed; `None` where it does not go on from it.
    pub fn needed_after(&self) -> Option<Seq> {
        self.running.as_ref().and_then(|running| running.shared.needed_after())
    }

    /// Ends the searches and the indexer, which commits what it has. The store is still needed.
    pub async fn close(&self) {
        let Some(running) = &self.running else { return };
        running.places.close();
        running.queue.lock().expect("no holder of the lock panics").take();
        running.shared.stop();
        let mut ended = running.ended.lock().await;
        // Nothing is ever sent: this waits until both have dropped their senders.
        if tokio::time::timeout(ENDS_WITHIN, ended.recv()).await.is_err() {
            tracing::warn!(
                "the search index does not end in time; the next start goes on from its last commit"
            );
        }
    }
}

impl Searcher {
    /// Carries out a search. Sees every write that was on the disk when it was called.
    pub fn search(&self, params: &SearchParams) -> Result<HitPage> {
        let until = Instant::now() + WAITS_FOR;
        let seq = *self.store.committed().borrow();
        for _ in 0..2 {
            let found = catch_unwind(AssertUnwindSafe(|| {
                page::page(&self.store, &self.shared, params, (seq, until))
            }));
            match found {
                Ok(Err(page::Failure::Index(error))) => {
                    tracing::warn!(%error, "a search met damage");
                }
                Ok(Err(page::Failure::Other(error))) => return Err(error),
                Ok(Ok(page)) => return Ok(page),
                Err(_) => tracing::warn!("a search panicked over the index"),
            }
            // The index is checked, and built anew where it is damaged; the search waits for it. What
            // fails again then is the search, not the index.
            self.shared.report_damage();
        }
        Err(Error::Internal("a search failed over an index that is whole".to_owned()))
    }
}
