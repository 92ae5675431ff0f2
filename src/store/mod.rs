//! The database: one writer, a pool of readers, and the SQL of every noun. Knows nothing of the wire.

pub mod attachments;
pub mod backup;
pub mod changes;
pub mod compact;
pub mod compaction;
mod doubts;
pub mod dump;
pub mod edits;
pub mod engine;
mod engine_slot;
pub mod feed;
mod file_edits;
pub mod files;
mod first_sent;
pub mod fork;
mod format;
mod hidden;
pub mod history;
mod mark;
pub mod messages;
pub mod migrations;
pub mod new_name;
pub(crate) mod page;
mod patch;
pub mod places;
mod prefix;
mod priority;
pub mod projects;
mod readers;
pub mod recovery;
pub mod replay;
pub mod restore;
pub mod retention;
pub mod revert;
pub mod searchable;
pub mod session_list;
pub mod sessions;
pub mod settings;
mod shelf;
pub mod status;
pub mod transaction;
pub mod trash;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

pub use readers::PendingRead;
pub use transaction::{ReadTx, WriteTx};
pub use writer::{PendingWrite, WriterCounts};

use crate::api::system::Compacted;
use crate::config::EngineKind;
use crate::error::{Error, Result};
use crate::model::{FeedId, JsonObject, Seq};
use crate::paths::{log_of, with_companions};
use backup::{Backup, HeldFiles, Reason, Target};
use compaction::Compaction;
use doubts::Doubts;
use engine_slot::EngineSlot;
use mark::Mark;
use readers::{Priority, Readers};
use writer::Writer;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The database file.
    pub database: PathBuf,
    /// Where backups go.
    pub backups: PathBuf,
    /// The storage engine.
    pub engine: EngineKind,
    /// Reader threads.
    pub readers: usize,
    /// True where each write adds its changes to the feed.
    pub has_feed: bool,
}

/// An open database. Cheap to share; closed once.
pub struct Store {
    options: StoreOptions,
    engine_name: &'static str,
    schema_version: i64,
    feed_id: FeedId,
    engine: EngineSlot,
    writer: Writer,
    readers: Arc<Readers>,
    /// What takes seconds has a reader of its own, so that others do not wait behind it.
    long_reader: Mutex<Option<Arc<Readers>>>,
    doubts: Doubts,
    was_closed: bool,
    held_files: HeldFiles,
    held: Held,
    /// Held while the file is compacted, by the thread that does it.
    compacting: Arc<tokio::sync::Mutex<()>>,
    is_closing: Arc<AtomicBool>,
    has_checksums: Arc<AtomicBool>,
}

/// How long the end of the store waits for a compaction to leave off.
const COMPACTION_PATIENCE: Duration = Duration::from_secs(5);

impl Store {
    /// Opens the database, creates or migrates its tables, and starts the writer and the readers.
    ///
    /// Blocks; call it before serving. A file that holds data is backed up before it is migrated, one
    /// that is damaged is set aside and recovered, and one that is not ours is refused.
    pub fn open(options: &StoreOptions) -> Result<Self> {
        recovery::open(options)
            .map_err(|error| migrations::recognise::name_the_file(options, error))
    }

    /// Opens the database as it is. An error tells where it is damaged, or lacks what was acknowledged.
    fn open_as_it_is(options: &StoreOptions) -> Result<Self> {
        compaction::remove_unfinished(&options.database)?;
        let log = std::fs::metadata(log_of(&options.database));
        let was_closed = log.map_or(true, |log| log.len() == 0);
        let has_checksums = compaction::has_page_checksums(&options.database)?;
        let mut engine = engine::open(options.engine, &options.database)?;
        let doubts = Doubts::new();
        let mut connection = engine.connect()?;
        let held_files = HeldFiles::default();
        migrations::run(connection.as_mut(), options, &held_files)?;
        let has_checksums = match has_checksums {
            Some(has_checksums) => has_checksums,
            None => {
                // A new file is looked at once it is there, and nothing has it open.
                engine::run(connection.as_mut(), "PRAGMA wal_checkpoint(TRUNCATE)")?;
                drop(connection);
                drop(engine);
                let has_checksums = compaction::has_page_checksums(&options.database)?;
                engine = engine::open(options.engine, &options.database)?;
                connection = engine.connect()?;
                has_checksums.unwrap_or(false)
            }
        };
        // The engine flushes what is in its files, not that they are there: a power loss could
        // take the database with all that was acknowledged.
        let folder = options.database.parent().expect("a file lies in a folder");
        backup::sync_folder(folder)
            .map_err(|error| Error::io("flushing the folder", folder, &error))?;
        let last_seq = changes::last_seq(connection.as_mut())?;
        if !options.has_feed {
            changes::rename(connection.as_mut())?;
        }
        let feed_id = changes::feed_id(connection.as_mut())?;
        if let Some(problem) = mark::problem(&options.database, &feed_id, last_seq) {
            return Err(Error::Damaged(problem));
        }
        let mark = Mark::open(&options.database, &feed_id, last_seq)?;
        let feed = options.has_feed.then_some((last_seq, mark));
        let writer = Writer::start(connection, feed, &doubts)?;
        let engine_name = engine.name();
        let engine = EngineSlot::new(engine);
        let count = options.readers.max(1);
        let readers = Readers::start(&engine, "aetherd-read", count, Priority::Usual, &doubts)?;
        Ok(Self {
            options: options.clone(),
            engine_name,
            schema_version: migrations::CURRENT_VERSION,
            feed_id,
            engine,
            writer,
            readers: Arc::new(readers),
            long_reader: Mutex::new(None),
            doubts,
            was_closed,
            held_files,
            held: Held::default(),
            compacting: Arc::default(),
            is_closing: Arc::default(),
            has_checksums: Arc::new(AtomicBool::new(has_checksums)),
        })
    }

    /// Queues a write and returns what to await for its result.
    ///
    /// Waits while the queue is full; writes are applied in the order in which this returns. The
    /// result comes after the COMMIT has reached the disk. Dropping the returned future loses the
    /// result, never the write. `work` may run twice: a group that fails is replayed singly.
    pub async fn queue_write<T, F>(&self, bytes: usize, work: F) -> Result<PendingWrite<T>>
    where
        T: Send + 'static,
        F: Fn(&mut WriteTx<'_>) -> Result<T> + Send + 'static,
    {
        self.writer.queue(bytes, work).await
    }

    /// Writes, and returns the result once it is on the disk.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut WriteTx<'_>) -> Result<T> + Send + 'static,
    {
        self.queue_write(0, work).await?.await
    }

    /// Queues a read of one snapshot and returns what to await for its result.
    pub async fn queue_read<T, F>(&self, work: F) -> Result<PendingRead<T>>
    where
        T: Send + 'static,
        F: FnOnce(&mut ReadTx<'_>) -> Result<T> + Send + 'static,
    {
        self.readers.queue(work).await
    }

    /// Queues a read that takes long, such as a check of the whole file, behind others of its kind.
    ///
    /// A stop does not wait for it.
    pub async fn queue_long_read<T, F>(&self, work: F) -> Result<PendingRead<T>>
    where
        T: Send + 'static,
        F: FnOnce(&mut ReadTx<'_>) -> Result<T> + Send + 'static,
    {
        self.long_reader()?.queue(work).await
    }

    /// Returns the reader of what takes long, which is started when it is first wanted.
    fn long_reader(&self) -> Result<Arc<Readers>> {
        let mut started = self.long_reader.lock().expect("no holder of the lock panics");
        if let Some(reader) = started.as_ref() {
            return Ok(Arc::clone(reader));
        }
        let reader = Arc::new(Readers::start(
            &self.engine,
            "aetherd-long-read",
            1,
            Priority::Low,
            &self.doubts,
        )?);
        Ok(Arc::clone(started.insert(reader)))
    }

    /// Writes the file anew without its free pages, behind a compaction that goes on.
    ///
    /// Clients are served meanwhile, but for a moment at the end. Dropping the future loses the
    /// result, not the compaction; [`Store::close`] ends it.
    pub async fn compact(&self) -> Result<Compacted> {
        let held = Arc::clone(&self.compacting).lock_owned().await;
        if self.is_closing.load(Ordering::Relaxed) {
            return Err(Error::ShuttingDown);
        }
        let compaction = Compaction {
            database: self.options.database.clone(),
            kind: self.options.engine,
            engine: self.engine.clone(),
            writer: self.writer.steps(),
            readers: Arc::clone(&self.readers),
            long_reader: self.long_reader()?,
            is_stopped: Arc::clone(&self.is_closing),
            has_checksums: Arc::clone(&self.has_checksums),
        };
        let (reply, compacted) = oneshot::channel();
        std::thread::Builder::new()
            .name("aetherd-compact".to_owned())
            .spawn(move || {
                let compacted = compaction.run();
                drop(held);
                let _ = reply.send(compacted);
            })
            .map_err(|error| {
                Error::Startup(format!("cannot start the compaction's thread: {error}"))
            })?;
        compacted.await.unwrap_or_else(|_| {
            Err(Error::Internal("the compaction panicked; the log says where".to_owned()))
        })
    }

    /// Reads one snapshot.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut ReadTx<'_>) -> Result<T> + Send + 'static,
    {
        self.queue_read(work).await?.await
    }

    /// Returns the number of the newest change that is on the disk, and news of the next ones.
    ///
    /// It is set before the replies to the writes go out: who has an answer finds its change here.
    pub fn committed(&self) -> watch::Receiver<Seq> {
        self.writer.committed()
    }

    /// Waits until the writer has failed for good, and returns why. The process must then end.
    pub async fn failed(&self) -> Error {
        self.writer.failed().await
    }

    /// Returns what writes a backup, as a read that takes long.
    pub fn backup_job(
        &self,
        target: Target,
        reason: Reason,
    ) -> impl FnOnce(&mut ReadTx<'_>) -> Result<Backup> + Send + use<> {
        let (database, engine) = (self.options.database.clone(), self.options.engine);
        let held = self.held_files.clone();
        move |tx| tx.back_up(&database, &held, engine, &target, reason)
    }

    /// Writes a backup, behind other reads that take long.
    pub async fn back_up(&self, target: Target, reason: Reason) -> Result<Backup> {
        self.queue_long_read(self.backup_job(target, reason)).await?.await
    }

    /// Keeps attachments that no message refers to, until what it returns is dropped: an import stores
    /// them before the messages, however old their last put is.
    pub fn hold_attachments(&self) -> AttachmentHold {
        self.held.0.fetch_add(1, Ordering::SeqCst);
        AttachmentHold(self.held.clone())
    }

    /// Tells whether somebody keeps attachments that no message refers to.
    pub fn held_attachments(&self) -> Held {
        self.held.clone()
    }

    /// How the database was opened.
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// True where the daemon before closed the database.
    pub fn was_closed(&self) -> bool {
        self.was_closed
    }

    /// Returns how often something failed as it does where the database is damaged, and news of it.
    pub fn doubts(&self) -> watch::Receiver<u64> {
        self.doubts.follow()
    }

    /// Finishes what is queued, checkpoints, and closes the database.
    pub async fn close(&self) -> Result<()> {
        // It reads the file, and the log cannot be folded into that before it leaves off.
        self.is_closing.store(true, Ordering::Relaxed);
        if tokio::time::timeout(COMPACTION_PATIENCE, self.compacting.lock()).await.is_err() {
            tracing::warn!("a compaction goes on at the end, which does not wait for it");
        }
        let long_reader = self.long_reader.lock().expect("no holder of the lock panics").take();
        if let Some(reader) = long_reader {
            reader.end();
        }
        self.readers.close().await;
        self.writer.close().await
    }

    /// The database file.
    pub fn database(&self) -> &Path {
        &self.options.database
    }

    /// The storage engine's name.
    pub fn engine_name(&self) -> &'static str {
        self.engine_name
    }

    /// True where each page of the file has a checksum.
    pub fn has_page_checksums(&self) -> bool {
        self.has_checksums.load(Ordering::Relaxed)
    }

    /// The version of the tables.
    pub fn schema_version(&self) -> i64 {
        self.schema_version
    }

    /// The name of the database's change feed.
    pub fn feed_id(&self) -> &FeedId {
        &self.feed_id
    }

    /// How much the writer has done and has to do.
    pub fn writer_counts(&self) -> WriterCounts {
        self.writer.counts()
    }
}

/// Deletes a database that is only a copy, and what an engine has put beside it.
fn delete_with_companions(database: &Path) -> Result<()> {
    for path in with_companions(database) {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("deleting", &path, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Deletes a database that is only a copy, and what an engine has put beside it, as far as it can.
fn remove_with_companions(database: &Path) {
    for path in with_companions(database) {
        let _ = std::fs::remove_file(path);
    }
}

/// How many keep attachments that no message refers to.
#[derive(Debug, Clone, Default)]
pub struct Held(Arc<AtomicUsize>);

impl Held {
    /// True where somebody does.
    pub fn is_any(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

/// As long as it lives, attachments that no message refers to are kept.
#[derive(Debug)]
pub struct AttachmentHold(Held);

impl Drop for AttachmentHold {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Turns what a stored text should have been into an error of the database.
fn stored<T, E: std::fmt::Display>(parsed: std::result::Result<T, E>) -> Result<T> {
    parsed.map_err(|problem| {
        Error::Damaged(format!("a stored value is not what it should be: {problem}"))
    })
}

/// Returns a stored object.
fn stored_object(text: Option<String>) -> Result<Option<JsonObject>> {
    text.map(|text| stored(JsonObject::parse(text))).transpose()
}
