//! The files of a database, held open.
//!
//! Where a process closes any descriptor of a file, POSIX takes away all locks that it has on it
//! (fcntl(2)), also those of the engine. So what is opened beside the engine stays open as long as the
//! file is the database's.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::paths::log_of;

/// A database and its log, each where it is there.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Files {
    pub(super) database: Option<Arc<File>>,
    pub(super) log: Option<Arc<File>>,
}

impl Files {
    /// Opens the files of a database.
    pub(in crate::store) fn open(database: &Path) -> std::io::Result<Self> {
        Self::default().or_anew(database)
    }

    /// Returns the files of a database: those that are held, as far as they still are that, else others.
    pub(in crate::store) fn or_anew(self, database: &Path) -> std::io::Result<Self> {
        Ok(Self {
            database: held_or_opened(self.database, database)?,
            log: held_or_opened(self.log, &log_of(database))?,
        })
    }
}

fn held_or_opened(held: Option<Arc<File>>, path: &Path) -> std::io::Result<Option<Arc<File>>> {
    if let Some(file) = held
        && is_same(&file, path)
    {
        return Ok(Some(file));
    }
    match File::open(path) {
        Ok(file) => Ok(Some(Arc::new(file))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// True where a path leads to an open file.
#[cfg(unix)]
fn is_same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |found: std::fs::Metadata| (found.dev(), found.ino());
    file.metadata()
        .map(id)
        .ok()
        .zip(std::fs::metadata(path).map(id).ok())
        .is_some_and(|(a, b)| a == b)
}

/// Locks of Windows are those of a handle: another one may come and go.
#[cfg(not(unix))]
fn is_same(_: &File, _: &Path) -> bool {
    false
}
