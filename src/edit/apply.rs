//! Applies a diff to the letter, or says where it does not fit.

use super::lines::behind_lines;
use super::{Change, FileDiff, Line, Side};

/// Where a diff does not fit a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The hunk, from 1; none where the diff as a whole does not fit.
    pub hunk: Option<usize>,
    /// The line of the content, from 1.
    pub line: Option<usize>,
    /// What the diff expects there, with the line's end; none for the end of the file.
    pub expected: Option<String>,
    /// What is there; none for the end of the file.
    pub actual: Option<String>,
}

/// Returns the content that a diff makes of another; none where there is no file.
///
/// To a diff that makes a file, an empty one is as good as none.
pub fn apply(diff: &FileDiff<'_>, content: Option<&str>) -> Result<Option<String>, Mismatch> {
    let needs_a_file = diff.change != Change::Create && diff.hunks.is_empty();
    if content.is_none() && (needs_a_file || diff.change == Change::Delete || diff.renames) {
        let expected = Some("a file".to_owned());
        return Err(Mismatch { hunk: None, line: None, expected, actual: None });
    }
    let rest = content.unwrap_or_default();
    let mut work = Work { rest, line: 1, made: String::with_capacity(rest.len()) };
    for (index, hunk) in diff.hunks.iter().enumerate() {
        let number = Some(index + 1);
        let before = (hunk.before + 1).saturating_sub(work.line);
        if !work.skip(before).map_err(|mismatch| mismatch.of(number))? {
            let expected = hunk.lines().find(|line| line.side != Side::Added);
            return Err(Mismatch {
                hunk: number,
                line: Some(hunk.before + usize::from(expected.is_some())),
                expected: Some(expected.map_or("a line", |line| line.text).to_owned()),
                actual: None,
            });
        }
        for line in hunk.lines() {
            work.take(line).map_err(|mismatch| mismatch.of(number))?;
        }
    }
    let must_end = match diff.change {
        Change::Modify => !work.made.is_empty() && !work.made.ends_with('\n'),
        Change::Create | Change::Delete => true,
    };
    if must_end && let Some(actual) = work.peek() {
        let hunk = Some(diff.hunks.len()).filter(|count| *count > 0);
        return Err(Mismatch {
            hunk,
            line: Some(work.line),
            expected: None,
            actual: Some(actual.to_owned()),
        });
    }
    work.made.push_str(work.rest);
    Ok((diff.change != Change::Delete).then_some(work.made))
}

impl Mismatch {
    fn of(self, hunk: Option<usize>) -> Self {
        Self { hunk, ..self }
    }
}

/// The content as it is gone through.
struct Work<'a> {
    rest: &'a str,
    /// The number of the line that the rest starts with.
    line: usize,
    made: String,
}

impl<'a> Work<'a> {
    /// Returns the next line of the content, with its end.
    fn peek(&self) -> Option<&'a str> {
        let end = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
        Some(&self.rest[..end]).filter(|line| !line.is_empty())
    }

    fn next(&mut self) -> Option<&'a str> {
        let line = self.peek()?;
        self.rest = &self.rest[line.len()..];
        self.line += 1;
        Some(line)
    }

    /// Passes so many lines, and returns false where there are fewer.
    fn skip(&mut self, count: usize) -> Result<bool, Mismatch> {
        let (skipped, rest) = self.rest.split_at(behind_lines(self.rest, count));
        let found = if rest.is_empty() { skipped.split_inclusive('\n').count() } else { count };
        if found > 0 {
            self.push(skipped)?;
        }
        self.rest = rest;
        self.line += found;
        Ok(found == count)
    }

    /// Does what a line of a hunk says.
    fn take(&mut self, line: Line<'_>) -> Result<(), Mismatch> {
        if line.side != Side::Added {
            let actual = self.peek();
            if actual != Some(line.text) {
                return Err(Mismatch {
                    hunk: None,
                    line: Some(self.line),
                    expected: Some(line.text.to_owned()),
                    actual: actual.map(str::to_owned),
                });
            }
            self.next();
        }
        if line.side == Side::Removed { Ok(()) } else { self.push(line.text) }
    }

    /// Adds lines. One that has no end is the last: nothing can follow it.
    fn push(&mut self, lines: &str) -> Result<(), Mismatch> {
        if !self.made.is_empty() && !self.made.ends_with('\n') {
            let last = self.made.rfind('\n').map_or(0, |end| end + 1);
            let last = &self.made[last..];
            return Err(Mismatch {
                hunk: None,
                line: Some(self.line.saturating_sub(1)),
                expected: Some(format!("{last}\n")),
                actual: Some(last.to_owned()),
            });
        }
        self.made.push_str(lines);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn run(diff: &str, content: Option<&str>) -> Result<Option<String>, Mismatch> {
        apply(&parse(diff).unwrap_or_else(|problem| panic!("{diff}: {problem}")), content)
    }

    fn modify(hunks: &str, content: &str) -> Result<String, Mismatch> {
        run(&format!("--- a/x\n+++ b/x\n{hunks}"), Some(content))
            .map(|content| content.expect("a file"))
    }

    #[test]
    fn hunks_are_applied_where_they_say() {
        for (hunks, content, made) in [
            ("@@ -1 +1 @@\n-a\n+b\n", "a\n", "b\n"),
            ("@@ -2,2 +2,2 @@\n b\n-c\n+C\n", "a\nb\nc\nd\n", "a\nb\nC\nd\n"),
            ("@@ -1 +1,2 @@\n+z\n a\n@@ -3 +4 @@\n-c\n+C\n", "a\nb\nc\nd", "z\na\nb\nC\nd"),
            ("@@ -0,0 +1,2 @@\n+a\n+b\n\\ No newline at end of file\n", "", "a\nb"),
            ("@@ -1,0 +2 @@\n+b\n", "a\nc\n", "a\nb\nc\n"),
            ("@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n", "a", "a\n"),
            ("@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n", "a\n", "a"),
            ("@@ -1,2 +1,2 @@\n-a\n+A\n b\n\\ No newline at end of file\n", "a\nb", "A\nb"),
            ("@@ -1 +1 @@\n-a\r\n+a\n", "a\r\nb\r\n", "a\nb\r\n"),
            ("@@ -1 +1 @@\n-a\r\n\\ No newline at end of file\n+a\r\n", "a\r", "a\r\n"),
            ("@@ -1,2 +0,0 @@\n-a\n-b\n", "a\nb\n", ""),
            ("@@ -1,2 +1 @@\n\n-é🌧\n", "\né🌧\n", "\n"),
        ] {
            assert_eq!(modify(hunks, content).as_deref(), Ok(made), "{hunks}");
        }
    }

    #[test]
    fn a_hunk_that_does_not_fit_says_where_and_what_was_expected() {
        for (hunks, content, hunk, line, expected, actual) in [
            // GNU patch and diffy find `a` one line further down.
            ("@@ -1 +1 @@\n-a\n+b\n", "z\na\n", 1, 1, Some("a\n"), Some("z\n")),
            ("@@ -1 +1 @@\n-a\n+b\n", "a\r\n", 1, 1, Some("a\n"), Some("a\r\n")),
            ("@@ -1 +1 @@\n-a\n+b\n", "a", 1, 1, Some("a\n"), Some("a")),
            ("@@ -1 +1 @@\n-a\n\\ No\n+b\n", "a\n", 1, 1, Some("a"), Some("a\n")),
            ("@@ -1 +1 @@\n-a\n+b\n", "", 1, 1, Some("a\n"), None),
            ("@@ -5 +5 @@\n-a\n+b\n", "a\n", 1, 5, Some("a\n"), None),
            ("@@ -5,0 +6 @@\n+b\n", "a\n", 1, 5, Some("a line"), None),
            ("@@ -1 +1 @@\n-a\n+b\n@@ -3 +3 @@\n-c\n+C\n", "a\nb\nd", 2, 3, Some("c\n"), Some("d")),
            ("@@ -1,0 +2 @@\n+b\n", "a", 1, 1, Some("a\n"), Some("a")),
            ("@@ -1 +1 @@\n-a\n+b\n\\ No\n", "a\nc\n", 1, 2, None, Some("c\n")),
        ] {
            let expected = Mismatch {
                hunk: Some(hunk),
                line: Some(line),
                expected: expected.map(str::to_owned),
                actual: actual.map(str::to_owned),
            };
            assert_eq!(modify(hunks, content), Err(expected), "{hunks} on {content:?}");
        }
    }

    #[test]
    fn files_come_and_go() {
        let new = "diff --git a/x b/x\nnew file mode 100644\n";
        let gone = "diff --git a/x b/x\ndeleted file mode 100644\n";
        let renamed = "diff --git a/x b/y\nrename from x\nrename to y\n";
        let made = "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n";
        let deleted = "--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n";
        for (diff, content, after) in [
            (new, None, Some("")),
            (new, Some(""), Some("")),
            (made, None, Some("a\n")),
            (gone, Some(""), None),
            (deleted, Some("a\n"), None),
            (renamed, Some("a"), Some("a")),
        ] {
            assert_eq!(run(diff, content), Ok(after.map(str::to_owned)), "{diff} on {content:?}");
        }
        for (diff, content) in [
            (new, Some("a")),
            (made, Some("b\n")),
            (gone, Some("a\n")),
            (gone, None),
            (deleted, Some("a\nb\n")),
            (deleted, None),
            (renamed, None),
        ] {
            run(diff, content).expect_err(diff);
        }
    }
}
