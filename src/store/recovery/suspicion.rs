//! A note for the next start that the database was found damaged, or may be.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::paths::beside;

/// What is suspected of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspicion {
    /// Why.
    pub reasons: Vec<String>,
    /// True where a check has found it damaged; else the next start checks all of it first.
    pub is_confirmed: bool,
}

/// Leaves a note for the next start. What goes wrong is logged: there is nobody to tell.
pub fn suspect(database: &Path, suspicion: &Suspicion) {
    let path = path_of(database);
    if let Err(error) = super::report::write_json(&path, suspicion) {
        tracing::error!(%error, "the suspicion of damage could not be noted");
    }
}

/// Returns the note, where there is one.
pub(super) fn read(database: &Path) -> Option<Suspicion> {
    let text = std::fs::read_to_string(path_of(database)).ok()?;
    // A note that cannot be read is one all the same.
    let unreadable = || Suspicion { reasons: Vec::new(), is_confirmed: false };
    Some(serde_json::from_str(&text).unwrap_or_else(|_| unreadable()))
}

/// Takes the note away.
pub(super) fn clear(database: &Path) {
    let _ = std::fs::remove_file(path_of(database));
}

fn path_of(database: &Path) -> PathBuf {
    beside(database, "-suspect")
}
