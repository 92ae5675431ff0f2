//! Backups: a compacted copy of the database, opened and checked before it counts as one.

use std::path::{Path, PathBuf};

use super::engine::{self, Cell, Connection};
use crate::config::EngineKind;
use crate::error::{Error, Result};
use crate::model::time;

/// Writes a verified copy of the database into a folder and returns its path.
///
/// The copy is written under another name, opened, checked by the engine and compared table by
/// table, flushed to the disk, and only then given its name.
pub fn write(
    connection: &mut dyn Connection,
    engine: EngineKind,
    folder: &Path,
    reason: &str,
) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Error::io("creating the folder", folder, &error))?;
    let path = folder.join(format!("ide-{}-{reason}.db", time::now()));
    let unfinished = path.with_extension("db.unfinished");
    let target = unfinished.to_str().filter(|text| !text.contains('\'')).ok_or_else(|| {
        Error::Startup(format!(
            "the path {} cannot be backed up to: it is not UTF-8 or has a quote",
            folder.display()
        ))
    })?;
    let copied = engine::run(connection, &format!("VACUUM INTO '{target}'"))
        .and_then(|()| verify(connection, engine, &unfinished))
        .and_then(|()| publish(&unfinished, &path));
    if copied.is_err() {
        let _ = std::fs::remove_file(&unfinished);
    }
    let _ = std::fs::remove_file(unfinished.with_extension("unfinished-wal"));
    copied.map(|()| path)
}

fn verify(source: &mut dyn Connection, kind: EngineKind, copy: &Path) -> Result<()> {
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
    for table in table_names(source)? {
        let count = format!("SELECT COUNT(*) FROM \"{}\"", table.replace('"', "\"\""));
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

fn publish(unfinished: &Path, path: &Path) -> Result<()> {
    let failed = |error| Error::io("finishing the backup", path, &error);
    std::fs::File::open(unfinished).and_then(|file| file.sync_all()).map_err(failed)?;
    std::fs::rename(unfinished, path).map_err(failed)?;
    let folder = path.parent().expect("a backup lies in a folder");
    sync_folder(folder).map_err(failed)
}

/// Flushes a folder's entries, so that a new name survives a power loss.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

/// Windows has no such call; its file systems keep names in order.
#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Returns the names of the tables that are not the engine's own.
pub fn table_names(connection: &mut dyn Connection) -> Result<Vec<String>> {
    let mut names = Vec::new();
    connection.run(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
        &mut |row| {
            if let Cell::Text(name) = row.cell()? {
                names.push(name);
            }
            Ok(std::ops::ControlFlow::Continue(()))
        },
    )?;
    Ok(names)
}
