//! File I/O under Turso that keeps a commit to one write and one `fdatasync` of an already allocated log.
//!
//! Turso cuts the write-ahead log back to its header each time the log restarts, so every commit
//! extends the file and its `fsync` pays for a journal commit of the file system. SQLite leaves the
//! file long and overwrites it: frames of an earlier generation carry the old salts and recovery
//! stops at the first of them. This wrapper does the same. It touches the log only: that one cut
//! is skipped (the engine itself treats a failure of it as harmless and goes on), and the log is
//! synced with `fdatasync`, which flushes everything needed to read the data back.
//!
//! A flush that fails, of the log or of the database, ends the writer with a panic, and so the
//! process: the system may have dropped what was to be written and report the next flush as done
//! (PostgreSQL wiki, "Fsync Errors"). What was acknowledged lies in the log, and the next start
//! reads it. The engine has the same rule, but not for files that fail at once, as these do.

use std::sync::Arc;

use turso_core::io::FileSyncType;
use turso_core::{
    Buffer, Clock, Completion, File, IO, MonotonicInstant, OpenFlags, PlatformIO, Result,
    WallClockInstant,
};

/// Bytes of the header of a write-ahead log (SQLite file format, section 4.1).
const WAL_HEADER_BYTES: u64 = 32;

/// The platform's I/O with a log that is overwritten, not cut.
pub(super) struct LogKeepingIo {
    platform: Arc<dyn IO>,
}

impl LogKeepingIo {
    /// Wraps the platform's own I/O.
    pub(super) fn new() -> Result<Self> {
        Ok(Self { platform: Arc::new(PlatformIO::new()?) })
    }
}

impl Clock for LogKeepingIo {
    fn current_time_monotonic(&self) -> MonotonicInstant {
        self.platform.current_time_monotonic()
    }

    fn current_time_wall_clock(&self) -> WallClockInstant {
        self.platform.current_time_wall_clock()
    }
}

impl IO for LogKeepingIo {
    fn open_file(&self, path: &str, flags: OpenFlags, direct: bool) -> Result<Arc<dyn File>> {
        let file = self.platform.open_file(path, flags, direct)?;
        if flags.contains(OpenFlags::ReadOnly) {
            return Ok(file);
        }
        // A second descriptor of the log: the engine's own one is private to it. Both live
        // exactly as long, because closing either drops the process's locks on the file.
        let log = if path.ends_with("-wal") {
            let opened = std::fs::File::options().write(true).open(path);
            Some(opened.map_err(|error| turso_core::io_error(error, "open"))?)
        } else {
            None
        };
        Ok(Arc::new(StoreFile { file, log }))
    }

    fn remove_file(&self, path: &str) -> Result<()> {
        self.platform.remove_file(path)
    }

    fn step(&self) -> Result<()> {
        self.platform.step()
    }
}

/// The database or its log.
struct StoreFile {
    file: Arc<dyn File>,
    /// The log's own descriptor; none for the database.
    log: Option<std::fs::File>,
}

impl StoreFile {
    fn flush(&self, c: Completion, sync_type: FileSyncType) -> Result<Completion> {
        match &self.log {
            // On Apple platforms `sync_data` is F_FULLFSYNC, stronger than what was asked for.
            Some(log) if sync_type != FileSyncType::FullFsync => {
                log.sync_data().map_err(|error| turso_core::io_error(error, "sync"))?;
                c.complete(0);
                Ok(c)
            }
            _ => self.file.sync(c, sync_type),
        }
    }
}

impl File for StoreFile {
    fn lock_file(&self, exclusive: bool) -> Result<()> {
        self.file.lock_file(exclusive)
    }

    fn unlock_file(&self) -> Result<()> {
        self.file.unlock_file()
    }

    fn pread(&self, pos: u64, c: Completion) -> Result<Completion> {
        self.file.pread(pos, c)
    }

    fn pwrite(&self, pos: u64, buffer: Arc<Buffer>, c: Completion) -> Result<Completion> {
        self.file.pwrite(pos, buffer, c)
    }

    fn pwritev(&self, pos: u64, buffers: Vec<Arc<Buffer>>, c: Completion) -> Result<Completion> {
        self.file.pwritev(pos, buffers, c)
    }

    fn sync(&self, c: Completion, sync_type: FileSyncType) -> Result<Completion> {
        self.flush(c, sync_type).map_err(|error| {
            // The text of a panic is not logged.
            tracing::error!(%error, "flushing the database's files failed; the daemon ends");
            panic!("flushing the database's files failed: {error}")
        })
    }

    fn size(&self) -> Result<u64> {
        self.file.size()
    }

    fn truncate(&self, len: u64, c: Completion) -> Result<Completion> {
        if self.log.is_some() && len == WAL_HEADER_BYTES {
            c.complete(0);
            return Ok(c);
        }
        self.file.truncate(len, c)
    }
}
