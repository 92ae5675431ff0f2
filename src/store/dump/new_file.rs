//! A file that is whole or not there: written under another name, flushed, and only then given its own.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::paths::beside;
use crate::store::new_name::{self, refuse_taken};

/// What is written, as a client is told.
const WHAT: &str = "an export";

/// Bytes that are written at one time.
const BUFFER_BYTES: usize = 256 * 1024;

/// A file that is being written. Dropped before it was finished, it leaves nothing behind.
pub(super) struct NewFile {
    path: PathBuf,
    unfinished: PathBuf,
    writer: BufWriter<File>,
    bytes: u64,
}

impl NewFile {
    /// Begins a file that only its owner can read.
    pub(super) fn create(path: &Path) -> Result<Self> {
        refuse_taken(path, WHAT)?;
        let unfinished = beside(path, &format!(".{}.unfinished", uuid::Uuid::now_v7().simple()));
        let file = open(&unfinished).map_err(|error| Error::io("writing", &unfinished, &error))?;
        Ok(Self {
            path: path.to_owned(),
            unfinished,
            writer: BufWriter::with_capacity(BUFFER_BYTES, file),
            bytes: 0,
        })
    }

    /// Flushes the file, gives it its name, and returns its bytes.
    pub(super) fn finish(mut self) -> Result<u64> {
        let failed = |error| Error::io("writing", &self.path, &error);
        self.writer.flush().and_then(|()| self.writer.get_ref().sync_all()).map_err(failed)?;
        match new_name::give(&self.unfinished, &self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return refuse_taken(&self.path, WHAT).and(Err(failed(error)));
            }
            given => given.map_err(failed)?,
        }
        Ok(self.bytes)
    }

    /// Says which file an error is about.
    pub(super) fn failed(&self, error: &std::io::Error) -> Error {
        Error::io("writing", &self.path, error)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.writer.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.unfinished);
    }
}

#[cfg(unix)]
fn open(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> std::io::Result<File> {
    File::create_new(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        let names = || std::fs::read_dir(folder.path()).expect("a folder").count();
        let mut file = NewFile::create(&path).expect("begins");
        file.write_all(b"half").expect("is written");
        drop(file);
        assert_eq!(names(), 0);
        let mut file = NewFile::create(&path).expect("begins");
        file.write_all(b"whole").expect("is written");
        assert_eq!(file.finish().expect("finishes"), 5);
        assert_eq!((names(), std::fs::read(&path).expect("the file")), (1, b"whole".to_vec()));
        assert!(NewFile::create(&path).is_err(), "it is there");
        // Somebody puts another file there meanwhile.
        let late = folder.path().join("late");
        let file = NewFile::create(&late).expect("begins");
        std::fs::write(&late, "theirs").expect("a file");
        assert!(file.finish().is_err());
        assert_eq!((names(), std::fs::read(&late).expect("the file")), (2, b"theirs".to_vec()));
    }
}
