//! The index's folder: files are read by memory maps, and written without flushing each to the disk.
//!
//! The index is derived. A killed process loses nothing by it, and what a power loss tears is found
//! by its checksum at the next start and rebuilt. Flushes would cost each commit tens of
//! milliseconds, and hold up those of the database. The small files that are replaced as a whole
//! (`meta.json` and the list of files) get a checksum here, as all others have one of tantivy.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use tantivy::directory::error::{
    DeleteError, LockError, OpenDirectoryError, OpenReadError, OpenWriteError,
};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, TerminatingWrite,
    WatchCallback, WatchHandle, WritePtr,
};

/// Bytes of the checksum in front of a file that is replaced as a whole.
const CHECKSUM_BYTES: usize = 32;

/// A folder with an index.
#[derive(Debug, Clone)]
pub(super) struct IndexFolder {
    path: PathBuf,
    mapped: MmapDirectory,
    /// Numbers the files on their way to another's place.
    written: Arc<AtomicU64>,
}

impl IndexFolder {
    /// Opens a folder that exists.
    pub(super) fn open(path: &Path) -> Result<Self, OpenDirectoryError> {
        Ok(Self {
            path: path.to_owned(),
            mapped: MmapDirectory::open(path)?,
            written: Arc::new(AtomicU64::new(0)),
        })
    }
}

impl Directory for IndexFolder {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.mapped.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.mapped.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.mapped.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let file = File::options().write(true).create_new(true).open(self.path.join(path));
        match file {
            Ok(file) => Ok(BufWriter::new(Box::new(UnflushedFile(file)))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(OpenWriteError::FileAlreadyExists(path.to_owned()))
            }
            Err(error) => Err(OpenWriteError::wrap_io_error(error, path.to_owned())),
        }
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let bytes = self.mapped.atomic_read(path)?;
        match bytes.split_at_checked(CHECKSUM_BYTES) {
            Some((checksum, content)) if Sha256::digest(content).0 == checksum => {
                Ok(content.to_owned())
            }
            _ => {
                let error = io::Error::new(io::ErrorKind::InvalidData, "the checksum does not fit");
                Err(OpenReadError::wrap_io_error(error, path.to_owned()))
            }
        }
    }

    fn atomic_write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let part = self.path.join(format!(".{number}.part"));
        let mut file = File::create(&part)?;
        file.write_all(&Sha256::digest(content).0)?;
        file.write_all(content)?;
        fs::rename(&part, self.path.join(path))
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        // A lock of the kernel's, which ends with the process that holds it.
        self.mapped.acquire_lock(lock)
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.mapped.watch(callback)
    }
}

/// A file that reaches the disk when the system sees fit.
struct UnflushedFile(File);

impl Write for UnflushedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TerminatingWrite for UnflushedFile {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        Ok(())
    }
}
