//! The pool of read connections, each on a thread of its own.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::engine::{Connection, Engine};
use super::transaction::ReadTx;
use crate::error::{Error, Result};
use crate::model::limits::MAX_QUEUED_READS;

type Job = Box<dyn FnOnce(&mut dyn Connection) -> bool + Send>;

/// The pool's handle.
pub(super) struct Readers {
    queue: Mutex<Option<mpsc::Sender<(Job, OwnedSemaphorePermit)>>>,
    places: Arc<Semaphore>,
    /// Each reader holds a sender; all are gone when all have ended.
    ended: tokio::sync::Mutex<tokio::sync::mpsc::Receiver<()>>,
}

/// A queued read's result.
#[derive(Debug)]
pub struct PendingRead<T> {
    reply: oneshot::Receiver<Result<T>>,
}

impl<T> Future for PendingRead<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply).poll(context).map(|reply| {
            reply.unwrap_or_else(|_| {
                Err(Error::Internal("the read panicked; the log says where".to_owned()))
            })
        })
    }
}

impl Readers {
    /// Starts the readers, each with its own connection.
    pub(super) fn start(engine: &Arc<dyn Engine>, count: usize) -> Result<Self> {
        let (queue, jobs) = mpsc::channel();
        let jobs = Arc::new(Mutex::new(jobs));
        let (alive, ended) = tokio::sync::mpsc::channel(1);
        for number in 0..count {
            let connection = engine.connect()?;
            let (engine, jobs, alive) = (Arc::clone(engine), Arc::clone(&jobs), alive.clone());
            std::thread::Builder::new()
                .name(format!("aetherd-read-{number}"))
                .spawn(move || {
                    serve(&engine, connection, &jobs);
                    drop(alive);
                })
                .map_err(|error| {
                    Error::Startup(format!("cannot start a reader's thread: {error}"))
                })?;
        }
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            places: Arc::new(Semaphore::new(MAX_QUEUED_READS)),
            ended: tokio::sync::Mutex::new(ended),
        })
    }

    /// Queues a read, waiting for a place.
    pub(super) async fn queue<T, F>(&self, work: F) -> Result<PendingRead<T>>
    where
        T: Send + 'static,
        F: FnOnce(&mut ReadTx<'_>) -> Result<T> + Send + 'static,
    {
        let place =
            Arc::clone(&self.places).acquire_owned().await.map_err(|_| Error::ShuttingDown)?;
        let (reply, receiver) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Nobody waits any more: a stop must not have to read for those who were cut off.
            if reply.is_closed() {
                return true;
            }
            match catch_unwind(AssertUnwindSafe(|| read(connection, work))) {
                Ok(result) => {
                    let _ = reply.send(result);
                    true
                }
                Err(_) => false,
            }
        });
        let queue = self.queue.lock().expect("no holder of the lock panics");
        queue
            .as_ref()
            .ok_or(Error::ShuttingDown)?
            .send((job, place))
            .map_err(|_| Error::Internal("the readers have ended".to_owned()))?;
        Ok(PendingRead { reply: receiver })
    }

    /// Takes no more reads and waits until those queued are done.
    pub(super) async fn close(&self) {
        self.queue.lock().expect("no holder of the lock panics").take();
        self.places.close();
        // Nothing is ever sent: this waits until the last reader has dropped its sender.
        let _ = self.ended.lock().await.recv().await;
    }
}

fn serve(
    engine: &Arc<dyn Engine>,
    mut connection: Box<dyn Connection>,
    jobs: &Mutex<mpsc::Receiver<(Job, OwnedSemaphorePermit)>>,
) {
    loop {
        // One reader waits for the queue, the others for the lock.
        let next = jobs.lock().expect("no holder of the lock panics").recv();
        let Ok((job, place)) = next else { return };
        let sound = job(connection.as_mut());
        drop(place);
        if !sound {
            // What a panic left half done is not read from again, unless connecting anew fails.
            match engine.connect() {
                Ok(fresh) => connection = fresh,
                Err(error) => tracing::error!(%error, "a reader could not connect anew"),
            }
        }
    }
}

/// Reads in one snapshot.
fn read<T>(
    connection: &mut dyn Connection,
    work: impl FnOnce(&mut ReadTx<'_>) -> Result<T>,
) -> Result<T> {
    connection.execute("BEGIN", &[])?;
    let result = work(&mut ReadTx::new(connection));
    if !connection.is_autocommit()? {
        let ended = connection.execute("COMMIT", &[]);
        if result.is_ok() {
            ended?;
        }
    }
    result
}
