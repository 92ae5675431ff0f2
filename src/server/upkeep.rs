//! Long jobs that clients ask for and the daemon carries out, one at a time.
//!
//! What a job does it does whether or not its client waits for the answer.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};

use super::Server;
use super::methods::{Work, encode};
use crate::api;
use crate::error::{Error, Result};
use crate::model::limits::MAX_QUEUED_UPKEEP;

/// A job, and where its outcome goes.
pub enum Job {
    /// A retention run.
    Retain {
        /// Whether it only looks.
        dry_run: bool,
        /// Who waits.
        reply: Reply<api::retention::Run>,
    },
    /// A compaction of the database's file.
    Compact {
        /// Who waits.
        reply: Reply<api::system::Compacted>,
    },
}

/// Where the outcome of a job goes; nobody may be there any more.
pub type Reply<T> = oneshot::Sender<Result<T>>;

/// The jobs that wait.
pub struct Upkeep {
    queue: mpsc::Sender<Job>,
    jobs: Mutex<mpsc::Receiver<Job>>,
}

impl Upkeep {
    pub(super) fn new() -> Self {
        let (queue, jobs) = mpsc::channel(MAX_QUEUED_UPKEEP);
        Self { queue, jobs: Mutex::new(jobs) }
    }

    /// Returns the next job, once there is one. Dropping the future loses none.
    pub async fn next(&self) -> Job {
        self.jobs.lock().await.recv().await.expect("the queue is open while this is there")
    }

    /// Queues a job, and returns the wait for its outcome.
    pub(super) fn ask<T>(
        &self,
        server: &Arc<Server>,
        job: impl FnOnce(Reply<T>) -> Job,
    ) -> Result<Work>
    where
        T: serde::Serialize + Send + 'static,
    {
        let (reply, outcome) = oneshot::channel();
        self.queue.try_send(job(reply)).map_err(|_| Error::Overloaded {
            what: "retention runs and compactions that wait",
            limit: MAX_QUEUED_UPKEEP as u64,
        })?;
        let server = Arc::clone(server);
        Ok(Work::Awaited(Box::pin(async move {
            let outcome = tokio::select! {
                () = server.stopping() => return Err(Error::ShuttingDown),
                outcome = outcome => outcome,
            };
            let result = encode(&outcome.unwrap_or(Err(Error::ShuttingDown))?)?;
            Ok(Box::new(move |_: &mut crate::store::ReadTx<'_>| Ok(result)) as _)
        })))
    }
}
