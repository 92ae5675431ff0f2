//! Puts a backup in the place of the database.
//!
//! The backup is copied beside the database, checked, brought to the current version and given a feed of
//! its own. Once the database is closed, it is kept under another name, and the copy gets its
//! name: one rename, so that after a crash there is the one or the other.

use std::path::{Path, PathBuf};

use super::backup::{self, Reason};
use super::engine;
use super::recovery::{catch, checked_note_of};
use super::{StoreOptions, WriteTx, changes, migrations, remove_with_companions};
use crate::error::{Error, Result};
use crate::model::{Topic, time};
use crate::paths::{beside, log_of, with_companions};

/// A backup that is ready to take the database's place.
#[derive(Debug)]
pub struct Prepared {
    database: PathBuf,
    copy: PathBuf,
    kept: PathBuf,
}

impl Prepared {
    /// Where the database that is replaced will be kept.
    pub fn kept(&self) -> &Path {
        &self.kept
    }

    /// Puts the copy in the place of the database, which must be closed.
    pub fn swap(&self) -> Result<()> {
        let log = std::fs::metadata(log_of(&self.database)).map_or(0, |log| log.len());
        if log > 0 {
            let _ = std::fs::remove_file(&self.copy);
            return Err(Error::Storage(format!(
                "{} could not be closed, so the backup was not put in its place",
                self.database.display()
            )));
        }
        let failed = |error| Error::io("replacing", &self.database, &error);
        // Not every file system has links.
        if std::fs::hard_link(&self.database, &self.kept).is_err() {
            std::fs::copy(&self.database, &self.kept).map_err(failed)?;
            std::fs::File::open(&self.kept).and_then(|kept| kept.sync_all()).map_err(failed)?;
        }
        let backups = self.kept.parent().expect("a file lies in a folder");
        backup::sync_folder(backups).map_err(failed)?;
        std::fs::rename(&self.copy, &self.database).map_err(failed)?;
        let _ = std::fs::remove_file(checked_note_of(&self.database));
        let home = self.database.parent().expect("a file lies in a folder");
        backup::sync_folder(home).map_err(failed)
    }
}

/// Copies and checks a backup, and returns what puts it in the database's place. Blocks for as long as
/// that takes.
pub fn prepare(options: &StoreOptions, source: &Path) -> Result<Prepared> {
    let copy = copy_of(&options.database);
    clean(&options.database);
    std::fs::create_dir_all(&options.backups)
        .map_err(|error| Error::io("creating the folder", &options.backups, &error))?;
    let prepared = catch(|| make_ready(options, source, &copy));
    let _ = std::fs::remove_file(log_of(&copy));
    if let Err(error) = prepared {
        clean(&options.database);
        return Err(match error {
            Error::Damaged(problem) | Error::Storage(problem) | Error::Startup(problem) => {
                Error::invalid("path", format!("is no backup that can be restored: {problem}"))
            }
            error => error,
        });
    }
    let kept = options.backups.join(backup::file_name(time::now(), Reason::Restore));
    Ok(Prepared { database: options.database.clone(), copy, kept })
}

fn make_ready(options: &StoreOptions, source: &Path, copy: &Path) -> Result<()> {
    let bytes =
        std::fs::metadata(source).map_err(|error| Error::io("reading", source, &error))?.len();
    backup::check_room(options.database.parent().expect("a file lies in a folder"), bytes)?;
    std::fs::copy(source, copy).map_err(|error| Error::io("copying", source, &error))?;
    // A copy of a database that was not closed has a log beside it.
    let log = log_of(source);
    if log.exists() {
        std::fs::copy(&log, log_of(copy)).map_err(|error| Error::io("copying", &log, &error))?;
    }
    if bytes == 0 {
        return Err(Error::Damaged("the file is empty".to_owned()));
    }
    let engine = engine::open(options.engine, copy)?;
    let mut connection = engine.connect()?;
    let connection = connection.as_mut();
    let problems = engine::integrity_problems(connection)?;
    if !problems.is_empty() {
        return Err(Error::Damaged(problems.join("; ")));
    }
    migrations::run_on_copy(connection, options)?;
    engine::run(connection, "BEGIN IMMEDIATE")?;
    changes::rename(connection)?;
    let last_seq = changes::last_seq(connection)?;
    let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    WriteTx::new(connection, Some(last_seq)).changed(Topic::DatabaseRestored, &name, None, None)?;
    engine::run(connection, "COMMIT")?;
    engine::run(connection, "PRAGMA wal_checkpoint(TRUNCATE)")?;
    std::fs::File::open(copy)
        .and_then(|copy| copy.sync_all())
        .map_err(|error| Error::io("flushing", copy, &error))
}

/// Deletes what a restore that was broken off has left.
pub(super) fn clean(database: &Path) {
    remove_with_companions(&copy_of(database));
}

/// Returns the files of a restore that was broken off.
pub(super) fn unfinished(database: &Path) -> Vec<PathBuf> {
    with_companions(&copy_of(database)).into_iter().filter(|path| path.exists()).collect()
}

fn copy_of(database: &Path) -> PathBuf {
    beside(database, ".restoring")
}
