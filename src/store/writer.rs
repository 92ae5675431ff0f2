//! The one writer: takes what is queued, BEGIN, applies each, COMMIT (one fsync for all), replies.
//!
//! There is no timer: what has queued while the last group was committed is the next group.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::compaction::Recorded;
use super::doubts::Doubts;
use super::engine::{self, Connection};
use super::mark::Mark;
use super::transaction::WriteTx;
use super::trash;
use crate::error::{Error, Result};
use crate::model::Seq;
use crate::model::limits::{
    MAX_GROUP_BYTES, MAX_GROUP_WRITES, MAX_QUEUED_WRITE_BYTES, MAX_QUEUED_WRITES,
};

/// How long the writer stays awake behind a group.
const AWAKE_AFTER_A_GROUP: Duration = Duration::from_micros(150);

/// The queue's bytes are counted in units of this many.
const BYTES_UNIT: usize = 1024;

/// How much the writer has done and has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterCounts {
    /// Writes that wait.
    pub queued: u64,
    /// Writes since the start.
    pub writes: u64,
    /// Transactions since the start.
    pub groups: u64,
}

/// The writer's handle.
pub(super) struct Writer {
    queue: Arc<Queue>,
    places: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    counters: Arc<Counters>,
    committed: watch::Receiver<Seq>,
    ended: watch::Receiver<Option<Result<()>>>,
}

/// The way to the writer's thread; none once it takes no more.
type Queue = Mutex<Option<mpsc::Sender<Job>>>;

/// What is done on the writer's thread between two transactions. An error is fatal.
type Step = Box<dyn FnOnce(&mut Recorded) -> Result<()> + Send>;

/// What the writer's thread is to do next.
enum Job {
    Write(Queued),
    Step(Step),
}

/// The way to the writer's thread for what is no write.
#[derive(Clone)]
pub(super) struct Steps {
    queue: Arc<Queue>,
}

impl Steps {
    /// Does something on the writer's thread, between two transactions, and waits for its result. The
    /// outer error is fatal to the writer.
    pub(super) fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Recorded) -> Result<Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (reply, result) = mpsc::channel();
        let job = Job::Step(Box::new(move |connection| match step(connection) {
            Ok(result) => {
                // Who asked has not gone: it waits for this.
                let _ = reply.send(result);
                Ok(())
            }
            Err(fatal) => {
                let _ = reply.send(Err(fatal.clone()));
                Err(fatal)
            }
        }));
        {
            let queue = self.queue.lock().expect("no holder of the lock panics");
            let queue = queue.as_ref().ok_or(Error::ShuttingDown)?;
            queue.send(job).map_err(|_| Error::ShuttingDown)?;
        }
        result.recv().unwrap_or(Err(Error::ShuttingDown))
    }
}

#[derive(Default)]
struct Counters {
    writes: AtomicU64,
    groups: AtomicU64,
}

/// What the writer tells of its work as it goes on.
struct Progress {
    counters: Arc<Counters>,
    /// The number of the newest change on the disk; `None` where changes are not written.
    committed: Option<watch::Sender<Seq>>,
    mark: Option<RefCell<Mark>>,
    doubts: Doubts,
    /// Whether something may be left to purge; at the start, what the end before broke off.
    is_purging: Cell<bool>,
}

impl Progress {
    /// Takes note of what a write leaves to do, also where it is rolled back then.
    fn applied(&self, transaction: &WriteTx<'_>) {
        self.is_purging.set(self.is_purging.get() || transaction.leaves_purging());
    }

    fn last_seq(&self) -> Option<Seq> {
        self.committed.as_ref().map(|committed| *committed.borrow())
    }

    /// Tells of a commit whose last change has this number.
    fn committed(&self, last_seq: Option<Seq>) {
        let Some((committed, last)) = self.committed.as_ref().zip(last_seq) else { return };
        if *committed.borrow() == last {
            return;
        }
        if let Some(mark) = &self.mark {
            mark.borrow_mut().set(last);
        }
        committed.send_replace(last);
    }
}

struct Queued {
    command: Box<dyn Command>,
    bytes: usize,
    place: OwnedSemaphorePermit,
    weight: OwnedSemaphorePermit,
}

impl Queued {
    /// Gives the places in the queue back, then replies: who has the reply finds them free.
    fn reply(self, outcome: Result<()>) {
        drop((self.place, self.weight));
        self.command.reply(outcome);
    }
}

/// A write whose type of result is hidden from the writer.
trait Command: Send {
    fn apply(&mut self, transaction: &mut WriteTx<'_>) -> Result<()>;
    fn reply(self: Box<Self>, outcome: Result<()>);
}

struct Work<T, F> {
    work: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Command for Work<T, F>
where
    T: Send,
    F: Fn(&mut WriteTx<'_>) -> Result<T> + Send,
{
    fn apply(&mut self, transaction: &mut WriteTx<'_>) -> Result<()> {
        self.value = Some((self.work)(transaction)?);
        Ok(())
    }

    fn reply(self: Box<Self>, outcome: Result<()>) {
        let Self { value, reply, .. } = *self;
        let result = outcome.map(|()| value.expect("a write that was applied has a result"));
        // A client that vanished loses its reply, never its write.
        let _ = reply.send(result);
    }
}

/// A queued write's result. Dropping it loses the result, never the write.
#[derive(Debug)]
pub struct PendingWrite<T> {
    reply: oneshot::Receiver<Result<T>>,
}

impl<T> Future for PendingWrite<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply).poll(context).map(|reply| {
            reply.unwrap_or_else(|_| {
                Err(Error::Internal(
                    "the writer ended before the write; whether it stands is unknown".to_owned(),
                ))
            })
        })
    }
}

impl Writer {
    /// Starts the writer's thread on a connection that nothing else uses, behind the last change and with
    /// the mark of the next ones; `None` writes no changes.
    pub(super) fn start(
        connection: Box<dyn Connection>,
        feed: Option<(Seq, Mark)>,
        doubts: &Doubts,
    ) -> Result<Self> {
        let (last_seq, mark) = feed.map(|(seq, mark)| (seq, RefCell::new(mark))).unzip();
        let (queue, jobs) = mpsc::channel();
        let (ended_sender, ended) = watch::channel(None);
        let counters = Arc::new(Counters::default());
        let (committed_sender, committed) = watch::channel(last_seq.unwrap_or(0));
        let progress = Progress {
            counters: Arc::clone(&counters),
            committed: last_seq.map(|_| committed_sender),
            mark,
            doubts: doubts.clone(),
            is_purging: Cell::new(true),
        };
        std::thread::Builder::new()
            .name("aetherd-writer".to_owned())
            .spawn(move || {
                let connection = Recorded::new(connection);
                let run = catch_unwind(AssertUnwindSafe(|| serve(connection, &jobs, &progress)));
                let outcome = run.unwrap_or_else(|_| {
                    Err(Error::Internal("the writer panicked; the next start recovers".to_owned()))
                });
                ended_sender.send_replace(Some(outcome));
            })
            .map_err(|error| {
                Error::Startup(format!("cannot start the writer's thread: {error}"))
            })?;
        Ok(Self {
            queue: Arc::new(Mutex::new(Some(queue))),
            places: Arc::new(Semaphore::new(MAX_QUEUED_WRITES)),
            bytes: Arc::new(Semaphore::new(MAX_QUEUED_WRITE_BYTES / BYTES_UNIT)),
            counters,
            committed,
            ended,
        })
    }

    /// Queues a write, waiting for a place.
    pub(super) async fn queue<T, F>(&self, bytes: usize, work: F) -> Result<PendingWrite<T>>
    where
        T: Send + 'static,
        F: Fn(&mut WriteTx<'_>) -> Result<T> + Send + 'static,
    {
        let units = (bytes / BYTES_UNIT + 1).min(MAX_QUEUED_WRITE_BYTES / BYTES_UNIT);
        let units = u32::try_from(units).expect("the limit fits");
        let stopping = |_| Error::ShuttingDown;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(stopping)?;
        let weight = Arc::clone(&self.bytes).acquire_many_owned(units).await.map_err(stopping)?;
        let (reply, receiver) = oneshot::channel();
        let command = Box::new(Work { work, value: None, reply });
        let queued = Queued { command, bytes, place, weight };
        let queue = self.queue.lock().expect("no holder of the lock panics");
        queue
            .as_ref()
            .ok_or(Error::ShuttingDown)?
            .send(Job::Write(queued))
            .map_err(|_| Error::Internal("the writer has ended".to_owned()))?;
        Ok(PendingWrite { reply: receiver })
    }

    /// Returns the way to the writer's thread for what is no write.
    pub(super) fn steps(&self) -> Steps {
        Steps { queue: Arc::clone(&self.queue) }
    }

    /// Waits until the writer has failed for good.
    pub(super) async fn failed(&self) -> Error {
        let mut ended = self.ended.clone();
        loop {
            if let Some(Err(error)) = ended.borrow_and_update().as_ref() {
                return error.clone();
            }
            if ended.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Takes no more writes, finishes those queued, checkpoints and closes.
    pub(super) async fn close(&self) -> Result<()> {
        self.queue.lock().expect("no holder of the lock panics").take();
        self.places.close();
        let mut ended = self.ended.clone();
        let outcome = ended.wait_for(Option::is_some).await;
        outcome.map_or_else(
            |_| Err(Error::Internal("the writer's thread is gone".to_owned())),
            |outcome| outcome.clone().expect("waited for it"),
        )
    }

    /// Returns the number of the newest change on the disk, and news of the next ones.
    pub(super) fn committed(&self) -> watch::Receiver<Seq> {
        self.committed.clone()
    }

    pub(super) fn counts(&self) -> WriterCounts {
        WriterCounts {
            queued: (MAX_QUEUED_WRITES - self.places.available_permits().min(MAX_QUEUED_WRITES))
                as u64,
            writes: self.counters.writes.load(Ordering::Relaxed),
            groups: self.counters.groups.load(Ordering::Relaxed),
        }
    }
}

/// Serves the queue until it is closed and empty, and goes on with purges between the groups.
fn serve(mut connection: Recorded, jobs: &mpsc::Receiver<Job>, progress: &Progress) -> Result<()> {
    while let Some(job) = next_or_purge(&mut connection, jobs, progress)? {
        let mut step = None;
        match job {
            Job::Step(first) => step = Some(first),
            Job::Write(first) => {
                let mut bytes = first.bytes;
                let mut group = VecDeque::from([first]);
                while step.is_none() && group.len() < MAX_GROUP_WRITES && bytes < MAX_GROUP_BYTES {
                    match jobs.try_recv() {
                        Ok(Job::Write(next)) => {
                            bytes += next.bytes;
                            group.push_back(next);
                        }
                        Ok(Job::Step(next)) => step = Some(next),
                        Err(_) => break,
                    }
                }
                progress.counters.writes.fetch_add(group.len() as u64, Ordering::Relaxed);
                write_group(&mut connection, group, progress)?;
            }
        }
        if let Some(step) = step {
            step(&mut connection)?;
        }
    }
    // The log is folded into the database and cut, so that a copy of the one file is whole.
    if let Err(error) = engine::run(&mut connection, "PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(%error, "the last checkpoint failed; the next start reads the log");
    }
    Ok(())
}

/// Waits for the next job, or returns `None` once the queue is closed and empty. Goes on with a purge
/// meanwhile: a batch before each group, and all of it where no write comes.
///
/// On a full disk the rest is tried again before each of the next groups; where a batch fails otherwise,
/// it waits for the next purge or start. An error is fatal.
fn next_or_purge(
    connection: &mut dyn Connection,
    jobs: &mpsc::Receiver<Job>,
    progress: &Progress,
) -> Result<Option<Job>> {
    while progress.is_purging.get() {
        let mut is_done = true;
        let purge = &mut |tx: &mut WriteTx<'_>| trash::purge_batch(tx).map(|done| is_done = done);
        let outcome = write_one(connection, purge, progress)?;
        // There may be room again by the next write, and nothing else would go on with the purge.
        if matches!(outcome, Err(Error::DiskFull(_))) {
            break;
        }
        progress.is_purging.set(outcome.is_ok() && !is_done);
        match jobs.try_recv() {
            Ok(next) => return Ok(Some(next)),
            Err(mpsc::TryRecvError::Disconnected) => return Ok(None),
            Err(mpsc::TryRecvError::Empty) => {}
        }
    }
    Ok(next_job(jobs))
}

/// Waits for the next job, or returns `None` once the queue is closed and empty.
///
/// A client that writes one thing after another sends the next within the time that waking a
/// thread takes. So the thread looks again for a moment before it sleeps. It does not yield: where
/// others want the processor, it would get it back milliseconds later.
fn next_job(jobs: &mpsc::Receiver<Job>) -> Option<Job> {
    let asleep_at = Instant::now() + AWAKE_AFTER_A_GROUP;
    loop {
        match jobs.try_recv() {
            Ok(next) => return Some(next),
            Err(mpsc::TryRecvError::Disconnected) => return None,
            Err(mpsc::TryRecvError::Empty) if Instant::now() < asleep_at => std::hint::spin_loop(),
            Err(mpsc::TryRecvError::Empty) => return jobs.recv().ok(),
        }
    }
}

/// Writes a group in one transaction, or, where one of it fails, each in its own.
///
/// A write may store far more than its params: a patch rewrites its message. So a transaction that
/// has grown large ends early, and the rest of the group is in the next.
///
/// An error is fatal: the transaction's state is unknown.
fn write_group(
    connection: &mut dyn Connection,
    mut group: VecDeque<Queued>,
    progress: &Progress,
) -> Result<()> {
    while !group.is_empty() {
        progress.counters.groups.fetch_add(1, Ordering::Relaxed);
        let mut applied = Vec::with_capacity(group.len());
        if let Err(error) = connection.execute(BEGIN, &[]) {
            reply_all(group, &error);
            return roll_back(connection);
        }
        let (mut bytes, mut is_sound, mut last_seq) = (0, true, progress.last_seq());
        while is_sound
            && bytes < MAX_GROUP_BYTES
            && let Some(mut queued) = group.pop_front()
        {
            let mut transaction = WriteTx::new(connection, last_seq);
            let outcome = queued.command.apply(&mut transaction);
            bytes += transaction.written_bytes();
            last_seq = transaction.last_seq();
            progress.applied(&transaction);
            is_sound = !outcome.as_ref().is_err_and(Error::is_storage)
                && (outcome.is_ok() || !transaction.has_changed());
            applied.push((queued, outcome));
        }
        if is_sound && let Err(error) = connection.execute(COMMIT, &[]) {
            // A large write that finds no room must not take the small ones along. Nothing of the
            // group stands: the engine reports no failure behind the flush of a commit.
            tracing::error!(%error, writes = applied.len(), "a commit failed");
            is_sound = false;
        }
        if !is_sound {
            roll_back(connection)?;
            let replayed = applied.into_iter().map(|(queued, _)| queued);
            return write_singly(connection, replayed.chain(group), progress);
        }
        progress.committed(last_seq);
        for (queued, outcome) in applied {
            queued.reply(outcome);
        }
    }
    Ok(())
}

/// Writes each of a group in a transaction of its own, so that a bad one fails alone.
fn write_singly(
    connection: &mut dyn Connection,
    group: impl Iterator<Item = Queued>,
    progress: &Progress,
) -> Result<()> {
    for mut queued in group {
        let outcome = write_one(connection, &mut |tx| queued.command.apply(tx), progress)?;
        queued.reply(outcome);
    }
    Ok(())
}

/// The outer error is fatal, the inner one is the write's.
fn write_one(
    connection: &mut dyn Connection,
    work: &mut dyn FnMut(&mut WriteTx<'_>) -> Result<()>,
    progress: &Progress,
) -> Result<Result<()>> {
    if let Err(error) = connection.execute(BEGIN, &[]) {
        roll_back(connection)?;
        return Ok(Err(error));
    }
    let mut transaction = WriteTx::new(connection, progress.last_seq());
    let applied = work(&mut transaction);
    let last_seq = transaction.last_seq();
    progress.applied(&transaction);
    let outcome = applied.and_then(|()| connection.execute(COMMIT, &[]).map(|_| ()));
    match &outcome {
        Ok(()) => progress.committed(last_seq),
        Err(error) => {
            if error.is_storage() {
                tracing::error!(%error, "a write failed");
            }
            progress.doubts.about(error);
            roll_back(connection)?;
        }
    }
    Ok(outcome)
}

pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(super) const COMMIT: &str = "COMMIT";
pub(super) const ROLLBACK: &str = "ROLLBACK";

/// Ends the transaction, where one is open.
pub(super) fn roll_back(connection: &mut dyn Connection) -> Result<()> {
    // Some errors end the transaction by themselves.
    if connection.is_autocommit()? {
        return Ok(());
    }
    connection.execute(ROLLBACK, &[]).map(|_| ()).map_err(|error| {
        Error::Internal(format!("a rollback failed, the database's state is unknown: {error}"))
    })
}

fn reply_all(group: VecDeque<Queued>, error: &Error) {
    for queued in group {
        queued.reply(Err(error.clone()));
    }
}
