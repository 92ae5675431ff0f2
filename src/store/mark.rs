//! The mark: a small file beside the database with the number of the newest change that was
//! acknowledged.
//!
//! A log that is gone, or whose last frames are, looks like one that never had them. By the mark the next
//! start sees that something is missing, and how much. It is written behind each commit and never
//! flushed: it outlives the process, and after a loss of power it may be older than the database, never
//! newer.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::model::{FeedId, Seq};
use crate::paths::beside;

/// The file, held open by the writer.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    feed: FeedId,
    has_failed: bool,
}

impl Mark {
    /// Opens the mark of a database, and sets it to its newest change.
    pub(super) fn open(database: &Path, feed: &FeedId, seq: Seq) -> Result<Self> {
        let path = path_of(database);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| Error::io("opening", &path, &error))?;
        let mut mark = Self { file, feed: feed.clone(), has_failed: false };
        mark.set(seq);
        Ok(mark)
    }

    /// Notes a change that is on the disk. What goes wrong is logged once: nothing depends on the mark
    /// but that damage is noticed.
    pub(super) fn set(&mut self, seq: Seq) {
        let line = format!("{} {seq:020}\n", self.feed.as_str());
        let written =
            self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.write_all(line.as_bytes()));
        if let Err(error) = written
            && !std::mem::replace(&mut self.has_failed, true)
        {
            tracing::warn!(%error, "the mark of the newest change could not be written");
        }
    }
}

/// Returns the feed and the newest change that was acknowledged, as far as the mark can be read.
pub(super) fn read(database: &Path) -> Option<(FeedId, Seq)> {
    let text = std::fs::read_to_string(path_of(database)).ok()?;
    let (feed, seq) = text.lines().next()?.split_once(' ')?;
    Some((FeedId::parse(feed)?, seq.parse().ok()?))
}

/// Tells where a database lacks changes that were acknowledged.
pub(super) fn problem(database: &Path, feed: &FeedId, last_seq: Seq) -> Option<String> {
    let (marked_feed, marked) = read(database)?;
    (marked_feed == *feed && marked > last_seq)
        .then(|| format!("its newest change is {last_seq}, and {marked} was acknowledged"))
}

fn path_of(database: &Path) -> PathBuf {
    beside(database, "-mark")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_set() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = folder.path().join("ide.db");
        assert_eq!(read(&database), None);
        let feed = FeedId::generate();
        let mut mark = Mark::open(&database, &feed, 7).expect("a mark");
        assert_eq!(read(&database), Some((feed.clone(), 7)));
        mark.set(i64::MAX);
        mark.set(8);
        assert_eq!(read(&database), Some((feed.clone(), 8)));
        assert_eq!(problem(&database, &feed, 8), None);
        assert_eq!(problem(&database, &FeedId::generate(), 7), None);
        assert!(problem(&database, &feed, 7).is_some_and(|problem| problem.contains("8 was")));
        std::fs::write(path_of(&database), "not a mark").expect("writes");
        assert_eq!(read(&database), None);
    }
}
