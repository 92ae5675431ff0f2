//! Parses a diff, and checks all of its form that can be told without the file.

use super::{Change, FileDiff, Hunk, Side, first_line};

/// The lines git writes between `diff --git` and the hunks; of these, those that change something.
const CHANGING: &[&str] = &["old mode ", "new mode "];
/// Those that tell of the change alone.
const TELLING: &[&str] = &["similarity index ", "dissimilarity index ", "index "];
/// Lines that other tools put before `---`, for people.
const PREAMBLE: &[&str] = &["Index: ", "====="];

const NO_FILE: &str = "/dev/null";

/// Returns the diff of a text, or what is wrong with the text and in which line.
pub fn parse(text: &str) -> Result<FileDiff<'_>, String> {
    let mut lines = Lines { rest: text, number: 0 };
    let mut header = Header::default();
    if lines.take_if("diff --git ").is_some() {
        header.read_extended(&mut lines)?;
    } else {
        while PREAMBLE.iter().any(|start| lines.take_if(start).is_some()) {}
    }
    let has_names = match lines.take_if("--- ") {
        None => false,
        Some(old) => {
            let new = lines.take_if("+++ ").ok_or_else(|| lines.expected("a line `+++ `"))?;
            header.is_new |= file_name(old) == NO_FILE;
            header.is_gone |= file_name(new) == NO_FILE;
            true
        }
    };
    let change = header.change()?;
    let hunks = if has_names { read_hunks(&mut lines, change)? } else { Vec::new() };
    if let Some(line) = lines.peek() {
        return Err(if line.starts_with("diff --git ") || line.starts_with("--- ") {
            format!("line {}: is the diff of another file; expected one file", lines.number + 1)
        } else if has_names {
            lines.expected("a hunk, `@@ -1,2 +1,2 @@`")
        } else if line.starts_with("Binary files ") || line.starts_with("GIT binary patch") {
            format!("line {}: is the diff of a binary file; expected text", lines.number + 1)
        } else {
            lines.expected("`diff --git ` or `--- `")
        });
    }
    if hunks.is_empty() && change == Change::Modify && !header.renames && !header.changes {
        return Err("changes nothing".to_owned());
    }
    Ok(FileDiff { change, renames: header.renames, hunks })
}

/// The name in a line `--- ` or `+++ `: what follows a tab is a time.
fn file_name(name: &str) -> &str {
    name.split('\t').next().unwrap_or_default().trim_end()
}

#[derive(Default)]
struct Header {
    is_new: bool,
    is_gone: bool,
    renames: bool,
    changes: bool,
}

impl Header {
    fn read_extended(&mut self, lines: &mut Lines<'_>) -> Result<(), String> {
        while let Some(line) = lines.peek() {
            let starts = |starts: &[&str]| starts.iter().any(|start| line.starts_with(start));
            if line.starts_with("new file mode ") {
                self.is_new = true;
            } else if line.starts_with("deleted file mode ") {
                self.is_gone = true;
            } else if starts(&["rename from ", "rename to "]) {
                self.renames = true;
            } else if starts(CHANGING) {
                self.changes = true;
            } else if starts(&["copy from ", "copy to "]) {
                return Err(format!(
                    "line {}: copies another file; expected a new file",
                    lines.number + 1
                ));
            } else if !starts(TELLING) {
                return Ok(());
            }
            lines.next();
        }
        Ok(())
    }

    fn change(&self) -> Result<Change, String> {
        match (self.is_new, self.is_gone, self.renames) {
            (false, false, _) => Ok(Change::Modify),
            (true, false, false) => Ok(Change::Create),
            (false, true, false) => Ok(Change::Delete),
            _ => Err("says of the file two of new, deleted and renamed".to_owned()),
        }
    }
}

/// Where the hunks read so far end, in lines of either file.
#[derive(Default)]
struct Ends {
    old: usize,
    new: usize,
    /// True behind a line that the diff says is the last of a file.
    is_last: bool,
}

fn read_hunks<'a>(lines: &mut Lines<'a>, change: Change) -> Result<Vec<Hunk<'a>>, String> {
    let mut hunks = Vec::new();
    let mut ends = Ends::default();
    while let Some(line) = lines.take_if("@@ ") {
        hunks.push(read_hunk(lines, line, change, &mut ends)?);
    }
    if hunks.is_empty() {
        return Err(lines.expected("a hunk, `@@ -1,2 +1,2 @@`"));
    }
    Ok(hunks)
}

/// Reads a hunk behind its first line.
fn read_hunk<'a>(
    lines: &mut Lines<'a>,
    line: &str,
    change: Change,
    ends: &mut Ends,
) -> Result<Hunk<'a>, String> {
    let at = lines.number;
    let failed = |problem: &str| Err(format!("line {at}: {problem}"));
    let Some((old, new)) = read_ranges(line) else {
        return failed("is no hunk, `@@ -1,2 +1,2 @@`");
    };
    match change {
        Change::Create if old.count > 0 => return failed("a new file has no old lines"),
        Change::Delete if new.count > 0 => return failed("a deleted file has no new lines"),
        _ => {}
    }
    if ends.is_last {
        return failed("is a hunk behind the end of the file");
    }
    let (Some(old_before), Some(new_before)) = (old.before(), new.before()) else {
        return failed("lines are counted from 1");
    };
    if old_before < ends.old || new_before < ends.new {
        return failed("begins before the hunk above it ends");
    }
    if old_before - ends.old != new_before - ends.new {
        return failed("the line numbers of the old and the new file do not agree");
    }
    let body = lines.rest;
    let (mut old_left, mut new_left) = (old.count, new.count);
    let (mut old_is_last, mut new_is_last) = (false, false);
    while old_left > 0 || new_left > 0 {
        let Some(line) = first_line(lines.rest) else {
            return Err(lines.expected(&format!(
                "a line of the hunk ({old_left} more of the old file, {new_left} of the new)"
            )));
        };
        let (is_old, is_new) = (line.side != Side::Added, line.side != Side::Removed);
        let number = lines.number + 1;
        if (is_old && old_left == 0) || (is_new && new_left == 0) {
            return Err(format!(
                "line {number}: one line more than line {at} says of the {} file",
                if is_old && old_left == 0 { "old" } else { "new" }
            ));
        }
        if (is_old && old_is_last) || (is_new && new_is_last) {
            return Err(format!("line {number}: is behind the last line of the file"));
        }
        old_left -= usize::from(is_old);
        new_left -= usize::from(is_new);
        old_is_last |= is_old && line.is_unended;
        new_is_last |= is_new && line.is_unended;
        lines.number += if line.is_unended { 2 } else { 1 };
        lines.rest = line.rest;
    }
    *ends = Ends {
        old: old_before + old.count,
        new: new_before + new.count,
        is_last: old_is_last || new_is_last,
    };
    Ok(Hunk { before: old_before, body: &body[..body.len() - lines.rest.len()] })
}

/// One side of `@@ -1,2 +1,2 @@`.
struct Range {
    start: usize,
    count: usize,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| {
            let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| is_plain).map(|number| number as usize)
        };
        match text.split_once(',') {
            None => Some(Self { start: number(text)?, count: 1 }),
            Some((start, count)) => Some(Self { start: number(start)?, count: number(count)? }),
        }
    }

    /// Returns how many lines lie before it. One that has no lines is named by the line before it.
    fn before(&self) -> Option<usize> {
        if self.count == 0 { Some(self.start) } else { self.start.checked_sub(1) }
    }
}

/// Reads what follows `@@ ` in a hunk's first line. Behind the second `@@` may be any text.
fn read_ranges(line: &str) -> Option<(Range, Range)> {
    let (old, rest) = line.strip_prefix('-')?.split_once(" +")?;
    let (new, _) = rest.split_once(" @@")?;
    Some((Range::parse(old)?, Range::parse(new)?))
}

/// The lines of a text, as far as they are not read.
struct Lines<'a> {
    rest: &'a str,
    /// The number of the line read last.
    number: usize,
}

impl<'a> Lines<'a> {
    /// Returns the next line without its `\n`; `None` at the end.
    fn peek(&self) -> Option<&'a str> {
        let line = self.rest.split('\n').next().unwrap_or_default();
        (!self.rest.is_empty()).then_some(line)
    }

    fn next(&mut self) {
        self.number += 1;
        self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
    }

    /// Takes the next line if it starts so, and returns what follows.
    fn take_if(&mut self, start: &str) -> Option<&'a str> {
        let rest = self.peek()?.strip_prefix(start)?;
        self.next();
        Some(rest)
    }

    fn expected(&self, what: &str) -> String {
        let number = self.number + 1;
        match self.peek() {
            None => format!("ends before line {number}: expected {what}"),
            Some(line) if !self.rest.contains('\n') && line.starts_with([' ', '-', '+']) => {
                format!("line {number}: has no newline at its end; expected {what}")
            }
            Some(line) => {
                let found = &line[..line.floor_char_boundary(64)];
                format!("line {number}: expected {what}, found {found:?}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse(text).expect_err(text)
    }

    #[test]
    fn what_git_writes_is_read() {
        for (text, change, renames, hunks) in [
            ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", Change::Modify, false, 1),
            (
                "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1,3 +1,2 @@ fn a() {\n \
                 a\n-b\n c\n@@ -10,0 +10,2 @@\n+d\n+e\n\\ No newline at end of file\n",
                Change::Modify,
                false,
                2,
            ),
            (
                "diff --git a/x b/x\nnew file mode 100644\nindex 0000000..e69de29\n",
                Change::Create,
                false,
                0,
            ),
            (
                "diff --git a/x b/x\ndeleted file mode 100644\nindex e69de29..0000000\n",
                Change::Delete,
                false,
                0,
            ),
            (
                "diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n",
                Change::Modify,
                true,
                0,
            ),
            ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", Change::Modify, false, 0),
            ("--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n", Change::Create, false, 1),
            ("--- a/x\t2024-01-01\n+++ /dev/null\t\n@@ -1 +0,0 @@\n-a\n", Change::Delete, false, 1),
            // As `diff.suppressBlankEmpty` has it, and a line that looks like a header.
            ("--- a/x\n+++ b/x\n@@ -1,3 +1,2 @@\n\n--- y\n +++ z\n", Change::Modify, false, 1),
            ("Index: x\n=====\n--- x\n+++ x\n@@ -1 +1 @@\n-a\r\n+b\n", Change::Modify, false, 1),
            ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n\\ Kein", Change::Modify, false, 1),
        ] {
            let diff = parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
            assert_eq!((diff.change, diff.renames, diff.hunks.len()), (change, renames, hunks));
        }
    }

    #[test]
    fn what_is_no_diff_of_one_file_is_refused_with_the_line() {
        let names = "--- a/x\n+++ b/x\n";
        for (text, says) in [
            ("", "changes nothing"),
            ("diff --git a/x b/x\nindex 1..2 100644\n", "changes nothing"),
            ("a\n", "line 1: expected `diff --git ` or `--- `, found \"a\""),
            ("@@ -1 +1 @@\n-a\n+b\n", "line 1: expected `diff --git `"),
            ("--- a/x\n", "ends before line 2: expected a line `+++ `"),
            (names, "ends before line 3: expected a hunk"),
            ("--- /dev/null\n+++ /dev/null\n@@ -0,0 +0,0 @@\n", "two of new, deleted"),
            (
                "diff --git a/x b/x\nBinary files a/x and b/x differ\n",
                "line 2: is the diff of a binary",
            ),
            ("diff --git a/x b/y\ncopy from x\ncopy to y\n", "line 2: copies"),
        ] {
            assert!(problem(text).contains(says), "{text}: {}", problem(text));
        }
        for (hunks, says) in [
            ("@@ -1 +1 @\n-a\n+b\n", "line 3: is no hunk"),
            ("@@ -1 ++1 @@\n-a\n+b\n", "line 3: is no hunk"),
            ("@@ -4294967296 +1 @@\n-a\n+b\n", "line 3: is no hunk"),
            ("@@ -0 +1 @@\n-a\n+b\n", "line 3: lines are counted from 1"),
            ("@@ -1,2 +1 @@\n-a\n+b\n", "ends before line 6: expected a line of the hunk (1 more"),
            ("@@ -1 +1 @@\n-a\n-b\n", "line 5: one line more than line 3 says of the old file"),
            ("@@ -1 +1 @@\n-a\n+b\n+c\n", "line 6: expected a hunk"),
            ("@@ -1 +1 @@\n-a\n+b", "line 5: has no newline at its end"),
            ("@@ -1 +1 @@\n-a\n*b\n", "line 5: expected a line of the hunk"),
            ("@@ -1 +1 @@\n\\ No newline\n-a\n+b\n", "line 4: expected a line of the hunk"),
            ("@@ -1 +1 @@\n-a\n+b\n@@ -1 +1 @@\n-a\n+b\n", "line 6: begins before"),
            ("@@ -1 +1 @@\n-a\n+b\n@@ -5 +6 @@\n-a\n+b\n", "line 6: the line numbers"),
            ("@@ -1,2 +1 @@\n-a\n\\ No\n-b\n+b\n", "line 6: is behind the last line"),
            ("@@ -1 +1 @@\n-a\n+b\n\\ No\n@@ -5 +5 @@\n-a\n+b\n", "line 7: is a hunk behind"),
            ("@@ -1 +1 @@\n-a\n+b\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n", "line 6: is the diff"),
            ("@@ -1 +1 @@\n-a\n+b\ndiff --git a/y b/y\n", "line 6: is the diff of another file"),
        ] {
            let problem = problem(&format!("{names}{hunks}"));
            assert!(problem.contains(says), "{hunks}: {problem}");
        }
        assert!(problem("--- /dev/null\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n").contains("no old lines"));
        assert!(problem("--- a/x\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n").contains("no new lines"));
    }
}
