//! A file that is whole or not there: written under another name, flushed, and only then given its own.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::store::backup::sync_folder;

/// Bytes that are written at one time.
const BUFFER_BYTES: usize = 256 * 1024;

/// A file that is being written. Dropped before it was finished, it leaves nothing behind.
pub(super) struct NewFile {
    path: PathBuf,
    /// `None` once the file has its name.
    unfinished: Option<PathBuf>,
    writer: BufWriter<File>,
    bytes: u64,
}

impl NewFile {
    /// Begins a file that only its owner can read.
    pub(super) fn create(path: &Path) -> Result<Self> {
        refuse_taken(path)?;
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.unfinished", uuid::Uuid::now_v7().simple()));
        let unfinished = PathBuf::from(name);
        let file = open(&unfinished).map_err(|error| Error::io("writing", &unfinished, &error))?;
        Ok(Self {
            path: path.to_owned(),
            unfinished: Some(unfinished),
            writer: BufWriter::with_capacity(BUFFER_BYTES, file),
            bytes: 0,
        })
    }

    /// Flushes the file, gives it its name, and returns its bytes.
    pub(super) fn finish(mut self) -> Result<u64> {
        let failed = |error| Error::io("writing", &self.path, &error);
        self.writer.flush().and_then(|()| self.writer.get_ref().sync_all()).map_err(failed)?;
        let unfinished = self.unfinished.as_ref().expect("it has no name yet");
        // A link refuses to replace what somebody put there meanwhile; not every file system has links.
        match std::fs::hard_link(unfinished, &self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return refuse_taken(&self.path).and(Err(failed(error)));
            }
            Err(_) => {
                std::fs::rename(unfinished, &self.path).map_err(failed)?;
                self.unfinished = None;
            }
        }
        let folder = self.path.parent().expect("a file lies in a folder");
        sync_folder(folder).map_err(failed)?;
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
        if let Some(unfinished) = &self.unfinished {
            let _ = std::fs::remove_file(unfinished);
        }
    }
}

/// Refuses a place where no new file can be, in words that the client is told.
fn refuse_taken(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|_| path.file_name().is_some());
    if !folder.is_some_and(Path::is_dir) {
        return Err(Error::invalid("path", "expected a file in a folder that is there"));
    }
    if path.symlink_metadata().is_ok() {
        return Err(Error::invalid(
            "path",
            "something is there already; an export replaces no file",
        ));
    }
    Ok(())
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
