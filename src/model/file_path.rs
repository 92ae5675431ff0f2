//! Paths of files in a project: by their place below its folder, so that they stay when it moves.
//!
//! A path is relative to the folder, or absolute and inside it; its look is that of the folder's
//! platform. Repeated separators, one at the end, `.` and `..` make no other file, and on Windows
//! neither do `/` for `\` and the case of letters. `..` does not lead out of the folder.

use super::FolderPath;
use super::path::separators;

/// The place of a file in its project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath {
    /// The names below the folder with `/` between them, in the case they were sent in.
    pub relative: String,
    /// The text that is the same for all paths of one file.
    pub key: String,
}

impl FilePath {
    /// Returns the place of a path, or what is wrong with it.
    ///
    /// `folder` is the project's; one that is no absolute path has relative files alone.
    pub fn parse(folder: &str, text: &str) -> Result<Self, String> {
        let folder = FolderPath::parse(folder).ok();
        let place = place_of(folder.as_ref(), text)?;
        if place.is_empty() {
            return Err("names the project's folder, not a file in it".to_owned());
        }
        let relative = place.join("/");
        let key = folded(folder.as_ref(), &relative);
        Ok(Self { relative, key })
    }

    /// Returns the place whose names are known, such as one that was stored.
    pub fn of_place(folder: &str, relative: &str) -> Self {
        let key = folded(FolderPath::parse(folder).ok().as_ref(), relative);
        Self { relative: relative.to_owned(), key }
    }

    /// Returns what the keys of all files begin with whose paths begin with a text.
    ///
    /// Whether a separator is at its end matters: `src` also begins `src2`, `src/` does not. What
    /// follows the last one is the beginning of a name, dots too: `.` begins `.git`.
    pub fn key_prefix(folder: &str, text: &str) -> Result<String, String> {
        let folder = FolderPath::parse(folder).ok();
        let separators = separators(is_of_windows(folder.as_ref()));
        let (names, last) = text.split_at(text.rfind(separators).map_or(0, |at| at + 1));
        let is_dots = matches!(last, "." | "..");
        let mut place = place_of(folder.as_ref(), if is_dots { names } else { text })?;
        if is_dots {
            place.push(last);
        }
        let mut prefix = place.join("/");
        if last.is_empty() && !place.is_empty() {
            prefix.push('/');
        }
        Ok(folded(folder.as_ref(), &prefix))
    }
}

/// Returns the names below the folder.
fn place_of<'a>(folder: Option<&FolderPath<'_>>, text: &'a str) -> Result<Vec<&'a str>, String> {
    if text.chars().any(char::is_control) {
        return Err("a path has no control characters".to_owned());
    }
    match (folder, is_rooted(folder, text)) {
        (Some(folder), true) => below(folder, text),
        (None, true) => Err("expected a path relative to the project's folder".to_owned()),
        (_, false) => relative(folder, text),
    }
}

/// True where a path starts at a root, or at a drive, of the folder's platform.
fn is_rooted(folder: Option<&FolderPath<'_>>, text: &str) -> bool {
    if !is_of_windows(folder) {
        return text.starts_with('/');
    }
    let mut letters = text.chars();
    let starts_with_drive = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic())
        && letters.next() == Some(':');
    starts_with_drive || text.starts_with(['/', '\\'])
}

/// Returns the names of an absolute path that follow those of the folder.
fn below<'a>(folder: &FolderPath<'_>, text: &'a str) -> Result<Vec<&'a str>, String> {
    let path = FolderPath::parse(text)?;
    let start = folder.parts();
    let is_inside = path.root_key() == folder.root_key()
        && path.parts().len() >= start.len()
        && path
            .parts()
            .iter()
            .zip(start)
            .all(|(one, other)| folder.folded(one) == folder.folded(other));
    if !is_inside {
        return Err("lies outside the project's folder".to_owned());
    }
    Ok(path.parts()[start.len()..].to_vec())
}

fn relative<'a>(folder: Option<&FolderPath<'_>>, text: &'a str) -> Result<Vec<&'a str>, String> {
    let mut parts = Vec::new();
    for part in text.split(separators(is_of_windows(folder))) {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() => {
                return Err("leads out of the project's folder".to_owned());
            }
            ".." => {}
            part => parts.push(part),
        }
    }
    Ok(parts)
}

fn is_of_windows(folder: Option<&FolderPath<'_>>) -> bool {
    folder.is_some_and(FolderPath::is_of_windows)
}

fn folded(folder: Option<&FolderPath<'_>>, text: &str) -> String {
    folder.map_or_else(|| text.to_owned(), |folder| folder.folded(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &str, path: &str) -> FilePath {
        FilePath::parse(folder, path)
            .unwrap_or_else(|problem| panic!("{folder}, {path}: {problem}"))
    }

    #[test]
    fn paths_of_one_file_have_one_key() {
        for (folder, same) in [
            (
                "/home/me/Shop",
                &[
                    "src/Main.rs",
                    "./src//Main.rs",
                    "src/x/../Main.rs",
                    "/home/me/Shop/src/Main.rs",
                    "//home/me/./Shop/src/Main.rs/",
                    "x/../src/Main.rs",
                    "/home/me/x/../Shop/src/Main.rs",
                ][..],
            ),
            ("/", &["etc/hosts", "/etc/hosts", "/../etc/hosts"]),
            ("/Users/me/Shop/", &["é/🦀", "/Users/me/Shop/é/🦀"]),
            ("/home/me/Shop", &["C:\\x", "./C:\\x"]),
            (
                r"C:\Users\Shop",
                &[
                    r"src\Main.rs",
                    "SRC/main.rs",
                    r"c:\users\shop\src\MAIN.RS",
                    "C:/Users/Shop/src/Main.rs",
                    r"\\?\C:\Users\Shop\src\.\Main.rs",
                ],
            ),
            (r"\\host\disk\Shop", &["a/b", r"A\B", r"\\HOST\disk\shop\a\b"]),
            // An older file may have a project of such a path.
            ("shop", &["a/b", "./a//b"]),
        ] {
            for path in same {
                assert_eq!(file(folder, path).key, file(folder, same[0]).key, "{folder}: {path}");
            }
        }
        assert_eq!(file(r"C:\Users\Shop", r"c:\users\SHOP\src\.\Main.rs").relative, "src/Main.rs");
    }

    #[test]
    fn other_files_have_other_keys() {
        for (folder, one, other) in [
            ("/p", "a", "A"),
            ("/p", "a/b", "a\\b"),
            ("/p", "a", "a/a"),
            ("/p", "a", "a "),
            (r"C:\p", "a/b", "ab"),
            (r"C:\p", "ss", "ß"),
        ] {
            assert_ne!(file(folder, one).key, file(folder, other).key, "{folder}: {one}, {other}");
        }
    }

    #[test]
    fn a_key_stays_when_the_folder_moves() {
        for (from, to) in [("/a/b", "/c"), (r"C:\a", r"\\host\disk\b")] {
            let path = file(from, "src/Main.rs");
            assert_eq!(file(to, &path.relative), path);
            assert_eq!(file(to, &path.key).key, path.key);
        }
    }

    #[test]
    fn what_is_no_file_of_the_project_is_refused() {
        for (folder, path, problem) in [
            ("/p/q", "..", "leads out"),
            ("/p/q", "../q/x", "leads out"),
            ("/p/q", "a/../../x", "leads out"),
            ("/p/q", "/p/q/../x", "outside"),
            ("/p/q", "/p/Q/x", "outside"),
            ("/p/q", "/p/qq/x", "outside"),
            ("/p/q", "/x", "outside"),
            ("/p/q", "", "names the project's folder"),
            ("/p/q", "./a/..", "names the project's folder"),
            ("/p/q", "/p/q/", "names the project's folder"),
            ("/p/q", "a\nb", "control"),
            (r"C:\p", r"D:\p\x", "outside"),
            (r"C:\p", r"C:\q\x", "outside"),
            (r"C:\p", r"\\host\p\x", "outside"),
            (r"C:\p", r"\p\x", "expected an absolute path"),
            (r"C:\p", "C:x", "expected an absolute path"),
            (r"C:\p", "/p/x", "outside"),
            (r"C:\p", r"..\x", "leads out"),
            ("shop", "/shop/x", "expected a path relative"),
        ] {
            let found = FilePath::parse(folder, path).expect_err(path);
            assert!(found.contains(problem), "{folder}, {path}: {found}");
        }
    }

    #[test]
    fn a_prefix_is_of_names_or_of_their_beginnings() {
        for (folder, prefix, key) in [
            ("/p/q", "", ""),
            ("/p/q", "./", ""),
            ("/p/q", "/p/q", ""),
            ("/p/q", "/p/q/", ""),
            ("/p/q", "src", "src"),
            ("/p/q", "src/", "src/"),
            ("/p/q", "./src//", "src/"),
            ("/p/q", ".", "."),
            ("/p/q", "..", ".."),
            ("/p/q", "/p/q/.", "."),
            ("/p/q", "src/.", "src/."),
            ("/p/q", "src/../.", "."),
            ("/p/q", "src/ma", "src/ma"),
            ("/p/q", "src/ma/..", "src/ma/.."),
            ("/p/q", "/p/q/src/ma", "src/ma"),
            (r"C:\p", r"src\", "SRC/"),
            (r"C:\p", "C:/p/src/ma", "SRC/MA"),
            (r"C:\p", "src/", "SRC/"),
            (r"C:\p", r"C:\p\.", "."),
        ] {
            assert_eq!(
                FilePath::key_prefix(folder, prefix).as_deref(),
                Ok(key),
                "{folder}: {prefix}"
            );
        }
        for (folder, prefix) in [
            ("/p/q", "../"),
            ("/p/q", "../."),
            ("/p/q", "/p/"),
            ("/p/q", "/p/."),
            ("/p/q", "/p/qq"),
            (r"C:\p", r"D:\"),
        ] {
            assert!(FilePath::key_prefix(folder, prefix).is_err(), "{folder}: {prefix}");
        }
    }
}
