//! `system.backup`, `system.restore`: whole copies of the database.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, method};
use crate::error::{Error, Result};
use crate::model::Millis;
use crate::model::limits::MAX_PATH_BYTES;

/// Params of `system.backup`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupParams {
    /// The file to write, an absolute path at which nothing is yet; without it one in the folder of
    /// backups, named by the time.
    #[serde(default)]
    pub path: Option<String>,
}

impl Check for BackupParams {
    fn check(&self) -> Result<()> {
        self.path.as_deref().map_or(Ok(()), check_path)
    }
}

/// Params of `system.restore`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreParams {
    /// The backup, an absolute path; without it the newest one in the folder of backups.
    #[serde(default)]
    pub path: Option<String>,
}

impl Check for RestoreParams {
    fn check(&self) -> Result<()> {
        self.path.as_deref().map_or(Ok(()), check_path)
    }
}

pub(super) fn check_path(path: &str) -> Result<()> {
    super::check::size("path", path, MAX_PATH_BYTES)?;
    if !Path::new(path).is_absolute() || path.contains('\0') {
        return Err(Error::invalid("path", "expected an absolute path of a file"));
    }
    Ok(())
}

/// A backup: a whole database in one file, checked when it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backup {
    /// The file.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// When it was made.
    pub created_at: Millis,
    /// Why: `asked`, `daily`, `before-v8` (a migration), `before-retention`, `before-restore`.
    pub reason: String,
}

/// What `system.restore` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Restoring {
    /// The backup that takes the database's place.
    pub path: String,
    /// Where the database that is replaced will be kept.
    pub kept: String,
}

method! {
    /// Writes a copy of the database into one file, and checks it, while others are served.
    ///
    /// The copy has all that was answered before the call. It is written under another name, opened,
    /// checked by the engine, and flushed before it gets its name. Takes
    /// seconds on a large database; one is made at a time.
    MakeBackup = "system.backup", Read, BackupParams => Backup,
    errors: [TooLarge],
    example: r#"{}"# => r#"{
        "path": "/home/me/.rainy-aether/backups/ide-1764000000000-asked.db",
        "bytes": 229376, "created_at": 1764000000000, "reason": "asked"
    }"#,
}

method! {
    /// Puts a backup in the place of the database, which is kept among the backups.
    ///
    /// The backup is copied, checked and brought to the current version first; where it is none, nothing
    /// happens. Then the daemon closes all connections and opens the restored database: connect again.
    /// Its change feed is another one, so cursors of before are answered with `expired`.
    Restore = "system.restore", Read, RestoreParams => Restoring,
    errors: [NotFound, TooLarge],
    example: r#"{}"# => r#"{
        "path": "/home/me/.rainy-aether/backups/ide-1764000000000-asked.db",
        "kept": "/home/me/.rainy-aether/backups/ide-1764000000001-before-restore.db"
    }"#,
}
