//! The end of a compaction, while writes wait: the new file takes the place of the old one.
//!
//! The old file is made whole first, its log emptied, and nothing has it open any more; the new one is
//! whole too, and on the disk. So whatever is found under the name after a crash is all there is.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::journal::{Part, Recorded};
use super::{LAST, remove_unfinished};
use crate::api::system::Compacted;
use crate::config::EngineKind;
use crate::error::{Error, Result};
use crate::model::{Millis, time};
use crate::paths::log_of;
use crate::store::backup::sync_folder;
use crate::store::engine::{self, Connection, Engine};
use crate::store::engine_slot::EngineSlot;
use crate::store::readers::{Parked, Readers};
use crate::store::writer::{BEGIN, COMMIT};

/// How long writes wait for the rest of the journal, and again for reads that go on.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the header of a file has how many bytes of each page are reserved (SQLite file format,
/// section 1.3.4), and how many Turso reserves for a page's checksum.
const RESERVED_AT: usize = 20;
const RESERVED_FOR_CHECKSUM: u8 = 8;

const SET_LAST: &str = "INSERT INTO meta (key, value) VALUES (?1, ?2)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// What the change of the files needs.
pub(super) struct Swap {
    pub(super) database: PathBuf,
    pub(super) unfinished: PathBuf,
    pub(super) kind: EngineKind,
    pub(super) engine: EngineSlot,
    pub(super) readers: Arc<Readers>,
    /// Its reader waits until this is dropped.
    pub(super) long_reader: Parked,
    pub(super) new: NewFile,
    pub(super) has_checksums: Arc<AtomicBool>,
    pub(super) bytes_before: u64,
    pub(super) started: Instant,
    pub(super) started_at: Millis,
}

/// The new file, open.
pub(super) struct NewFile {
    /// Dropped before the engine.
    pub(super) connection: Box<dyn Connection>,
    pub(super) engine: Arc<dyn Engine>,
}

impl Swap {
    /// Puts the new file in the place of the old one. The outer error is fatal: the writer cannot go on.
    /// With the inner one all is as it was.
    pub(super) fn carry_out(self, writer: &mut Recorded) -> Result<Result<Compacted>> {
        let began = Instant::now();
        let rest = writer.take();
        writer.stop();
        let finished =
            rest.and_then(|rest| self.new.finish(&rest, &self.unfinished)).and_then(|checksums| {
                if began.elapsed() > PATIENCE { Err(took_too_long()) } else { Ok(checksums) }
            });
        let has_checksums = match finished {
            Ok(has_checksums) => has_checksums,
            Err(error) => return Ok(Err(error)),
        };
        let readers = match self.readers.park(PATIENCE) {
            Ok(readers) => readers,
            Err(error) => return Ok(Err(error)),
        };
        // The old file is all there is until the new one has its name.
        if let Err(error) = engine::run(writer, "PRAGMA wal_checkpoint(TRUNCATE)") {
            return Ok(Err(error));
        }
        writer.close();
        let replaced = match self.engine.take() {
            // A connection that nobody knows of would go on writing the log of the other file.
            Some(old) if Arc::strong_count(&old) > 1 => {
                drop(old);
                Ok(Err(Error::Internal("the old file is still open".to_owned())))
            }
            _ => replace(&self.unfinished, &self.database),
        };
        let replaced = replaced?;
        let engine = engine::open(self.kind, &self.database)?;
        writer.reopen(engine.connect()?);
        self.engine.put(engine);
        if let Err(error) = replaced {
            return Ok(Err(error));
        }
        self.has_checksums.store(has_checksums, Ordering::Relaxed);
        let compacted = Compacted {
            finished_at: time::now().max(self.started_at),
            bytes_before: self.bytes_before,
            bytes_after: std::fs::metadata(&self.database).map_or(0, |file| file.len()),
            duration_ms: milliseconds(self.started.elapsed()),
            waited_ms: milliseconds(began.elapsed()),
            page_checksums: has_checksums,
        };
        // Before anybody reads the new file, and so the result of the compaction before this one.
        record(writer, &compacted, &self.database)?;
        drop((readers, self.long_reader));
        Ok(Ok(compacted))
    }
}

impl NewFile {
    /// Applies the last of the journal, closes the file whole, and returns whether its pages have
    /// checksums.
    fn finish(self, rest: &Part, path: &Path) -> Result<bool> {
        let Self { mut connection, engine } = self;
        rest.apply(connection.as_mut())?;
        engine::run(connection.as_mut(), "PRAGMA wal_checkpoint(TRUNCATE)")?;
        drop(connection);
        if Arc::strong_count(&engine) > 1 {
            return Err(Error::Internal("the new file is still open".to_owned()));
        }
        drop(engine);
        if has_log(path) {
            return Err(Error::Storage("the log of the compacted file is not empty".to_owned()));
        }
        flush(path)?;
        has_page_checksums(path).map(|has| has.unwrap_or(false))
    }
}

/// Flushes a file that was written without.
pub(super) fn flush(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| Error::io("flushing", path, &error))
}

/// Returns whether the pages of a file have checksums; `None` where there is no file or it is empty.
///
/// The engine must not have the file open: closing it here would drop the locks of this process.
pub(in crate::store) fn has_page_checksums(path: &Path) -> Result<Option<bool>> {
    let failed = |error| Error::io("reading", path, &error);
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut header = Vec::new();
    file.take(RESERVED_AT as u64 + 1).read_to_end(&mut header).map_err(failed)?;
    Ok(header.get(RESERVED_AT).map(|reserved| *reserved == RESERVED_FOR_CHECKSUM))
}

/// Gives the new file the old one's name. The outer error is fatal: which of the two a power loss would
/// leave is unknown.
fn replace(new: &Path, old: &Path) -> Result<Result<()>> {
    // A log belongs to whatever file has the name beside it.
    if has_log(old) {
        return Ok(Err(Error::Storage("the log of the old file is not empty".to_owned())));
    }
    if let Err(error) = std::fs::rename(new, old) {
        return Ok(Err(Error::io("giving its name to", new, &error)));
    }
    let folder = old.parent().expect("a file lies in a folder");
    sync_folder(folder).map_err(|error| Error::io("flushing the folder", folder, &error))?;
    // The log of the new file is empty, and has another name.
    Ok(remove_unfinished(old))
}

fn has_log(database: &Path) -> bool {
    std::fs::metadata(log_of(database)).is_ok_and(|log| log.len() > 0)
}

fn took_too_long() -> Error {
    Error::Overloaded {
        what: "seconds that writes may wait for the compaction of the file",
        limit: PATIENCE.as_secs(),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Keeps what was done, as the first write to the new file. An error is fatal: what is written then does
/// not go beside the file.
fn record(writer: &mut Recorded, compacted: &Compacted, database: &Path) -> Result<()> {
    let text = serde_json::to_string(compacted)
        .map_err(|error| Error::Internal(format!("a value is not JSON: {error}")))?;
    let written = writer
        .execute(BEGIN, &[])
        .and_then(|_| writer.execute(SET_LAST, &[LAST.into(), (&text).into()]))
        .and_then(|_| writer.execute(COMMIT, &[]));
    match written {
        Ok(_) if !has_log(database) => Err(Error::Internal(
            "what is written does not go to the log of the compacted file".to_owned(),
        )),
        Ok(_) => Ok(()),
        Err(error) => {
            // It was compacted all the same.
            tracing::warn!(%error, "what a compaction did could not be kept");
            crate::store::writer::roll_back(writer)
        }
    }
}
