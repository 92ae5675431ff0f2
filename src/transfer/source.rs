//! Which files there are to import under a path, in a fixed order, without reading them.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::workspace;

/// A file that was found, or a place where one should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) found: Found,
}

/// What was found at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A file that should hold a session.
    Session {
        /// The name of its folder under `agent-sessions`.
        workspace: Option<String>,
    },
    /// A file that should hold the user's settings.
    Settings,
    /// A file that should hold the settings of the project of a folder.
    ProjectSettings {
        /// The folder, as an absolute path.
        folder: PathBuf,
    },
    /// Something that is not to be imported, and why.
    Foreign(String),
    /// Something that cannot be read, and why.
    Unreadable(String),
}

const HOME: &str = ".rainy-aether";
const SESSIONS: &str = "agent-sessions";
/// Where older versions of the IDE kept sessions, whatever the workspace.
const OLD_SESSIONS: &str = "agent-history";
const SETTINGS: &str = "settings.json";
/// Where a project keeps its own settings.
const PROJECT_SETTINGS: &str = ".rainy";

/// Finds what is to be imported under a path: a home, one of its folders, a project's folder, or a
/// single file. With a home come the settings of the projects whose folders are given.
///
/// Everything in a folder of sessions is told of; what else a home holds is not looked at. The
/// newer folder of sessions comes before the older one: where both hold a session, the newer
/// file's title and model are those that stay. Symbolic links are followed, wherever they lead: no
/// folder is looked at for more than the files in it, so that a loop of them ends.
pub(super) fn find<'a>(path: &Path, projects: impl Iterator<Item = &'a Path>) -> Vec<Source> {
    let mut sources = Vec::new();
    match std::fs::metadata(path) {
        Err(error) => sources.push(unreadable(path, &error)),
        Ok(metadata) if metadata.is_dir() => {
            let nested = path.join(HOME);
            if is_named(path, SESSIONS) {
                all_sessions(path, &mut sources);
            } else if is_home(path) {
                home(path, &mut sources);
                projects.for_each(|folder| project_settings(folder, &mut sources));
            } else if is_home(&nested) {
                home(&nested, &mut sources);
                projects.for_each(|folder| project_settings(folder, &mut sources));
            } else if path.join(PROJECT_SETTINGS).is_dir() {
                project_settings(path, &mut sources);
            } else {
                folder(path, &mut sources);
            }
        }
        Ok(_) => sources.push(file(path)),
    }
    if sources.is_empty() {
        sources.push(foreign(path, "holds nothing to import"));
    }
    sources
}

/// Finds the settings that a project keeps in its folder.
fn project_settings(folder: &Path, sources: &mut Vec<Source>) {
    let settings = folder.join(PROJECT_SETTINGS).join(SETTINGS);
    if settings.symlink_metadata().is_ok() {
        sources.push(file(&settings));
    }
}

fn is_home(path: &Path) -> bool {
    let named = is_named(path, HOME) && path.is_dir();
    named || path.join(SESSIONS).is_dir() || path.join(OLD_SESSIONS).is_dir()
}

fn home(path: &Path, sources: &mut Vec<Source>) {
    // Asked of the entry itself, so that a dangling link is told of and not passed over.
    let exists = |path: &Path| path.symlink_metadata().is_ok();
    let settings = path.join(SETTINGS);
    if exists(&settings) {
        sources.push(file(&settings));
    }
    let sessions = path.join(SESSIONS);
    if exists(&sessions) {
        all_sessions(&sessions, sources);
    }
    let old_sessions = path.join(OLD_SESSIONS);
    if exists(&old_sessions) {
        folder(&old_sessions, sources);
    }
}

/// Finds the sessions of every workspace.
fn all_sessions(path: &Path, sources: &mut Vec<Source>) {
    for entry in entries(path, sources) {
        if entry.is_dir() {
            folder(&entry, sources);
        } else {
            sources.push(listed_file(&entry));
        }
    }
}

/// Finds the sessions of one folder.
fn folder(path: &Path, sources: &mut Vec<Source>) {
    for entry in entries(path, sources) {
        sources.push(listed_file(&entry));
    }
}

/// Returns what a folder holds, sorted; a folder that cannot be read is told of.
fn entries(path: &Path, sources: &mut Vec<Source>) -> Vec<PathBuf> {
    let read =
        || std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    match read() {
        Ok(mut paths) => {
            paths.sort();
            paths
        }
        Err(error) => {
            sources.push(unreadable(path, &error));
            Vec::new()
        }
    }
}

/// Classifies a file that a folder holds: only those whose name ends in `.json` are the IDE's.
fn listed_file(path: &Path) -> Source {
    if path.extension() == Some(OsStr::new("json")) {
        file(path)
    } else {
        foreign(path, "is not a .json file")
    }
}

fn file(path: &Path) -> Source {
    match std::fs::metadata(path) {
        Err(error) => return unreadable(path, &error),
        Ok(metadata) if metadata.is_dir() => {
            return Source {
                path: path.to_owned(),
                found: Found::Unreadable("is a folder".to_owned()),
            };
        }
        // Opening a pipe would wait for somebody to write into it.
        Ok(metadata) if !metadata.is_file() => {
            return Source {
                path: path.to_owned(),
                found: Found::Unreadable("is not a regular file".to_owned()),
            };
        }
        Ok(_) => {}
    }
    if path.file_name() != Some(OsStr::new(SETTINGS)) {
        return Source {
            path: path.to_owned(),
            found: Found::Session { workspace: workspace_of(path) },
        };
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let project = absolute.parent().filter(|parent| is_named(parent, PROJECT_SETTINGS));
    if let Some(folder) = project.and_then(Path::parent) {
        let found = Found::ProjectSettings { folder: folder.to_owned() };
        return Source { path: path.to_owned(), found };
    }
    Source { path: path.to_owned(), found: Found::Settings }
}

/// Returns the name of the workspace's folder a session lies in, where it is one.
fn workspace_of(path: &Path) -> Option<String> {
    let absolute = std::path::absolute(path).ok()?;
    let folder = absolute.parent()?;
    let name = folder.file_name()?.to_string_lossy();
    let inside = folder.parent().is_some_and(|parent| is_named(parent, SESSIONS));
    (inside || workspace::is_folder_name(&name)).then(|| name.into_owned())
}

/// True where a path, made absolute, ends in a name.
fn is_named(path: &Path, name: &str) -> bool {
    std::path::absolute(path).is_ok_and(|path| path.file_name() == Some(OsStr::new(name)))
}

fn unreadable(path: &Path, error: &io::Error) -> Source {
    Source { path: path.to_owned(), found: Found::Unreadable(format!("cannot be read: {error}")) }
}

fn foreign(path: &Path, reason: &str) -> Source {
    Source { path: path.to_owned(), found: Found::Foreign(reason.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().expect("has a parent")).expect("makes folders");
            std::fs::write(path, "{}").expect("writes");
        }
        root
    }

    /// What was found, as `path: what`, relative to the root.
    fn found(root: &Path, path: &str) -> Vec<String> {
        let shop = root.join("shop");
        find(&root.join(path), [shop.as_path(), root].into_iter())
            .into_iter()
            .map(|source| {
                let path =
                    source.path.strip_prefix(root).expect("under the root").display().to_string();
                let what = match source.found {
                    Found::Session { workspace } => {
                        workspace.unwrap_or_else(|| "session".to_owned())
                    }
                    Found::Settings => "settings".to_owned(),
                    Found::ProjectSettings { folder } => {
                        let name = folder.file_name().expect("a name").to_string_lossy();
                        format!("settings of {name}")
                    }
                    Found::Foreign(reason) => reason,
                    Found::Unreadable(reason) => reason,
                };
                format!("{path}: {what}")
            })
            .collect()
    }

    #[test]
    fn a_home_gives_its_settings_and_sessions_in_order() {
        let root = tree(&[
            ".rainy-aether/agent-history/b.json",
            ".rainy-aether/agent-sessions/_global/z.json",
            ".rainy-aether/agent-sessions/shop_1a2b3c/b.json",
            ".rainy-aether/agent-sessions/shop_1a2b3c/a.json",
            ".rainy-aether/agent-sessions/shop_1a2b3c/a.json.bak",
            ".rainy-aether/agent-sessions/shop_1a2b3c/folder.json/c.json",
            ".rainy-aether/agent-sessions/loose.json",
            ".rainy-aether/extensions/extensions.json",
            ".rainy-aether/settings.json",
        ]);
        let all = [
            ".rainy-aether/settings.json: settings",
            ".rainy-aether/agent-sessions/_global/z.json: _global",
            ".rainy-aether/agent-sessions/loose.json: session",
            ".rainy-aether/agent-sessions/shop_1a2b3c/a.json: shop_1a2b3c",
            ".rainy-aether/agent-sessions/shop_1a2b3c/a.json.bak: is not a .json file",
            ".rainy-aether/agent-sessions/shop_1a2b3c/b.json: shop_1a2b3c",
            ".rainy-aether/agent-sessions/shop_1a2b3c/folder.json: is a folder",
            ".rainy-aether/agent-history/b.json: session",
        ];
        assert_eq!(found(root.path(), ".rainy-aether"), all);
        assert_eq!(found(root.path(), ""), all);
        assert_eq!(found(root.path(), ".rainy-aether/agent-sessions"), all[1..7]);
        assert_eq!(found(root.path(), ".rainy-aether/agent-sessions/shop_1a2b3c"), all[3..7]);
        assert_eq!(found(root.path(), ".rainy-aether/agent-history"), all[7..]);
        assert_eq!(
            found(root.path(), ".rainy-aether/agent-sessions/shop_1a2b3c/b.json"),
            all[5..6]
        );
        assert_eq!(found(root.path(), ".rainy-aether/settings.json"), all[..1]);
    }

    #[test]
    fn what_is_missing_or_empty_is_told() {
        let root = tree(&[]);
        std::fs::create_dir(root.path().join("empty")).expect("makes a folder");
        assert_eq!(found(root.path(), "empty"), ["empty: holds nothing to import"]);
        assert!(found(root.path(), "gone")[0].starts_with("gone: cannot be read"));
    }

    #[test]
    fn a_projects_settings_are_found_with_a_home_and_alone() {
        let root = tree(&[
            "shop/.rainy/settings.json",
            "shop/.rainy/mcp.json",
            "ide/agent-history/a.json",
        ]);
        let own = "shop/.rainy/settings.json: settings of shop";
        for path in ["shop", "shop/.rainy/settings.json"] {
            assert_eq!(found(root.path(), path), [own]);
        }
        assert_eq!(found(root.path(), "ide"), ["ide/agent-history/a.json: session", own]);
        assert_eq!(found(root.path(), "ide/agent-history"), ["ide/agent-history/a.json: session"]);
        std::fs::remove_file(root.path().join("shop/.rainy/settings.json")).expect("is removed");
        assert_eq!(found(root.path(), "shop"), ["shop: holds nothing to import"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_nowhere_are_told_and_others_followed() {
        use std::os::unix::fs::symlink;
        let root = tree(&["agent-history/a.json", "elsewhere/b.json"]);
        let history = root.path().join("agent-history");
        symlink(history.join("loop.json"), history.join("loop.json")).expect("links");
        symlink(root.path().join("gone"), history.join("gone.json")).expect("links");
        symlink(root.path().join("elsewhere/b.json"), history.join("b.json")).expect("links");
        symlink(&history, history.join("self.json")).expect("links");
        let found = found(root.path(), "agent-history");
        assert_eq!(found[..2], ["agent-history/a.json: session", "agent-history/b.json: session"]);
        assert!(found[2].starts_with("agent-history/gone.json: cannot be read"), "{found:?}");
        assert!(found[3].starts_with("agent-history/loop.json: cannot be read"), "{found:?}");
        assert_eq!(found[4..], ["agent-history/self.json: is a folder"]);
    }
}
