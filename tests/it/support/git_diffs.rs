//! Diffs as git gives them with `--raw -z -p`: the names apart from the diffs, so never quoted.

use std::path::Path;

use aetherd::api::edit::RecordParams;

use super::edits::{git, params, rename};

/// What makes git show names beside diffs, and both alike whatever a repository is set to.
pub(crate) const OPTIONS: [&str; 11] = [
    "--raw",
    "-z",
    "-p",
    "-M",
    "-r",
    "--full-index",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--src-prefix=a/",
    "--dst-prefix=b/",
];

/// The diff of one file.
#[derive(Debug, Clone)]
pub(crate) struct GitDiff {
    /// The file's path before, where it was renamed, and its path.
    pub(crate) from: String,
    pub(crate) path: String,
    /// None where it is one of a binary file, or not of UTF-8.
    pub(crate) diff: Option<String>,
}

impl GitDiff {
    /// The edit of a session, with the paths below a root.
    pub(crate) fn edit(&self, session: &str, root: &str) -> RecordParams {
        let (from, path) = (format!("{root}/{}", self.from), format!("{root}/{}", self.path));
        let diff = self.diff.as_deref().expect("a diff of text");
        let edit = if from == path {
            params("", session, &path, diff)
        } else {
            rename("", session, &from, &path, diff)
        };
        RecordParams { id: None, ..edit }
    }
}

/// Commits all that is in a folder, and returns what git says of the commit.
pub(crate) fn commit(folder: &Path) -> Vec<u8> {
    let mut diff = vec!["diff-tree", "--text", "--root", "--no-commit-id"];
    diff.extend(OPTIONS);
    diff.push("HEAD");
    let mut said = Vec::new();
    let steps = [vec!["add", "-A"], vec!["commit", "-q", "--allow-empty", "-m", "x"], diff];
    for arguments in steps {
        let output = git(folder, &arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        said = output.stdout;
    }
    said
}

/// Reads the diffs of one commit.
pub(crate) fn diffs_of(output: &[u8]) -> Vec<GitDiff> {
    let mut names: Vec<(String, String)> = Vec::new();
    let mut rest = output;
    while rest.first() == Some(&b':') {
        let mut next = || {
            let end = rest.iter().position(|byte| *byte == 0).expect("an end");
            let text = String::from_utf8(rest[..end].to_vec()).expect("a name of UTF-8");
            rest = &rest[end + 1..];
            text
        };
        let head = next();
        let status = head.rsplit(' ').next().expect("a status").to_owned();
        let from = next();
        let path = if status.starts_with('R') { next() } else { from.clone() };
        // What was a file and is a link is deleted, and made anew.
        let count = if status == "T" { 2 } else { 1 };
        names.extend(std::iter::repeat_n((from, path), count));
    }
    let diffs = split(rest.strip_prefix(b"\0").unwrap_or(rest), b"diff --git ");
    assert_eq!(names.len(), diffs.len(), "{names:?}");
    let with_names = names.into_iter().zip(diffs);
    with_names
        .map(|((from, path), diff)| {
            let text = String::from_utf8(diff.to_vec()).ok();
            // Lines of a hunk start with a sign, so this is none.
            let is_text = |text: &String| {
                !text.lines().any(|line| {
                    line == "GIT binary patch"
                        || (line.starts_with("Binary files ") && line.ends_with(" differ"))
                })
            };
            GitDiff { from, path, diff: text.filter(is_text) }
        })
        .collect()
}

/// Splits what git wrote where a line starts with a mark, which each part keeps.
pub(crate) fn split<'a>(output: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let is_start =
        |at: &usize| output[*at..].starts_with(mark) && (*at == 0 || output[at - 1] == b'\n');
    let mut ends: Vec<usize> = (0..output.len()).filter(is_start).collect();
    ends.push(output.len());
    ends.windows(2).map(|ends| &output[ends[0]..ends[1]]).collect()
}
