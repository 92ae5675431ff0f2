//! Cases of edits that are undone, and of conflicts.

use super::super::parse;
use super::*;

/// Hunks, and whether they are undone.
pub(super) type Edits<'a> = &'a [(&'a str, bool)];

pub(super) fn run(
    edits: Edits<'_>,
    now: Option<&str>,
    left: Left<'_>,
) -> Result<Option<String>, Clashes> {
    let mut rewind = Rewind::new(now, left, 100);
    for (number, (text, undoes)) in edits.iter().enumerate().rev() {
        let names = if text.starts_with("@@") { "--- a/x\n+++ b/x\n" } else { "" };
        let text = format!("{names}{text}");
        let diff = parse(&text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        if *undoes { rewind.undo(number, &diff) } else { rewind.keep(number, &diff) }
    }
    rewind.finish()
}

pub(super) const SURE: Left<'_> = Left::Assumed { is_doubtful: false };
const NEW: &str = "diff --git a/x b/x\nnew file mode 100644\n";
const GONE: &str = "diff --git a/x b/x\ndeleted file mode 100644\n";
const MADE: &str = "--- /dev/null\n+++ b/x\n@@ -0,0 +1,2 @@\n+a\n+b\n";
const DELETED: &str = "--- a/x\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n";

#[test]
fn an_edit_is_undone_where_it_was_moved_to() {
    let change = "@@ -2 +2 @@\n-b\n+B\n";
    for (edits, now, expected) in [
        (&[(change, true)][..], Some("a\nB\nc"), Some("a\nb\nc")),
        (
            &[(change, true), ("@@ -0,0 +1,2 @@\n+x\n+y\n", false)],
            Some("x\ny\na\nB\nc\n"),
            Some("a\nx"),
        ),
        // Among lines that are all the same.
        (
            &[("@@ -1,0 +2 @@\n+a\n", true), ("@@ -0,0 +1 @@\n+a\n", false)],
            Some("a\na\na\n"),
            Some("a\na\n"),
        ),
        // A line that came and went between them is nobody's.
        (
            &[(change, true), ("@@ -2,0 +3 @@\n+x\n", false), ("@@ -3 +2,0 @@\n-x\n", false)],
            Some("a\nB\nc\n"),
            Some("a\nb\nc\n"),
        ),
        (&[("@@ -1 +1 @@\n-a\n+a\n\\ No\n", true)], Some("a"), Some("a\n")),
        (&[("@@ -1 +1 @@\n-a\r\n+a\n", true)], Some("a\n"), Some("a\r\n")),
        (&[("@@ -1,2 +0,0 @@\n-a\n-é\n\\ No\n", true)], Some(""), Some("a\né")),
        (&[(NEW, true)], Some(""), None),
        (&[(MADE, true)], Some("a\nb\n"), None),
        (&[(MADE, true), ("@@ -1 +1 @@\n-a\n+A\n", true)], Some("A\nb\n"), None),
        (&[(GONE, true)], None, Some("")),
        (&[(DELETED, true)], None, Some("a\nb\n")),
        (&[(MADE, false), (DELETED, true), (MADE, true)], Some("a\nb\n"), Some("a\nb\n")),
        (&[(MADE, true), (DELETED, false), (MADE, false)], Some("a\nb\n"), Some("conflict")),
    ] {
        let found = run(edits, now, SURE);
        assert_eq!(found, run(edits, now, Left::Known(now)), "{edits:?}");
        match expected {
            Some("conflict") => drop(found.expect_err("is a conflict")),
            // Moved behind what was added before it.
            Some("a\nx") => assert_eq!(found, Ok(Some("x\ny\na\nb\nc\n".to_owned()))),
            expected => assert_eq!(found, Ok(expected.map(str::to_owned)), "{edits:?}"),
        }
    }
}

#[test]
fn a_conflict_says_where_and_who() {
    let change = "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n";
    for (edits, now, hunk, line, expected, actual, by) in [
        // Changed by a later edit: the line itself, the one before, the one behind, between.
        (
            &[(change, true), ("@@ -2 +2 @@\n-B\n+x\n", false)][..],
            Some("a\nx\nc\n"),
            Some(1),
            Some(2),
            Some("B\n"),
            Some("x\n"),
            Some(1),
        ),
        (
            &[(change, true), ("@@ -1 +1 @@\n-a\n+x\n", false)],
            Some("x\nB\nc\n"),
            Some(1),
            Some(1),
            Some("a\n"),
            Some("x\n"),
            Some(1),
        ),
        (
            &[(change, true), ("@@ -3 +3 @@\n-c\n+x\n", false)],
            Some("a\nB\nx\n"),
            Some(1),
            Some(3),
            Some("c\n"),
            Some("x\n"),
            Some(1),
        ),
        (
            &[(change, true), ("@@ -1,0 +2 @@\n+x\n", false)],
            Some("a\nx\nB\nc\n"),
            Some(1),
            Some(2),
            Some("B\n"),
            Some("x\n"),
            Some(1),
        ),
        (
            &[(change, true), ("@@ -2,2 +1,0 @@\n-B\n-c\n", false)],
            Some("a\n"),
            Some(1),
            Some(2),
            Some("B\n"),
            None,
            Some(1),
        ),
        // By nobody.
        (&[(change, true)], Some("a\nx\nc\n"), Some(1), Some(2), Some("B\n"), Some("x\n"), None),
        (&[(change, true)], Some("x\nB\nc\n"), Some(1), Some(1), Some("a\n"), Some("x\n"), None),
        (&[(change, true)], Some("a\nB"), Some(1), Some(2), Some("B\n"), Some("B"), None),
        (&[(change, true)], Some("x\na\nB\nc\n"), Some(1), Some(1), Some("a\n"), Some("x\n"), None),
        (
            &[("@@ -9,2 +9 @@\n a\n-b\n", true)],
            Some("a\n"),
            Some(1),
            Some(2),
            Some("a\n"),
            None,
            None,
        ),
        (
            &[("@@ -2 +1,0 @@\n-b\n\\ No\n", true)],
            Some("a\nc\n"),
            Some(1),
            Some(2),
            None,
            Some("c\n"),
            None,
        ),
        (&[("@@ -2 +1,0 @@\n-b\n", true)], Some("a"), Some(1), Some(2), None, None, None),
        // The file as a whole.
        (&[(MADE, true)], Some("a\nb\nc\n"), Some(1), Some(3), None, Some("c\n"), None),
        (
            &[(MADE, true), ("@@ -2,0 +3 @@\n+c\n", false)],
            Some("a\nb\nc\n"),
            Some(1),
            Some(3),
            None,
            Some("c\n"),
            Some(1),
        ),
        (&[(NEW, true)], Some("a\n"), None, Some(1), None, Some("a\n"), None),
        (&[(change, true)], None, None, None, Some("a file"), None, None),
        (&[(MADE, true), (DELETED, false)], None, None, None, Some("a file"), None, Some(1)),
        (&[(DELETED, true)], Some("a\nb\n"), None, None, None, Some("a file"), None),
        (&[(DELETED, true), (NEW, false)], Some(""), None, None, None, Some("a file"), Some(1)),
    ] {
        let clash = Clash {
            edit: 0,
            is_ambiguous: false,
            hunk,
            line,
            expected: expected.map(str::to_owned),
            actual: actual.map(str::to_owned),
            changed_by: by,
        };
        let clashes = run(edits, now, SURE).expect_err("is a conflict");
        assert_eq!((clashes.count, &clashes.listed[0]), (1, &clash), "{edits:?} on {now:?}");
    }
}

#[test]
fn every_hunk_that_does_not_fit_is_a_conflict() {
    let two = "@@ -1 +1 @@\n-a\n+A\n@@ -5 +5 @@\n-e\n+E\n@@ -9 +9 @@\n-i\n+I\n";
    let edits = [(two, true), ("@@ -3 +3 @@\n-c\n+C\n", true)];
    let clashes = run(&edits, Some("A\nb\nx\nd\nx\nf\ng\nh\ny\n"), SURE).expect_err("conflicts");
    let places: Vec<_> =
        clashes.listed.iter().map(|clash| (clash.edit, clash.hunk, clash.line)).collect();
    assert_eq!(places, [(1, Some(1), Some(3)), (0, Some(2), Some(5)), (0, Some(3), Some(9))]);
    let mut rewind = Rewind::new(Some(""), SURE, 2);
    rewind.undo(0, &parse(&format!("--- a\n+++ b\n{two}")).expect("a diff"));
    let clashes = rewind.finish().expect_err("conflicts");
    assert_eq!((clashes.count, clashes.listed.len()), (3, 2));
}

/// What the text alone cannot tell is a conflict, unless the newest content is known.
#[test]
fn lines_that_may_be_others_are_left_alone() {
    let change = "@@ -5,2 +5,3 @@\n x\n+x\n x\n";
    let then = "p\nq\nr\ns\nx\nx\nx\nt\nx\nx\nx\n";
    let doubtful = Left::Assumed { is_doubtful: true };
    assert!(run(&[(change, true)], Some(then), SURE).is_ok());
    let clashes = run(&[(change, true)], Some(then), doubtful).expect_err("is ambiguous");
    assert!(clashes.listed[0].is_ambiguous && clashes.listed[0].line == Some(7), "{clashes:?}");
    // With a line that is there once, it can be no other place.
    let bound = "@@ -4,3 +4,4 @@\n s\n x\n+x\n x\n";
    assert!(run(&[(bound, true)], Some(then), doubtful).is_ok());
    // The later edit does not fit: something was changed that nobody recorded.
    let later = ("@@ -11,0 +12 @@\n+end\n", false);
    let clashes = run(&[(change, true), later], Some(then), SURE).expect_err("is ambiguous");
    assert!(clashes.listed[0].is_ambiguous, "{clashes:?}");
    // Moved by such a change, the lines are found if all of the content was known, and only then.
    let moved = format!("new\n{then}");
    assert!(run(&[(bound, true)], Some(&moved), SURE).is_err());
    let known = run(&[(bound, true)], Some(&moved), Left::Known(Some(then)));
    assert_eq!(known, Ok(Some("new\np\nq\nr\ns\nx\nx\nt\nx\nx\nx\n".to_owned())));
    // One of the equal lines is gone: which one, nobody can tell.
    let fewer = then.replacen("x\n", "", 1);
    assert!(run(&[(bound, true)], Some(&fewer), Left::Known(Some(then))).is_err());
}
