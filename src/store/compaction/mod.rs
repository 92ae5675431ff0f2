//! Compaction: the file is written anew without its free pages, while clients read and write on.
//!
//! A snapshot is copied into a file beside the database, by a thread that others come before. What the
//! writer commits meanwhile is kept in a journal and applied to the copy, until little is left; the
//! rest is applied while writes wait, and the new file takes the old one's name. Whatever ends this
//! before, a crash too, leaves the old file as it is: what was written of the new one is removed.

mod copy;
mod journal;
mod space;
mod swap;
#[cfg(test)]
mod tests_by_chance;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(super) use journal::Recorded;
pub use space::{Space, space};
pub(super) use swap::has_page_checksums;

use super::ReadTx;
use super::engine::{self, Connection};
use super::engine_slot::EngineSlot;
use super::priority;
use super::readers::Readers;
use super::writer::Steps;
use crate::api::system::Compacted;
use crate::config::EngineKind;
use crate::error::{Error, Result};
use crate::model::time;
use crate::paths::beside;

/// Bytes of the journal that are few enough to be applied while writes wait.
const SHORT_BYTES: usize = 128 * 1024;
/// Parts of the journal that are applied while more is written, before the compaction gives up.
const MAX_ROUNDS: usize = 64;
/// How long reads that take long may go on once all is ready.
const LONG_READ_PATIENCE: Duration = Duration::from_secs(10);

/// Not all that there are: on a busy machine the rest of the processor would be too little to catch up with
/// what clients write.
const PRIORITY_STEPS: i32 = 10;

/// Where `meta` has what the last compaction did.
const LAST: &str = "last_compaction";
const LAST_VALUE: &str = "SELECT value FROM meta WHERE key = ?1";

/// What a compaction works with.
pub(super) struct Compaction {
    /// The database.
    pub(super) database: PathBuf,
    /// Its engine.
    pub(super) kind: EngineKind,
    /// The engine of the open file.
    pub(super) engine: EngineSlot,
    /// The way to the writer's thread.
    pub(super) writer: Steps,
    /// The readers.
    pub(super) readers: Arc<Readers>,
    /// The reader of what takes long.
    pub(super) long_reader: Arc<Readers>,
    /// True once it is to end.
    pub(super) is_stopped: Arc<AtomicBool>,
    /// Whether the pages of the open file have checksums.
    pub(super) has_checksums: Arc<AtomicBool>,
}

/// Removes what a compaction left that did not end.
pub(super) fn remove_unfinished(database: &Path) -> Result<()> {
    super::delete_with_companions(&unfinished_of(database))
}

/// Returns what the last compaction did.
pub fn last(tx: &mut ReadTx<'_>) -> Result<Option<Compacted>> {
    let text = tx.first(LAST_VALUE, &[LAST.into()], |row| row.text())?;
    text.map(|text| super::stored(serde_json::from_str(&text))).transpose()
}

/// True for an engine that gives each page of a new file a checksum, where it was built to.
pub fn gives_checksums(engine_name: &str) -> bool {
    engine_name == "turso"
}

/// The new file while it is made.
fn unfinished_of(database: &Path) -> PathBuf {
    beside(database, ".compacting")
}

impl Compaction {
    /// Compacts, on the thread that calls it.
    pub(super) fn run(&self) -> Result<Compacted> {
        priority::lower(PRIORITY_STEPS);
        remove_unfinished(&self.database)?;
        // The engine panics over a flush that fails. Of the new file that is no reason to end.
        let compacted = catch_unwind(AssertUnwindSafe(|| self.carry_out())).unwrap_or_else(|_| {
            Err(Error::Internal("the compaction panicked; the log says where".to_owned()))
        });
        if compacted.is_err() {
            let stopped = self.writer.run(|writer| {
                writer.stop();
                Ok(Ok(()))
            });
            // A writer that has ended keeps nothing either.
            drop(stopped);
            remove_unfinished(&self.database)?;
        }
        compacted
    }

    fn carry_out(&self) -> Result<Compacted> {
        let (started, started_at) = (Instant::now(), time::now());
        let go_on = || match self.is_stopped.load(Ordering::Relaxed) {
            true => Err(Error::ShuttingDown),
            false => Ok(()),
        };
        let mut snapshot = self.snapshot()?;
        let before = space::space(&mut ReadTx::new(snapshot.as_mut()))?;
        space::check_room(&self.database, before)?;
        let unfinished = unfinished_of(&self.database);
        let new_engine = engine::open(self.kind, &unfinished)?;
        let mut target = new_engine.connect()?;
        let tables = copy::copy(snapshot.as_mut(), target.as_mut(), &go_on)?;
        engine::run(snapshot.as_mut(), "COMMIT")?;
        // From here on it keeps the old file's log from starting over no more.
        drop(snapshot);
        copy::verify(target.as_mut(), &tables, &go_on)?;
        self.catch_up(target.as_mut(), &go_on)?;
        // Most of the file is flushed while clients write on.
        engine::run(target.as_mut(), "PRAGMA wal_checkpoint(TRUNCATE)")?;
        swap::flush(&unfinished)?;
        let long_reader = self.long_reader.park(LONG_READ_PATIENCE)?;
        self.catch_up(target.as_mut(), &go_on)?;
        let swap = swap::Swap {
            database: self.database.clone(),
            unfinished,
            kind: self.kind,
            engine: self.engine.clone(),
            readers: Arc::clone(&self.readers),
            long_reader,
            new: swap::NewFile { connection: target, engine: new_engine },
            has_checksums: Arc::clone(&self.has_checksums),
            bytes_before: before.bytes,
            started,
            started_at,
        };
        self.writer.run(move |writer| swap.carry_out(writer))
    }

    /// Begins a snapshot between two transactions of the writer, and has what follows kept.
    fn snapshot(&self) -> Result<Box<dyn Connection>> {
        let engine = self.engine.clone();
        self.writer.run(move |writer| {
            let begun = engine.connect().and_then(|mut snapshot| {
                engine::run(snapshot.as_mut(), "BEGIN")?;
                // It begins with its first read.
                engine::scalar(snapshot.as_mut(), "SELECT COUNT(*) FROM sqlite_schema")?;
                Ok(snapshot)
            });
            if begun.is_ok() {
                writer.start();
            }
            Ok(begun)
        })
    }

    /// Applies what was written meanwhile, until what is written during that is little.
    fn catch_up(&self, target: &mut dyn Connection, go_on: &dyn Fn() -> Result<()>) -> Result<()> {
        for _ in 0..MAX_ROUNDS {
            go_on()?;
            let part = self.writer.run(|writer| Ok(writer.take()))?;
            part.apply(target)?;
            if part.bytes() <= SHORT_BYTES {
                return Ok(());
            }
        }
        Err(Error::Overloaded {
            what: "rounds in which a compaction tries to catch up with what is written",
            limit: MAX_ROUNDS as u64,
        })
    }
}
