//! One configuration, gathered by the command line and validated once.

use std::str::FromStr;

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

/// What a daemon needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is.
    pub paths: Paths,
    /// The storage engine.
    pub engine: EngineKind,
    /// Reader threads.
    pub readers: usize,
}

impl Config {
    /// Returns the default configuration for these paths.
    pub fn new(paths: Paths) -> Self {
        Self { paths, engine: EngineKind::default(), readers: 2 }
    }
}
