//! The backups of a folder: their names, and which are kept.

use std::path::{Path, PathBuf};

use super::Reason;
use crate::model::Millis;

/// What the name of a backup ends in until it is whole.
pub(super) const UNFINISHED: &str = ".unfinished";

/// A backup that was verified when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// When it was made.
    pub created_at: Millis,
    /// Why, in a word.
    pub reason: String,
}

/// Returns the name of a backup's file: `ide-<milliseconds>-<reason>.db`.
pub(in crate::store) fn file_name(created_at: Millis, reason: Reason) -> String {
    format!("ide-{created_at}-{}.db", reason.word())
}

/// Returns the backups of a folder, the newest first. Other files, and a folder that cannot be read, have
/// none.
pub fn list(folder: &Path) -> Vec<Backup> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut backups: Vec<Backup> = entries.filter_map(|entry| backup_of(&entry.ok()?)).collect();
    backups.sort_by(|one, other| (other.created_at, &other.path).cmp(&(one.created_at, &one.path)));
    backups
}

/// Deletes what backups that were broken off have left.
pub(in crate::store) fn clean(folder: &Path) {
    for path in unfinished(folder) {
        let _ = std::fs::remove_file(path);
    }
}

/// Returns the files of backups that were broken off.
pub(in crate::store) fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().contains(UNFINISHED))
        .collect()
}

/// Returns the newest backup of a folder.
pub fn newest(folder: &Path) -> Option<Backup> {
    list(folder).into_iter().next()
}

fn backup_of(entry: &std::fs::DirEntry) -> Option<Backup> {
    let name = entry.file_name().into_string().ok()?;
    let (created_at, reason) = name.strip_prefix("ide-")?.strip_suffix(".db")?.split_once('-')?;
    let file = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(Backup {
        path: entry.path(),
        bytes: file.len(),
        created_at: created_at.parse().ok()?,
        reason: reason.to_owned(),
    })
}

/// Deletes the oldest of the backups that were made by themselves, for each reason those past so many;
/// what somebody asked for stays. Returns what was deleted.
pub fn prune(folder: &Path, kept: usize) -> Vec<Backup> {
    let asked = Reason::Asked.word();
    let mut seen: Vec<(String, usize)> = Vec::new();
    let mut deleted = Vec::new();
    for backup in list(folder).into_iter().filter(|backup| backup.reason != asked) {
        // All migrations are one kind, whatever their version.
        let kind = if backup.reason.starts_with("before-v") { "before-v" } else { &backup.reason };
        let place = seen.iter().position(|(known, _)| known == kind).unwrap_or_else(|| {
            seen.push((kind.to_owned(), 0));
            seen.len() - 1
        });
        seen[place].1 += 1;
        if seen[place].1 > kept {
            match std::fs::remove_file(&backup.path) {
                Ok(()) => deleted.push(backup),
                Err(error) => {
                    tracing::warn!(%error, backup = %backup.path.display(), "an old backup could not be deleted");
                }
            }
        }
    }
    deleted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_each_reason_go_and_what_was_asked_for_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let names = [
            "ide-1-daily.db",
            "ide-2-before-v7.db",
            "ide-3-daily.db",
            "ide-4-asked.db",
            "ide-5-before-v8.db",
            "ide-6-daily.db",
            "ide-7-asked.db",
            // None of ours.
            "ide-x-daily.db",
            "ide-8-daily.db.unfinished",
            "notes.txt",
        ];
        for name in names {
            std::fs::write(folder.path().join(name), "x").expect("writes");
        }
        std::fs::create_dir(folder.path().join("ide-9-daily.db")).expect("a folder");
        let times = |backups: Vec<Backup>| {
            backups.into_iter().map(|backup| backup.created_at).collect::<Vec<_>>()
        };
        assert_eq!(times(list(folder.path())), [7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(times(prune(folder.path(), 2)), [1]);
        assert_eq!(times(prune(folder.path(), 1)), [3, 2]);
        assert_eq!(times(list(folder.path())), [7, 6, 5, 4]);
        assert_eq!(newest(folder.path()).map(|backup| backup.reason), Some("asked".to_owned()));
        assert_eq!(list(&folder.path().join("nowhere")), []);
    }
}
