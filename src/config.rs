//! One configuration, gathered by the command line and validated once.

use std::str::FromStr;
use std::time::Duration;

use crate::model::Millis;
use crate::paths::Paths;

/// Which storage engine holds the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// Turso.
    #[default]
    Turso,
    /// SQLite, where the build has it (feature `sqlite`).
    Sqlite,
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "turso" => Ok(Self::Turso),
            "sqlite" => Ok(Self::Sqlite),
            other => Err(format!("there is no engine {other:?}; there are turso and sqlite")),
        }
    }
}

/// How much the change feed keeps. What passes either limit goes, all but the newest change and what
/// the search index lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedPolicy {
    /// Changes at most.
    pub max_changes: u32,
    /// The age at most, in milliseconds.
    pub max_age: Millis,
    /// Changes at most where the search index lacks them: it would be built anew without them.
    pub max_for_index: u32,
}

impl FeedPolicy {
    /// Milliseconds of a day.
    pub const DAY: Millis = 24 * 60 * 60 * 1000;
}

impl Default for FeedPolicy {
    fn default() -> Self {
        Self { max_changes: 200_000, max_age: 7 * Self::DAY, max_for_index: 5_000_000 }
    }
}

/// Which backups are made by themselves, and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupPolicy {
    /// The time between two, in milliseconds, where something changed meanwhile.
    pub every: Millis,
    /// How many are kept of each reason; what a client asked for is kept beside them.
    pub kept: usize,
}

impl Default for BackupPolicy {
    fn default() -> Self {
        Self { every: FeedPolicy::DAY, kept: 3 }
    }
}

/// What a daemon needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is.
    pub paths: Paths,
    /// The storage engine.
    pub engine: EngineKind,
    /// Reader threads.
    pub readers: usize,
    /// How much the change feed keeps; `None` writes none, for measuring what it costs.
    pub feed: Option<FeedPolicy>,
    /// Whether messages can be searched, for which there is an index beside the database.
    pub search: bool,
    /// Which backups are made by themselves; `None` makes none.
    pub backups: Option<BackupPolicy>,
    /// How long after the start a check of the database waits that is due.
    pub check_after: Duration,
}

/// Seconds after the start at which a check of the database begins that is due, unless told otherwise.
pub const CHECK_AFTER_SECONDS: u32 = 10;

impl Config {
    /// Returns the default configuration for these paths.
    pub fn new(paths: Paths) -> Self {
        Self {
            paths,
            engine: EngineKind::default(),
            readers: 2,
            feed: Some(FeedPolicy::default()),
            search: true,
            backups: Some(BackupPolicy::default()),
            check_after: Duration::from_secs(CHECK_AFTER_SECONDS.into()),
        }
    }
}
