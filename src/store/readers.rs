//! The pool of read connections, each on a thread of its own.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::doubts::Doubts;
use super::engine::Connection;
use super::engine_slot::EngineSlot;
use super::priority;
use super::transaction::ReadTx;
use crate::error::{Error, Result};
use crate::model::limits::MAX_QUEUED_READS;

/// A read, given a connection or why there is none. Returns whether the connection is sound.
type Job = Box<dyn FnOnce(&mut Result<Box<dyn Connection>>) -> bool + Send>;

/// What a reader is to do next.
enum Task {
    Read(Job, OwnedSemaphorePermit),
    /// Close its connection, and wait.
    Park(Arc<Parking>),
}

/// Where readers wait without a connection.
#[derive(Default)]
struct Parking {
    state: Mutex<ParkingState>,
    changed: Condvar,
}

#[derive(Default)]
struct ParkingState {
    parked: usize,
    is_over: bool,
}

impl Parking {
    /// Counts a reader that has no connection any more, and waits until it may connect again.
    fn park(&self) {
        let mut state = self.state.lock().expect("no holder of the lock panics");
        state.parked += 1;
        self.changed.notify_all();
        while !state.is_over {
            state = self.changed.wait(state).expect("no holder of the lock panics");
        }
    }

    fn is_over(&self) -> bool {
        self.state.lock().expect("no holder of the lock panics").is_over
    }

    /// Waits until so many are parked, and returns whether they are.
    fn wait_for(&self, count: usize, patience: Duration) -> bool {
        let state = self.state.lock().expect("no holder of the lock panics");
        let waited = self.changed.wait_timeout_while(state, patience, |state| state.parked < count);
        waited.expect("no holder of the lock panics").0.parked >= count
    }
}

/// Readers that have no connection. Dropped, it lets them connect again.
pub(super) struct Parked {
    parking: Arc<Parking>,
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.parking.state.lock().expect("no holder of the lock panics").is_over = true;
        self.parking.changed.notify_all();
    }
}

/// The pool's handle.
pub(super) struct Readers {
    queue: Mutex<Option<mpsc::Sender<Task>>>,
    count: usize,
    places: Arc<Semaphore>,
    /// Each reader holds a sender; all are gone when all have ended.
    ended: tokio::sync::Mutex<tokio::sync::mpsc::Receiver<()>>,
    doubts: Doubts,
}

/// By as much as the system lets a thread.
const ALL_STEPS: i32 = 19;

/// How readers share the processor with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// As all threads do.
    Usual,
    /// They take what the others leave, where the system lets a thread do so.
    Low,
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
    /// Starts so many readers of this name, each with its own connection, who tell where what they read
    /// may be damaged.
    pub(super) fn start(
        engine: &EngineSlot,
        name: &str,
        count: usize,
        priority: Priority,
        doubts: &Doubts,
    ) -> Result<Self> {
        let (queue, jobs) = mpsc::channel();
        let jobs = Arc::new(Mutex::new(jobs));
        let (alive, ended) = tokio::sync::mpsc::channel(1);
        for number in 0..count {
            let connection = engine.connect()?;
            let (engine, jobs, alive) = (engine.clone(), Arc::clone(&jobs), alive.clone());
            std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || {
                    if priority == Priority::Low {
                        priority::lower(ALL_STEPS);
                    }
                    serve(&engine, connection, &jobs, priority);
                    drop(alive);
                })
                .map_err(|error| {
                    Error::Startup(format!("cannot start a reader's thread: {error}"))
                })?;
        }
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            count,
            places: Arc::new(Semaphore::new(MAX_QUEUED_READS)),
            ended: tokio::sync::Mutex::new(ended),
            doubts: doubts.clone(),
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
        let doubts = self.doubts.clone();
        let job: Job = Box::new(move |connection| {
            // Nobody waits any more: a stop must not have to read for those who were cut off.
            if reply.is_closed() {
                return true;
            }
            let connection = match connection {
                Ok(connection) => connection.as_mut(),
                Err(error) => {
                    let _ = reply.send(Err(error.clone()));
                    return false;
                }
            };
            match catch_unwind(AssertUnwindSafe(|| read(connection, work))) {
                Ok((result, is_sound)) => {
                    if let Err(error) = &result {
                        doubts.about(error);
                    }
                    let _ = reply.send(result);
                    is_sound && end_transaction(connection)
                }
                // Dropping the sender tells that it panicked.
                Err(_) => {
                    doubts.raise();
                    false
                }
            }
        });
        let queue = self.queue.lock().expect("no holder of the lock panics");
        queue
            .as_ref()
            .ok_or(Error::ShuttingDown)?
            .send(Task::Read(job, place))
            .map_err(|_| Error::Internal("the readers have ended".to_owned()))?;
        Ok(PendingRead { reply: receiver })
    }

    /// Has the readers finish what is queued and close their connections. What is queued then waits
    /// until what this returns is dropped.
    ///
    /// Blocks, but not for longer than it has patience with a read that goes on.
    pub(super) fn park(&self, patience: Duration) -> Result<Parked> {
        let parked = Parked { parking: Arc::default() };
        {
            let queue = self.queue.lock().expect("no holder of the lock panics");
            let queue = queue.as_ref().ok_or(Error::ShuttingDown)?;
            for _ in 0..self.count {
                queue
                    .send(Task::Park(Arc::clone(&parked.parking)))
                    .map_err(|_| Error::Internal("the readers have ended".to_owned()))?;
            }
        }
        if parked.parking.wait_for(self.count, patience) {
            return Ok(parked);
        }
        Err(Error::Overloaded {
            what: "seconds that a compaction waits for a read that goes on",
            limit: patience.as_secs(),
        })
    }

    /// Takes no more reads.
    pub(super) fn end(&self) {
        self.queue.lock().expect("no holder of the lock panics").take();
        self.places.close();
    }

    /// Takes no more reads and waits until those queued are done.
    pub(super) async fn close(&self) {
        self.end();
        // Nothing is ever sent: this waits until the last reader has dropped its sender.
        let _ = self.ended.lock().await.recv().await;
    }
}

fn serve(
    engine: &EngineSlot,
    connection: Box<dyn Connection>,
    jobs: &Mutex<mpsc::Receiver<Task>>,
    priority: Priority,
) {
    let mut connection = Ok(connection);
    loop {
        // One reader waits for the queue, the others for the lock.
        let next = jobs.lock().expect("no holder of the lock panics").recv();
        let Ok(task) = next else { return };
        let sound = match task {
            Task::Read(job, place) => {
                let sound = job(&mut connection);
                drop(place);
                // What takes long has read much, which nobody wants kept; and a check must see the file,
                // not what was read of it before.
                sound && priority == Priority::Usual
            }
            // Who asked has given up meanwhile.
            Task::Park(parking) if parking.is_over() => true,
            Task::Park(parking) => {
                connection = Err(Error::Internal("a reader has no connection".to_owned()));
                parking.park();
                false
            }
        };
        if !sound {
            // What a panic or a failure left half done is not read from again.
            connection = engine.connect();
            if let Err(error) = &connection {
                tracing::error!(%error, "a reader could not connect anew; it tries again");
            }
        }
    }
}

/// Reads in one snapshot, which `end_transaction` ends where the connection is still sound.
fn read<T>(
    connection: &mut dyn Connection,
    work: impl FnOnce(&mut ReadTx<'_>) -> Result<T>,
) -> (Result<T>, bool) {
    if let Err(error) = connection.execute("BEGIN", &[]) {
        return (Err(error), true);
    }
    let mut tx = ReadTx::new(connection);
    let result = work(&mut tx);
    (result, tx.is_sound())
}

/// Ends the snapshot, and returns whether the connection can be used again. An open snapshot
/// would show every later read the past, and keep the log from starting over.
fn end_transaction(connection: &mut dyn Connection) -> bool {
    for statement in ["COMMIT", "ROLLBACK"] {
        match connection.is_autocommit() {
            Ok(true) => return true,
            Ok(false) => {
                if let Err(error) = connection.execute(statement, &[]) {
                    tracing::warn!(%error, statement, "a read could not end its snapshot");
                }
            }
            Err(_) => return false,
        }
    }
    connection.is_autocommit().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::super::engine::{EachRow, Value};
    use super::*;

    /// A connection inside a transaction, whose statements fail as told.
    struct Stuck {
        failing: &'static [&'static str],
        open: bool,
    }

    impl Connection for Stuck {
        fn execute(&mut self, sql: &'static str, _: &[Value<'_>]) -> Result<u64> {
            if self.failing.contains(&sql) {
                return Err(Error::Storage(format!("{sql} fails")));
            }
            self.open = false;
            Ok(0)
        }

        fn execute_text(&mut self, _: &str, _: &[Value<'_>]) -> Result<u64> {
            Ok(0)
        }

        fn query(&mut self, _: &'static str, _: &[Value<'_>], _: &mut EachRow<'_>) -> Result<()> {
            Ok(())
        }

        fn run(&mut self, _: &str, _: &mut EachRow<'_>) -> Result<()> {
            Ok(())
        }

        fn is_autocommit(&self) -> Result<bool> {
            Ok(!self.open)
        }
    }

    /// A connection whose every statement but BEGIN panics.
    struct Panicking;

    impl Connection for Panicking {
        fn execute(&mut self, sql: &'static str, _: &[Value<'_>]) -> Result<u64> {
            assert_eq!(sql, "BEGIN");
            Ok(0)
        }

        fn execute_text(&mut self, _: &str, _: &[Value<'_>]) -> Result<u64> {
            Ok(0)
        }

        fn query(&mut self, _: &'static str, _: &[Value<'_>], _: &mut EachRow<'_>) -> Result<()> {
            panic!("a damaged page");
        }

        fn run(&mut self, _: &str, _: &mut EachRow<'_>) -> Result<()> {
            panic!("a damaged page");
        }

        fn is_autocommit(&self) -> Result<bool> {
            Ok(false)
        }
    }

    #[test]
    fn a_check_that_panics_finds_a_problem_and_ends_its_connection() {
        let (problems, is_sound) = read(&mut Panicking, |tx| tx.integrity_problems());
        assert_eq!(problems.expect("the check has a result").len(), 1);
        assert!(!is_sound);
    }

    #[test]
    fn a_snapshot_that_does_not_end_ends_its_connection() {
        for (failing, sound) in
            [(&[][..], true), (&["COMMIT"][..], true), (&["COMMIT", "ROLLBACK"][..], false)]
        {
            let mut connection = Stuck { failing, open: true };
            assert_eq!(end_transaction(&mut connection), sound, "{failing:?}");
            assert_eq!(connection.open, !sound);
        }
    }
}
