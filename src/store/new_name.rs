//! A file that is written under another name gets its own, and replaces none.

use std::io::{Error as IoError, ErrorKind};
use std::path::Path;

use super::backup::sync_folder;
use crate::error::{Error, Result};

/// Refuses a place where no new file can be, in words that the client is told: `what` replaces no file.
pub fn refuse_taken(path: &Path, what: &str) -> Result<()> {
    let folder = path.parent().filter(|_| path.file_name().is_some());
    if !folder.is_some_and(Path::is_dir) {
        return Err(Error::invalid("path", "expected a file in a folder that is there"));
    }
    if path.symlink_metadata().is_ok() {
        let problem = format!("something is there already; {what} replaces no file");
        return Err(Error::invalid("path", problem));
    }
    Ok(())
}

/// Gives a flushed file its name; the one it had may stay beside it. Fails where somebody has put another
/// file there meanwhile.
pub(super) fn give(unfinished: &Path, path: &Path) -> Result<(), IoError> {
    // A link refuses to replace what is there; not every file system has links.
    match std::fs::hard_link(unfinished, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
        Err(_) => std::fs::rename(unfinished, path)?,
        Ok(()) => {}
    }
    sync_folder(path.parent().expect("a file lies in a folder"))
}
