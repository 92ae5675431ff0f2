//! What a recovery tells: what was wrong, what was saved and from where, and what was not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::Millis;

/// The file in the folder of the damaged files.
pub(super) const FILE: &str = "report.json";

/// What names a row: its columns that an index or its key has.
pub type RowName = BTreeMap<String, serde_json::Value>;

/// What a recovery did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When it began.
    pub at: Millis,
    /// Why.
    pub reasons: Vec<String>,
    /// The folder of the damaged files.
    pub folder: PathBuf,
    /// What could not be read or trusted of them: pages and frames.
    pub damage: Vec<String>,
    /// The tables, by their names.
    pub tables: BTreeMap<String, TableReport>,
    /// The backup that filled what was missing.
    pub backup: Option<PathBuf>,
    /// Changes that were acknowledged and of which no trace is left: the first and the last number.
    pub lost_changes: Option<(i64, i64)>,
    /// What was made up, so that what was saved can be reached.
    pub made_up: Vec<String>,
}

/// What became of a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableReport {
    /// Rows that the damaged files had.
    pub saved: u64,
    /// Rows that came from the backup.
    pub from_backup: u64,
    /// Rows that are saved from pages which are not what was last written: some of them may be older,
    /// or altered.
    pub suspect: Vec<RowName>,
    /// Rows that are known to have been there, and are gone.
    pub lost: Vec<RowName>,
    /// True where more rows may be gone whose names are lost too.
    pub may_lack_more: bool,
}

impl Report {
    /// How many rows are known to be gone.
    pub fn lost(&self) -> u64 {
        self.tables.values().map(|table| table.lost.len() as u64).sum()
    }

    /// How many rows may not be what was last written.
    pub fn suspect(&self) -> u64 {
        self.tables.values().map(|table| table.suspect.len() as u64).sum()
    }

    /// How many rows came from the backup.
    pub fn from_backup(&self) -> u64 {
        self.tables.values().map(|table| table.from_backup).sum()
    }

    /// True where all is there that ever was, as far as that can be known.
    pub fn is_whole(&self) -> bool {
        self.lost_changes.is_none()
            && self.tables.values().all(|table| {
                table.lost.is_empty() && table.suspect.is_empty() && !table.may_lack_more
            })
    }

    pub(super) fn table(&mut self, name: &str) -> &mut TableReport {
        self.tables.entry(name.to_owned()).or_default()
    }

    /// Reads the report in a folder of damaged files.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(folder.join(FILE)).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// Writes JSON into a file, whole or not at all.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let failed = |error| Error::io("writing", path, &error);
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::Internal(format!("a report is not JSON: {error}")))?;
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, text)
        .and_then(|()| std::fs::File::open(&unfinished)?.sync_all())
        .and_then(|()| std::fs::rename(&unfinished, path))
        .map_err(failed)
}
