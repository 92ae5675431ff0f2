//! Makes a backup: copied, opened, checked, flushed, and only then given its name.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::list::{UNFINISHED, file_name};
use super::{Backup, Reason, table_names};
use crate::config::EngineKind;
use crate::error::{Error, Result};
use crate::model::{Seq, time};
use crate::paths::beside;
use crate::store::changes;
use crate::store::engine::{self, Connection};
use crate::store::format::files::Files;
use crate::store::format::pages::Pages;
use crate::store::{new_name, remove_with_companions};

/// Bytes that stay free on a disk to which a backup is written.
const SPARE_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes that are written between two pauses.
const PART_BYTES: usize = 1024 * 1024;
/// How often a log is read that begins anew meanwhile.
const ATTEMPTS: usize = 20;

/// The files of a database as backups have opened them, which stay open beside the engine.
#[derive(Debug, Clone, Default)]
pub struct HeldFiles(Arc<Mutex<Files>>);

impl HeldFiles {
    fn get(&self) -> Files {
        self.0.lock().expect("no holder of the lock panics").clone()
    }

    fn keep(&self, files: &Files) {
        *self.0.lock().expect("no holder of the lock panics") = files.clone();
    }
}

/// Where a backup goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// Into a folder, under a name that tells when and why.
    Folder(PathBuf),
    /// Into a file that is not there yet.
    File(PathBuf),
}

/// Writes a verified copy of the database, as the open transaction sees it.
///
/// The pages are read from the file and its log, while the open transaction keeps either from being
/// overwritten: what a transaction sees is not moved out of the log as long as it goes on, and the log
/// does not begin anew (SQLite file format, section 4.5, which Turso follows). `VACUUM INTO` is not
/// used: Turso's writes checksums over the ends of pages that have no room for them where the source
/// is a file without.
///
/// The copy is written under another name, opened, checked by the engine, flushed to the disk, and only
/// then given its name. `pause` is called between its
/// parts, with the number of bytes of the last one.
pub fn write(
    connection: &mut dyn Connection,
    database: &Path,
    held: &HeldFiles,
    engine: EngineKind,
    target: &Target,
    reason: Reason,
    pause: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Backup> {
    let created_at = time::now();
    let path = match target {
        Target::Folder(folder) => folder.join(file_name(created_at, reason)),
        Target::File(path) => path.clone(),
    };
    let folder = path.parent().expect("a file lies in a folder");
    create_folder(folder)?;
    if path.exists() {
        return Err(Error::Startup(format!(
            "{} is there already; a backup replaces no file",
            path.display()
        )));
    }
    let mut pages = read_pages(connection, database, held)?;
    let bytes = u64::from(pages.expected_count) * pages.page_bytes() as u64;
    check_room(folder, bytes)?;
    let unfinished = beside(&path, UNFINISHED);
    remove_with_companions(&unfinished);
    // It is migrated before anything is served.
    let is_alone = matches!(reason, Reason::Migration(_));
    let copied = copy(&mut pages, &unfinished, pause)
        .and_then(|()| protect(&unfinished))
        .and_then(|()| verify(connection, engine, &unfinished, is_alone))
        .and_then(|()| publish(&unfinished, &path));
    remove_with_companions(&unfinished);
    copied?;
    let bytes = std::fs::metadata(&path).map_or(bytes, |file| file.len());
    Ok(Backup { path, bytes, created_at, reason: reason.word() })
}

/// Reads where the pages of a database are that a transaction keeps as they are.
fn read_pages(connection: &mut dyn Connection, database: &Path, held: &HeldFiles) -> Result<Pages> {
    // A transaction begins with its first read.
    engine::scalar(connection, "SELECT COUNT(*) FROM sqlite_schema")?;
    let failed = |error| Error::io("reading", database, &error);
    for _ in 0..ATTEMPTS {
        let files = held.get().or_anew(database).map_err(failed)?;
        held.keep(&files);
        let pages = Pages::of_engine(&files).map_err(failed)?;
        // Where the log began anew meanwhile, what was read of it is of two of them.
        if pages.is_current().map_err(failed)? {
            return Ok(pages);
        }
    }
    Err(Error::Storage(format!(
        "the log of {} began anew again and again while it was read",
        database.display()
    )))
}

/// Writes the pages into a new file, a part at a time, each flushed before the pause.
fn copy(
    pages: &mut Pages,
    target: &Path,
    pause: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<()> {
    let failed = |error| Error::io("writing", target, &error);
    let mut file = std::fs::File::create_new(target).map_err(failed)?;
    let mut part = Vec::with_capacity(PART_BYTES);
    for number in 1..=pages.expected_count {
        let page = pages.page(number).map_err(|error| Error::io("reading", target, &error))?;
        let page = page.ok_or_else(|| Error::Damaged(format!("page {number} is not there")))?;
        part.extend_from_slice(&page.bytes);
        if part.len() >= PART_BYTES || number == pages.expected_count {
            file.write_all(&part).and_then(|()| file.sync_data()).map_err(failed)?;
            pause(part.len())?;
            part.clear();
        }
    }
    Ok(())
}

/// Refuses what would fill the disk.
pub(in crate::store) fn check_room(folder: &Path, bytes: u64) -> Result<()> {
    let free = crate::paths::free_bytes(folder)
        .map_err(|error| Error::io("reading the free space of", folder, &error))?;
    let needed = bytes + SPARE_BYTES;
    if free < needed {
        return Err(Error::DiskFull(format!(
            "a backup in {} needs {needed} bytes, {free} are free",
            folder.display()
        )));
    }
    Ok(())
}

#[cfg(unix)]
fn create_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| Error::io("creating the folder", folder, &error))
}

#[cfg(not(unix))]
fn create_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Error::io("creating the folder", folder, &error))
}

/// Lets nobody but the user read a copy, wherever it is put.
#[cfg(unix)]
fn protect(copy: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(copy, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| Error::io("protecting", copy, &error))
}

#[cfg(not(unix))]
fn protect(_: &Path) -> Result<()> {
    Ok(())
}

/// Opens and checks a copy. Where nobody else writes, it must have as many rows as the source.
fn verify(
    source: &mut dyn Connection,
    kind: EngineKind,
    copy: &Path,
    is_alone: bool,
) -> Result<()> {
    let copy_engine = engine::open(kind, copy)?;
    let mut copy_connection = copy_engine.connect()?;
    let problems = engine::integrity_problems(copy_connection.as_mut())?;
    if !problems.is_empty() {
        return Err(Error::Damaged(format!(
            "the backup {} fails its check: {}",
            copy.display(),
            problems.join("; ")
        )));
    }
    let (here, there) = (last_change(source)?, last_change(copy_connection.as_mut())?);
    if there < here {
        return Err(Error::Damaged(format!(
            "the backup {} ends with change {there:?}, the database with {here:?}",
            copy.display()
        )));
    }
    // The log may have had transactions behind the one that keeps it, also such as tell of no change.
    let tables = if is_alone { table_names(source)? } else { Vec::new() };
    for table in tables {
        let count = format!("SELECT COUNT(*) FROM {}", engine::quoted(&table));
        let (here, there) =
            (engine::scalar(source, &count)?, engine::scalar(copy_connection.as_mut(), &count)?);
        if here != there {
            return Err(Error::Damaged(format!(
                "the backup {} has another number of rows in {table}: {there:?} instead of {here:?}",
                copy.display()
            )));
        }
    }
    engine::run(copy_connection.as_mut(), "PRAGMA wal_checkpoint(TRUNCATE)")
}

/// Returns the number of the newest change; of a database from before the feed, none.
fn last_change(connection: &mut dyn Connection) -> Result<Option<Seq>> {
    let has_feed = table_names(connection)?.iter().any(|table| table == "changes");
    has_feed.then(|| changes::last_seq(connection)).transpose()
}

fn publish(unfinished: &Path, path: &Path) -> Result<()> {
    let failed = |error| Error::io("finishing the backup", path, &error);
    std::fs::File::open(unfinished).and_then(|file| file.sync_all()).map_err(failed)?;
    new_name::give(unfinished, path).map_err(failed)
}
