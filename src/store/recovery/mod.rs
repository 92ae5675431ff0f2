//! Opens a database that may be damaged: what is damaged is set aside, never discarded, and every row
//! that can still be read is put into a new one.
//!
//! A recovery is done in steps, each of which is done or not: the damaged files are moved into a
//! folder of their own, a new database is made from them under another name, and gets its name. After a
//! crash the next start goes on where it broke off.

mod catalog;
mod examine;
mod fill;
mod mend;
mod report;
mod salvage;
mod suspicion;
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use report::{Report, RowName, TableReport};
pub use suspicion::{Suspicion, suspect};

use super::engine;
use super::{
    Store, StoreOptions, backup, changes, delete_with_companions, mark, migrations, restore,
};
use crate::error::{Error, Result};
use crate::model::{FeedId, Millis, Seq, time};
use crate::paths::{beside, log_of};
use report::write_json;

/// The file that tells how far a recovery is.
const WORK_FILE: &str = "work.json";
/// The report of a recovery whose database has not got its name yet.
const EARLY_REPORT: &str = "early.json";

/// How far a recovery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    /// The damaged files are being moved.
    Begun,
    /// They are in the folder, all of them.
    SetAside,
}

/// A recovery that is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Work {
    step: Step,
    at: Millis,
    reasons: Vec<String>,
    /// What the mark said: the feed, and its newest change that was acknowledged.
    mark: Option<(String, Seq)>,
}

/// Opens a database, and recovers it first where it is damaged.
///
/// Fails on a file that is not ours, on one of a newer version, and where the disk is full or the files
/// cannot be reached: nothing is set aside then.
pub fn open(options: &StoreOptions) -> Result<Store> {
    restore::clean(&options.database);
    backup::clean(&options.backups);
    if let Some((folder, work)) = unfinished(options) {
        tracing::warn!(folder = %folder.display(), "a recovery was broken off and goes on");
        finish(options, &folder, work)?;
    }
    let reasons = examine::reasons(options)?;
    let reasons = if reasons.is_empty() {
        match try_open(options)? {
            Ok(store) => return Ok(store),
            Err(reasons) => reasons,
        }
    } else {
        reasons
    };
    let (folder, work) = begin(options, reasons)?;
    finish(options, &folder, work)?;
    catch(|| Store::open_as_it_is(options))
}

/// Returns the newest report of a recovery of this database.
pub fn last_report(database: &Path) -> Option<Report> {
    folders(database).into_iter().rev().find_map(|folder| Report::read(&folder))
}

/// Looks at every page of a database that nobody has open, and returns what is wrong. Changes nothing.
pub fn look(database: &Path) -> Result<Vec<String>> {
    examine::survey(database)
}

/// Returns the files that a broken-off backup or restore has left.
pub fn debris(database: &Path, backups: &Path) -> Vec<PathBuf> {
    let mut left = backup::unfinished(backups);
    left.extend(restore::unfinished(database));
    left
}

/// The file that tells when a database was last found sound.
pub fn checked_note_of(database: &Path) -> PathBuf {
    beside(database, "-checked")
}

/// Runs what may panic over what it reads.
pub(super) fn catch<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Error::Damaged("the engine panicked over what it read; the log says where".to_owned()))
    })
}

/// Opens the database, or tells why it must be recovered.
fn try_open(options: &StoreOptions) -> Result<std::result::Result<Store, Vec<String>>> {
    match catch(|| Store::open_as_it_is(options)) {
        Ok(store) => Ok(Ok(store)),
        Err(Error::Damaged(problem)) => Ok(Err(vec![problem])),
        // The engine has other words for damage too; the pages tell.
        Err(error @ (Error::Storage(_) | Error::Internal(_))) => {
            let problems = examine::survey(&options.database).unwrap_or_default();
            if problems.is_empty() { Err(error) } else { Ok(Err(problems)) }
        }
        Err(error) => Err(error),
    }
}

/// The folder of the folders of damaged files.
fn damaged_folder(database: &Path) -> PathBuf {
    database.with_file_name("damaged")
}

/// Returns the folders of damaged files, the oldest first.
fn folders(database: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(damaged_folder(database)) else { return Vec::new() };
    let mut folders: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn unfinished(options: &StoreOptions) -> Option<(PathBuf, Work)> {
    folders(&options.database).into_iter().rev().find_map(|folder| {
        let text = std::fs::read_to_string(folder.join(WORK_FILE)).ok()?;
        Some((folder, serde_json::from_str(&text).ok()?))
    })
}

/// Makes the folder of a recovery, in which the damaged files will be.
fn begin(options: &StoreOptions, reasons: Vec<String>) -> Result<(PathBuf, Work)> {
    let at = time::now();
    let folder = damaged_folder(&options.database).join(stamp(at));
    tracing::error!(
        reasons = reasons.len(), first = reasons.first(), folder = %folder.display(),
        "the database is damaged: it is set aside, and what can be read of it is saved"
    );
    std::fs::create_dir_all(&folder)
        .map_err(|error| Error::io("creating the folder", &folder, &error))?;
    let mark = mark::read(&options.database).map(|(feed, seq)| (feed.as_str().to_owned(), seq));
    let work = Work { step: Step::Begun, at, reasons, mark };
    write_json(&folder.join(WORK_FILE), &work)?;
    Ok((folder, work))
}

/// Does what is left of a recovery.
fn finish(options: &StoreOptions, folder: &Path, mut work: Work) -> Result<()> {
    let database = &options.database;
    let aside = folder.join(database.file_name().expect("a database has a name"));
    if work.step == Step::Begun {
        move_if_there(database, &aside)?;
        move_if_there(&log_of(database), &log_of(&aside))?;
        sync(folder)?;
        work.step = Step::SetAside;
        write_json(&folder.join(WORK_FILE), &work)?;
    }
    let early = folder.join(EARLY_REPORT);
    if !database.exists() {
        let report = build(options, folder, &aside, &work)?;
        write_json(&early, &report)?;
        let new = new_file(database);
        std::fs::rename(&new, database).map_err(|error| Error::io("renaming", &new, &error))?;
    }
    let home = database.parent().expect("a file lies in a folder");
    sync(home)?;
    move_if_there(&early, &folder.join(report::FILE))?;
    suspicion::clear(database);
    // The new one has not been served yet: its first check is due.
    let _ = std::fs::remove_file(checked_note_of(database));
    let work_file = folder.join(WORK_FILE);
    std::fs::remove_file(&work_file).map_err(|error| Error::io("deleting", &work_file, &error))?;
    if let Some(report) = Report::read(folder) {
        tell(&report);
    }
    Ok(())
}

fn tell(report: &Report) {
    let saved: u64 = report.tables.values().map(|table| table.saved).sum();
    tracing::warn!(
        saved,
        from_backup = report.from_backup(),
        suspect = report.suspect(),
        lost = report.lost(),
        report = %report.folder.join(report::FILE).display(),
        "the database was recovered; the report names what could not be saved"
    );
}

fn new_file(database: &Path) -> PathBuf {
    beside(database, ".recovering")
}

/// Makes the new database, whole and on the disk, under a name of its own.
///
/// Where reading the damaged files fails in a way that nobody has thought of, it is made without them,
/// from the backup alone: a daemon that serves and says so helps more than one that does not start. The
/// files are where they were put.
fn build(options: &StoreOptions, folder: &Path, aside: &Path, work: &Work) -> Result<Report> {
    let new = new_file(&options.database);
    let mut report = Report {
        at: work.at,
        reasons: work.reasons.clone(),
        folder: folder.to_owned(),
        ..Report::default()
    };
    let early = report.clone();
    match catch(|| make(options, &new, Some(aside), work, &mut report)) {
        Ok(()) => {}
        Err(error @ Error::DiskFull(_)) => return Err(error),
        Err(error) => {
            tracing::error!(%error, "the damaged files could not be read; the newest backup takes their place");
            report = early;
            report.damage.push(format!("nothing could be read of the damaged files: {error}"));
            make(options, &new, None, work, &mut report)?;
            report.tables.values_mut().for_each(|table| table.may_lack_more = true);
        }
    }
    std::fs::File::open(&new)
        .and_then(|file| file.sync_all())
        .map_err(|error| Error::io("flushing", &new, &error))?;
    let _ = std::fs::remove_file(log_of(&new));
    Ok(report)
}

/// Makes a database from damaged files, or without any, and the newest backup.
fn make(
    options: &StoreOptions,
    new: &Path,
    damaged: Option<&Path>,
    work: &Work,
    report: &mut Report,
) -> Result<()> {
    delete_with_companions(new)?;
    let engine = engine::open(options.engine, new)?;
    let mut connection = engine.connect()?;
    let connection = connection.as_mut();
    engine::run(connection, "PRAGMA foreign_keys = OFF")?;
    engine::run(connection, engine::COMMIT_WITHOUT_FLUSH)?;
    if let Some(damaged) = damaged {
        salvage::run(damaged, connection, report)?;
    }
    migrations::run_on_copy(connection, options)?;
    let mut last_seq = changes::last_seq(connection)?;
    fill::run(connection, options, report)?;
    if let Some((feed, marked)) = &work.mark {
        // Where its name is lost too, it is taken for the feed that the mark is of.
        let is_another = changes::feed_id(connection)
            .is_ok_and(|found| FeedId::parse(feed).is_none_or(|marked| marked != found));
        if *marked > last_seq && !is_another {
            report.lost_changes = Some((last_seq + 1, *marked));
        }
        last_seq = last_seq.max(*marked);
    }
    let name = report.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    mend::run(connection, last_seq, &name, report)?;
    let problems = engine::integrity_problems(connection)?;
    if !problems.is_empty() {
        return Err(Error::Internal(format!(
            "the database that was made fails its check: {}",
            problems.join("; ")
        )));
    }
    engine::run(connection, "PRAGMA synchronous = FULL")?;
    engine::run(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
}

/// Returns a time as the name of a folder.
fn stamp(at: Millis) -> String {
    let time = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H-%M-%S%.3fZ").to_string()
}

fn move_if_there(from: &Path, to: &Path) -> Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("moving", from, &error))
        }
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> Result<()> {
    backup::sync_folder(folder).map_err(|error| Error::io("flushing the folder", folder, &error))
}
