//! Backups: a copy of the database, opened and checked before it counts as one.

mod list;
mod write;

pub use list::{Backup, list, newest, prune};
pub(super) use list::{clean, file_name, unfinished};
pub(super) use write::check_room;
pub use write::{HeldFiles, Target, write};

use super::engine::{Cell, Connection};
use crate::error::Result;

/// Why a backup is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Somebody asked for it.
    Asked,
    /// A day went by in which something changed.
    Daily,
    /// The tables are about to become those of another version.
    Migration(i64),
    /// Something is about to be erased as the retention policy says.
    Retention,
    /// Another database is about to be put in the place of this one.
    Restore,
}

impl Reason {
    /// Returns the word in the name of its backups.
    fn word(self) -> String {
        match self {
            Self::Asked => "asked".to_owned(),
            Self::Daily => "daily".to_owned(),
            Self::Migration(version) => format!("before-v{version}"),
            Self::Retention => "before-retention".to_owned(),
            Self::Restore => "before-restore".to_owned(),
        }
    }
}

/// Flushes a folder's entries, so that a new name survives a power loss.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &std::path::Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

/// Windows has no such call; its file systems keep names in order.
#[cfg(not(unix))]
pub(super) fn sync_folder(_: &std::path::Path) -> std::io::Result<()> {
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
