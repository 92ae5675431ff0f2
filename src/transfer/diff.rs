//! The unified diff of two contents of a file, as one hunk.

use std::fmt::Write as _;

use crate::edit;
use crate::model::EditKind;

/// Lines of context on each side, as git gives.
const CONTEXT: usize = 3;

/// Returns the diff that makes one content the other, and what it does; `None` where they are the same.
///
/// One hunk from the first line that differs to the last: no smaller diff is looked for.
pub(super) fn between(path: &str, before: Option<&str>, after: &str) -> Option<(String, EditKind)> {
    if before == Some(after) {
        return None;
    }
    let old: Vec<&str> = before.unwrap_or_default().split_inclusive('\n').collect();
    let new: Vec<&str> = after.split_inclusive('\n').collect();
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| {
        pairs.take_while(|(old, new)| old == new).count()
    };
    let head = same(&mut old.iter().zip(&new));
    let tail = same(&mut old[head..].iter().rev().zip(new[head..].iter().rev()));
    let (removed, added) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let from = head.saturating_sub(CONTEXT);
    let behind = &old[old.len() - tail..][..tail.min(CONTEXT)];
    let context = head - from + behind.len();
    let mut diff = match before {
        // A new file that is empty has no hunk, so git's own lines have to tell of it.
        None if new.is_empty() => format!("diff --git a/{path} b/{path}\nnew file mode 100644\n"),
        None => format!("--- /dev/null\n+++ b/{path}\n"),
        Some(_) => format!("--- a/{path}\n+++ b/{path}\n"),
    };
    if !(removed.is_empty() && added.is_empty()) {
        let (old_range, new_range) =
            (range(from, context + removed.len()), range(from, context + added.len()));
        writeln!(diff, "@@ -{old_range} +{new_range} @@").expect("a String takes all");
        for (sign, lines) in [(' ', &old[from..head]), ('-', removed), ('+', added), (' ', behind)]
        {
            lines.iter().for_each(|line| push(&mut diff, sign, line));
        }
    }
    let kind = match (removed.is_empty(), added.is_empty()) {
        (true, _) => EditKind::Insert,
        (false, true) => EditKind::Delete,
        (false, false) => EditKind::Replace,
    };
    // What is recorded is certain: it is what it says, or nothing.
    let parsed = edit::parse(&diff).ok()?;
    let is_exact = edit::apply(&parsed, before).is_ok_and(|made| made.as_deref() == Some(after));
    is_exact.then_some((diff, kind))
}

/// Returns one side of a hunk's first line: so many lines behind so many others.
fn range(before: usize, count: usize) -> String {
    match count {
        0 => format!("{before},0"),
        1 => format!("{}", before + 1),
        _ => format!("{},{count}", before + 1),
    }
}

fn push(diff: &mut String, sign: char, line: &str) {
    diff.push(sign);
    diff.push_str(line);
    if !line.ends_with('\n') {
        diff.push_str("\n\\ No newline at end of file\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_two_contents_have_a_diff_that_fits() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut content = || {
            let lines = random.usize(0..12);
            let mut text: String =
                (0..lines).map(|_| ["a\n", "b\n", "\n", "é\r\n"][random.usize(0..4)]).collect();
            if random.bool() {
                text.push_str(["", "a", "- b", "\\ x"][random.usize(0..4)]);
            }
            text
        };
        for _ in 0..3000 {
            let (before, after) = (content(), content());
            let found = between("x y", Some(&before), &after);
            assert_eq!(found.is_some(), before != after, "{before:?} {after:?}");
            assert!(between("x", None, &after).is_some(), "{after:?}");
        }
    }

    #[test]
    fn a_hunk_has_three_lines_of_context() {
        let lines = |middle: &str| format!("1\n2\n3\n4\n{middle}5\n6\n7\n8\n");
        let (diff, kind) = between("f", Some(&lines("")), &lines("x\n")).expect("differs");
        let expected = "--- a/f\n+++ b/f\n@@ -2,6 +2,7 @@\n 2\n 3\n 4\n+x\n 5\n 6\n 7\n";
        assert_eq!((diff.as_str(), kind), (expected, EditKind::Insert));
    }
}
